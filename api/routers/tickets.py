"""Tickets: list, read, change, answer."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Header, Query, Response

from api import paging
from api.access import Agent
from api.models import Accepted, Id, Line, Number, ReplyBody, Status, Thread, TicketPatch, TicketRow
from api.paging import Cursor, Limit, Page
from inboxops.composition import sending
from inboxops.core.outbound import ReplyRequest
from inboxops.errors import NotFound

router = APIRouter(prefix="/v1/tickets", tags=["tickets"])
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[!-~]+$",
        description="A repeat under the same key answers as the first did and sends nothing again.",
        examples=["5f1c0a9e-0d0b-4f0a-8f4e-1c5b7a2d9e11"],
    ),
]


@router.get("")
def list_tickets(
    visit: Agent,
    status: Status | None = None,
    inbox: Annotated[Number | None, Query(description="Only this inbox's, by id.")] = None,
    unread: bool | None = None,
    q: Annotated[
        Line | None, Query(description="Beginnings of words in subject or requester, or a ticket number.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[TicketRow]:
    """The tenant's tickets, the last touched first."""
    before = None
    if cursor is not None:
        text, id_ = paging.decode(cursor, str, int)
        before = (_moment(text), id_)
    rows = visit.world.reading.tickets(
        visit.tenant_id, status=status, inbox_id=inbox, unread=unread, q=q, before=before, limit=limit + 1
    )
    page, more = rows[:limit], rows[limit:]
    next_ = paging.encode(page[-1]["updated_at"].isoformat(), page[-1]["id"]) if more else None
    return Page(items=list(map(TicketRow.of, page)), next=next_)


@router.get("/{ticket_id}", response_model=Thread)
def read_ticket(
    visit: Agent, ticket_id: Id, limit: Annotated[int, Query(ge=1, le=200)] = 100, cursor: Cursor = None
) -> Response:
    """A ticket and its thread: verdicts with their evidence, attachments, how far each answer is, what bounced."""
    before = paging.decode(cursor, int)[0] if cursor is not None else None
    found = visit.world.reading.thread(visit.tenant_id, ticket_id, before=before, limit=limit + 1)
    if found is None:
        raise NotFound(f"there is no ticket {ticket_id}")
    ticket, messages = found
    older = paging.encode(messages[1]["id"]) if len(messages) > limit else None
    thread = Thread.of_thread(ticket, messages[-limit:], older)
    return Response(thread.model_dump_json(), media_type="application/json")


@router.patch("/{ticket_id}", response_model=Thread)
def change_ticket(visit: Agent, background: BackgroundTasks, ticket_id: Id, change: TicketPatch) -> Response:
    """Open, pend or close a ticket, mark it read, or sort it: tags, priority and queue are set as given."""
    if not visit.world.reading.patch_ticket(visit.tenant_id, ticket_id, **change.model_dump()):
        raise NotFound(f"there is no ticket {ticket_id}, or it became part of another")
    background.add_task(sending.publish, visit.world, visit.tenant_id)
    return read_ticket(visit, ticket_id)


@router.post("/{ticket_id}/replies", status_code=202)
def reply(
    visit: Agent,
    background: BackgroundTasks,
    ticket_id: Id,
    body: ReplyBody,
    idempotency_key: IdempotencyKey = None,
) -> Accepted:
    """Answer a ticket. The reply is durable when this returns, and is sent by itself."""
    request = ReplyRequest(body.body_text, body.body_html, tuple(body.cc), tuple(body.attachment_ids))
    accepted = sending.reply(
        visit.world, visit.tenant_id, ticket_id, request, author=visit.caller.name, idempotency_key=idempotency_key
    )
    background.add_task(sending.dispatch, visit.world, visit.tenant_id, accepted.message_id, 0)
    return Accepted(**asdict(accepted))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise paging.NO_PAGE from exc
    if moment.tzinfo is None:
        raise paging.NO_PAGE
    return moment
