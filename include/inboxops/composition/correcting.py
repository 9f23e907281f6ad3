"""What people put right, taken back, and handed on as examples."""

from __future__ import annotations

from collections.abc import Iterator

from inboxops.composition import runs
from inboxops.composition.world import World
from inboxops.core import corrections
from inboxops.core.corrections import Request
from inboxops.db.database import Row
from inboxops.stories.telling import log

PAGE = 500


def correct(world: World, tenant_id: int, request: Request) -> Row:
    """Do what somebody says. `woken`: whether the inbox files let-out mail at once; None when none was let out.

    Raises InvalidInput for a request that names too little or too much, NotFound, and Conflict when things are not so.
    """
    corrections.check(request)
    own = world.inboxes.own_addresses(tenant_id)
    done = world.corrections.correct(tenant_id, request, corrections.decide, own_addresses=own)
    log.info("corrected", correction=done["id"], what=request.kind.value, ticket=done["ticket_number"], by=request.by)
    return _going_on(world, done)


def undo(world: World, tenant_id: int, correction_id: int, *, by: str) -> Row:
    """Take a correction back. Raises NotFound, and Conflict when something later stands in the way."""
    own = world.inboxes.own_addresses(tenant_id)
    done = world.corrections.undo(tenant_id, correction_id, corrections.undo, by=by, own_addresses=own)
    log.info("correction_undone", correction=correction_id, what=done["kind"], ticket=done["ticket_number"], by=by)
    return _going_on(world, done)


def examples(world: World, tenant_id: int) -> Iterator[Row]:
    """The tenant's corrections that stand, the oldest first."""
    after = 0
    while rows := world.corrections.examples(tenant_id, after=after, limit=PAGE):
        yield from rows
        after = rows[-1]["id"]


def _going_on(world: World, done: Row) -> Row:
    wakes = done.pop("wakes")
    return done | {"woken": None if wakes is None else runs.wake(world, wakes)}
