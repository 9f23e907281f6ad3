"""Stored mail read again: a preview first, then applied by groups, and taken back. Airflow does it; this says how far it is."""

from __future__ import annotations

from fastapi import APIRouter

from api import paging
from api.access import Admin
from api.models import Id
from api.paging import Cursor, Limit, Page
from api.replay_models import ApplyBody, Replay, ReplayBody, ReplayWhole
from inboxops.composition import replaying

router = APIRouter(prefix="/v1/replays", tags=["replays"])


@router.get("")
def list_replays(visit: Admin, limit: Limit = 50, cursor: Cursor = None) -> Page[Replay]:
    """What was read again, the newest first."""
    before = paging.decode(cursor, int)[0] if cursor is not None else None
    rows = visit.world.replays.listed(visit.tenant_id, before=before, limit=limit + 1)
    page, more = rows[:limit], rows[limit:]
    next_ = paging.encode(page[-1]["id"]) if more else None
    return Page(items=[Replay.model_validate(row) for row in page], next=next_)


@router.post("", status_code=202)
def preview(visit: Admin, body: ReplayBody) -> ReplayWhole:
    """Have mail read again and compared with what is stored; nothing is changed. Its report is there once it is `previewed`."""
    wanted = replaying.scope(visit.world, visit.tenant_id, **body.model_dump())
    replay_id = replaying.ask(visit.world, wanted, by=visit.caller.name)
    return ReplayWhole.of(visit.world.replays.one(replay_id, tenant_id=visit.tenant_id))


@router.get("/{replay_id}")
def show(visit: Admin, replay_id: Id) -> ReplayWhole:
    """One replay with its report, examples, and what was changed."""
    return ReplayWhole.of(visit.world.replays.one(replay_id, tenant_id=visit.tenant_id))


@router.post("/{replay_id}/apply", status_code=202)
def apply(visit: Admin, replay_id: Id, body: ApplyBody) -> ReplayWhole:
    """Renew what differs in the groups that are named. What people put right stays; nothing is sent, and no closed ticket opens."""
    return ReplayWhole.of(replaying.apply(visit.world, visit.tenant_id, replay_id, body.groups))


@router.post("/{replay_id}/undo", status_code=202)
def undo(visit: Admin, replay_id: Id) -> ReplayWhole:
    """Take back what was changed, but for what was changed or answered since."""
    return ReplayWhole.of(replaying.undo(visit.world, visit.tenant_id, replay_id))
