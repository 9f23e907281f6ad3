"""What agents put right: messages in the wrong ticket, tickets that are one matter, verdicts that were wrong."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query

from api import paging
from api.access import Agent
from api.correction_models import Correction, CorrectionBody
from api.models import Id, Number
from api.paging import Cursor, Limit, Page
from inboxops.composition import correcting, sending
from inboxops.core.corrections import Kind, Request
from inboxops.core.model import Address

router = APIRouter(prefix="/v1/corrections", tags=["corrections"])


@router.get("")
def list_corrections(
    visit: Agent,
    ticket: Annotated[Number | None, Query(description="Only what concerns this ticket, by id.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Correction]:
    """What was put right, by whom and when, the newest first; taken back or not."""
    before = paging.decode(cursor, int)[0] if cursor is not None else None
    rows = visit.world.corrections.listed(visit.tenant_id, ticket_id=ticket, before=before, limit=limit + 1)
    page, more = rows[:limit], rows[limit:]
    next_ = paging.encode(page[-1]["id"]) if more else None
    return Page(items=[Correction.model_validate(row) for row in page], next=next_)


@router.post("", status_code=201)
def correct(visit: Agent, background: BackgroundTasks, body: CorrectionBody) -> Correction:
    """Put something right. It can be taken back, and is kept as an example of what a rule got wrong."""
    customer = Address(body.customer.name, body.customer.address) if body.customer else None
    asked = body.model_dump(exclude={"kind", "customer"})
    request = Request(Kind(body.kind), by=visit.caller.name, customer=customer, **asked)
    done = correcting.correct(visit.world, visit.tenant_id, request)
    background.add_task(sending.publish, visit.world, visit.tenant_id)
    return Correction.model_validate(done)


@router.post("/{correction_id}/undo")
def undo(visit: Agent, background: BackgroundTasks, correction_id: Id) -> Correction:
    """Take it back. Mail that came meanwhile stays where it can be seen; a later correction of the same has to go first."""
    done = correcting.undo(visit.world, visit.tenant_id, correction_id, by=visit.caller.name)
    background.add_task(sending.publish, visit.world, visit.tenant_id)
    return Correction.model_validate(done)
