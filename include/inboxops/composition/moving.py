"""Tenants go from one cell to another: the database says where one is, and both Airflows are told to look."""

from __future__ import annotations

from dataclasses import dataclass

from inboxops.composition import runs
from inboxops.composition.world import World
from inboxops.core.push import Errand
from inboxops.errors import InvalidInput
from inboxops.stories.telling import log


@dataclass(frozen=True, slots=True)
class Moved:
    """shown: the cells whose Airflow reads its list of inboxes now; one that could not be told does so within five minutes."""

    tenant: str
    was: str
    cell: str
    sends: int
    replays: int
    shown: tuple[str, ...]


def move(world: World, tenant: str, cell: str) -> Moved:
    """Have another cell work for a tenant. What a run of the old one is at, it ends; what waits, the new one does.

    Raises InvalidInput for a tenant that does not exist and a cell that does not beat, Conflict while a replay writes.
    """
    must_beat(world, cell)
    left = world.moves.move(tenant, cell)
    log.info("tenant_moved", tenant=tenant, was=left.cell, cell=cell, sends=left.sends, replays=left.replays)
    shown = tuple(one for one in dict.fromkeys((left.cell, cell)) if runs.show_inboxes(world, one))
    begin_what_waits(world, left.tenant_id, cell)
    return Moved(tenant, left.cell, cell, left.sends, left.replays, shown)


def begin_what_waits(world: World, tenant_id: int, cell: str) -> None:
    """Start what was ordered anew for a tenant that came to the cell."""
    if cell in world.airflows:  # else its own `drain_outbox` does it within a minute
        runs.deliver_sends(world, tenant_id=tenant_id)
        runs.deliver(world, Errand.REPLAY, cell=cell)


def must_beat(world: World, cell: str) -> None:
    """Raises InvalidInput for a cell in which no tasks run."""
    known = {each.name: each.beats for each in world.heart.cells()}
    if cell not in known or known[cell].seconds is None or known[cell].stalled:
        beating = ", ".join(name for name, beats in known.items() if beats.seconds is not None and not beats.stalled)
        raise InvalidInput(
            f"no Airflow works in cell {cell!r}" + (f": {known[cell].said}" if cell in known else ""),
            fix=f"Start one with INBOXOPS_CELL={cell}, and wait for its first beat. Cells that beat: {beating or 'none'}",
        )
