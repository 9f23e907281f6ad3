"""Single messages: their HTML made safe, and one more attempt to send."""

from __future__ import annotations

import nh3
from fastapi import APIRouter, BackgroundTasks

from api.access import Agent
from api.models import Html, Id, Retried
from inboxops.errors import NotFound

router = APIRouter(prefix="/v1/messages", tags=["messages"])


@router.get("/{message_id}/html")
def read_html(visit: Agent, message_id: Id) -> Html:
    """The HTML of a message, sanitised; empty for a message without."""
    html = visit.world.reading.html_of(visit.tenant_id, message_id)
    if html is None:
        raise NotFound(f"there is no message {message_id}")
    return Html(html=nh3.clean(html, url_schemes={"http", "https", "mailto", "tel", "cid"}))


@router.post("/{message_id}/retry", status_code=202)
def retry(visit: Agent, background: BackgroundTasks, message_id: Id) -> Retried:
    """Send a message once more that failed or whose fate is unknown. The Sent folder is asked first."""
    attempt = visit.world.outbound.retry(visit.tenant_id, message_id)
    background.add_task(visit.world.dispatch, visit.tenant_id, message_id, attempt)
    return Retried(message_id=message_id, attempt=attempt)
