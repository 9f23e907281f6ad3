"""A tenant's way from one cell to another: what is in the database alone, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

from inboxops.core.cells import MOVING
from inboxops.core.push import Errand
from inboxops.db.database import Database, Row, Transaction
from inboxops.db.outbox import add_errand
from inboxops.errors import Conflict, InvalidInput

AT_WORK_MINUTES = 15
"""A replay that writes notes each page of mail; one that noted nothing for so long has no run any more."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a tenant had before. cell: where it was; sends: orders that are given anew; replays: that are gone on with."""

    tenant_id: int
    cell: str
    sends: int
    replays: int


class CellStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def move(self, slug: str, cell: str) -> Left:
        """From here on that cell works for the tenant, and takes over what runs of the other were to do.

        A tenant that is there already stays, and what waits is handed over again: the runs of a cell that was given up since.
        Raises InvalidInput for an unknown tenant, Conflict while a replay of it writes.
        """
        with self._database.transaction() as t:
            id_, was = hold(t, slug)
            if was == MOVING:
                raise Conflict(
                    f"{slug} is on its way to another installation", fix="End that move, or take it back: --back"
                )
            if was != cell:
                check_replays(t, id_, slug)
                t.run("move_tenant", id=id_, cell=cell)
            sends, replays = hand_over(t, id_)
            return Left(id_, was, sends, replays)

    def of_message(self, message_id: int) -> Row | None:
        """tenant and cell of whose message it is; None when there is no such message."""
        with self._database.transaction() as t:
            return t.row("message_cell", id=message_id)

    def order_again(self, message_id: int, attempt: int) -> None:
        """Have the attempt begun by whoever delivers orders for its tenant, unless it is over, or that is ordered already."""
        with self._database.transaction() as t:
            t.run("order_sends_again", tenant_id=None, id=message_id, attempt=attempt)


def hold(t: Transaction, slug: str) -> tuple[int, str]:
    """(id, cell) of a tenant whose row nobody else changes until this transaction ends. Raises InvalidInput for an unknown one."""
    tenant = t.row("hold_tenant", slug=slug)
    if tenant is None:
        raise InvalidInput(f"there is no tenant {slug!r}", fix="`inboxops tenant list` shows those there are")
    return tenant["id"], tenant["cell"]


def check_replays(t: Transaction, tenant_id: int, slug: str) -> None:
    """Raises Conflict while a replay of the tenant writes."""
    if replay := t.row("replays_at_work", tenant_id=tenant_id, minutes=AT_WORK_MINUTES):
        raise Conflict(
            f"replay {replay['id']} of {slug} is {replay['state']}",
            fix=f"Move the tenant when it has ended: `inboxops replay list --tenant {slug}`",
        )


def hand_over(t: Transaction, tenant_id: int) -> tuple[int, int]:
    """Order anew what runs of an Airflow that is left were to do: (sends, replays)."""
    replays = t.rows("replays_to_go_on", tenant_id=tenant_id)
    for replay in replays:
        add_errand(t, Errand.REPLAY, tenant_id, replay["id"])
    return t.run("order_sends_again", tenant_id=tenant_id, id=None, attempt=None), len(replays)
