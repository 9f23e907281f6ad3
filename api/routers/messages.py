"""Single messages: their HTML made safe, and one more attempt to send."""

from __future__ import annotations

from typing import Annotated

import nh3
from fastapi import APIRouter, BackgroundTasks, Query
from fastapi.responses import HTMLResponse

from api import mail_view
from api.access import Agent
from api.models import Html, Id, Retried
from inboxops.composition import sending
from inboxops.errors import NotFound

router = APIRouter(prefix="/v1/messages", tags=["messages"])


@router.get("/{message_id}/html")
def read_html(visit: Agent, message_id: Id) -> Html:
    """The HTML of a message, sanitised; empty for a message without."""
    html = visit.world.reading.html_of(visit.tenant_id, message_id)
    if html is None:
        raise NotFound(f"there is no message {message_id}")
    return Html(html=nh3.clean(html, url_schemes={"http", "https", "mailto", "tel", "cid"}))


@router.get("/{message_id}/view", response_class=HTMLResponse)
def view_html(
    visit: Agent,
    message_id: Id,
    images: Annotated[bool, Query(description="Load images from wherever the sender says.")] = False,
) -> HTMLResponse:
    """The HTML of a message as a document to be shown in a frame: safe, with inline images, quotations folded."""
    html = visit.world.reading.html_of(visit.tenant_id, message_id)
    if html is None:
        raise NotFound(f"there is no message {message_id}")
    inline = visit.world.reading.inline_files(visit.tenant_id, message_id)
    shown = mail_view.view(
        html, {name: f"/v1/attachments/{id_}/content" for name, id_ in inline.items()}, with_remote=images
    )
    headers = {
        "Content-Security-Policy": shown.policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
    return HTMLResponse(shown.html, headers=headers)


@router.post("/{message_id}/retry", status_code=202)
def retry(visit: Agent, background: BackgroundTasks, message_id: Id) -> Retried:
    """Send a message once more that failed or whose fate is unknown. The Sent folder is asked first."""
    attempt = visit.world.outbound.retry(visit.tenant_id, message_id)
    background.add_task(sending.dispatch, visit.world, visit.tenant_id, message_id, attempt)
    return Retried(message_id=message_id, attempt=attempt)
