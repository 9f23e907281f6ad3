"""Events as they happen, streamed (server-sent events, HTML 9.2)."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from api.access import Agent
from inboxops.events.feed import Feeds

HEARTBEAT_SECONDS = 15
SEND_SECONDS = 30.0  # a client that takes nothing for so long is let go; it reads on from its place when it comes back

router = APIRouter(prefix="/v1/events", tags=["events"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream that does not end by itself.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 1767606000000-0\nevent: ticket.updated\ndata: {"ticket_id":12,"ticket_number":7,"id":481,'
                '"event":"ticket.updated","tenant_id":1}\n\n',
            }
        },
    }
}


class Stream(EventSourceResponse):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(SendTimeoutError):
            await super().__call__(scope, receive, send)


@router.get("", response_class=Stream, responses=_RESPONSES)
async def events(
    request: Request,
    visit: Agent,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", max_length=60, description="The `id` of the last event that came.")
    ] = None,
) -> Stream:
    """What happens to the tenant's tickets, as it happens.

    `ready` says that the stream is open. Then `ticket.updated`, `ticket.message_added`, `message.failed`, `message.unknown`,
    `message.bounced`, `correction.made`, `correction.undone`, `inbox.disconnected`, `inbox.connected`; their data is JSON with
    the ids. With `Last-Event-ID` the stream goes on behind that event; `reset` says that what is between can't be told any more:
    read the tickets again. While Redis is away nothing can be told: `away`, then `back`. An event may come twice, with the same
    `id` in its data. Every 15 seconds a comment keeps the connection awake; after 15 minutes at most the stream ends and the
    client comes back, as browsers do by themselves.
    """
    feeds: Feeds = request.app.state.feeds
    frames = feeds.listen(visit.tenant_id, last_event_id)
    return Stream(frames, ping=HEARTBEAT_SECONDS, send_timeout=SEND_SECONDS, sep="\n")
