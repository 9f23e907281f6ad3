"""Mail that was set aside: spam, unlinked bounces, what could not be read. Looked through, and let out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import paging
from api.access import Agent
from api.models import Id, InboundRow, InboundState, Number, Woken
from api.paging import Cursor, Limit, Page
from inboxops.composition import runs

router = APIRouter(prefix="/v1/inbound", tags=["inbound"])


@router.get("")
def list_inbound(
    visit: Agent,
    state: Annotated[list[InboundState] | None, Query(description="By default all of them.")] = None,
    inbox: Annotated[Number | None, Query(description="Only this inbox's, by id.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[InboundRow]:
    """What became no ticket, the newest first, each with the rule or the reason."""
    rows = visit.world.reading.inbound(
        visit.tenant_id,
        states=state or list(InboundState),
        inbox_id=inbox,
        before=paging.decode(cursor, int)[0] if cursor is not None else None,
        limit=limit + 1,
    )
    page, more = rows[:limit], rows[limit:]
    next_ = paging.encode(page[-1]["id"]) if more else None
    return Page(items=[InboundRow.model_validate(row) for row in page], next=next_)


@router.post("/{inbound_id}/release", status_code=202)
def release(visit: Agent, inbound_id: Id) -> Woken:
    """Let a message out of its list: the inbox's next run makes it a ticket, and is woken for it."""
    world = visit.world
    world.inbound.one(inbound_id)
    inbox_id = world.inbound.send_back(inbound_id, release=True)
    return Woken(inbox_id=inbox_id, woken=runs.wake(world, inbox_id))
