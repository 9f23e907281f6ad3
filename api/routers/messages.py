"""Single messages: their HTML made safe, and one more attempt to send."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query
from fastapi.responses import HTMLResponse

from api import mail_view
from api.access import Agent, Visit
from api.models import Html, Id, Retried
from inboxops.composition import sending
from inboxops.errors import NotFound

router = APIRouter(prefix="/v1/messages", tags=["messages"])


@router.get("/{message_id}/html")
def read_html(visit: Agent, message_id: Id) -> Html:
    """The HTML of a message, sanitised: without remote images, inline ones from here; empty for a message without."""
    html, inline = _html_of(visit, message_id)
    return Html(html=mail_view.safe(html, inline).html)


@router.get("/{message_id}/view", response_class=HTMLResponse)
def view_html(
    visit: Agent,
    message_id: Id,
    images: Annotated[bool, Query(description="Load images from wherever the sender says.")] = False,
) -> HTMLResponse:
    """The HTML of a message as a document to be shown in a frame: safe, with inline images, quotations folded."""
    html, inline = _html_of(visit, message_id)
    shown = mail_view.view(html, inline, with_remote=images)
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


def _html_of(visit: Visit, message_id: int) -> tuple[str, dict[str, str]]:
    """As it came, and where its inline images are. Raises NotFound."""
    html = visit.world.reading.html_of(visit.tenant_id, message_id)
    if html is None:
        raise NotFound(f"there is no message {message_id}")
    inline = visit.world.reading.inline_files(visit.tenant_id, message_id)
    return html, {name: f"/v1/attachments/{id_}/content" for name, id_ in inline.items()}
