"""Canaries: which inbox wishes for them, what was sent when, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from inboxops.core.canary import LATE_AFTER, Canary, check_minutes
from inboxops.core.model import Removed
from inboxops.db.database import Database, Row
from inboxops.errors import InvalidInput, NotFound


class CanaryStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def wish(self, inbox_id: int, *, minutes: int | None, from_id: int | None, delete: bool = False) -> None:
        """From now on one every so many minutes, None for none. delete: from the mailbox, once they were recognised there.

        Raises InvalidInput for a sender that is not of the tenant.
        """
        check_minutes(minutes)
        with self._database.transaction() as t:
            if not t.run("wish_for_canaries", id=inbox_id, minutes=minutes, from_id=from_id, delete=delete):
                raise InvalidInput(
                    "canaries come from an inbox of the same tenant", fix="`inboxops inbox list` shows them"
                )

    def due(self, *, cell: str) -> list[int]:
        """Inboxes of a cell that are to get one now."""
        with self._database.transaction() as t:
            return [row["id"] for row in t.rows("canaries_due", id=None, cell=cell)]

    def add(self, inbox_id: int, *, even_if_not_due: bool) -> Canary | None:
        """A new one; None when none is due, because another run was first."""
        with self._database.transaction() as t:
            t.rows("hold_inbox", id=inbox_id)
            if not even_if_not_due and not t.rows("canaries_due", id=inbox_id, cell=None):
                return None
            row = t.row("add_canary", id=inbox_id)
        return Canary(**row) if row else None

    def hand_over(self, canary_id: int) -> bool:
        """The permission to hand it over, which is given once."""
        with self._database.transaction() as t:
            return t.run("hand_over_canary", id=canary_id) == 1

    def sent(self, canary_id: int) -> None:
        with self._database.transaction() as t:
            t.run("canary_sent", id=canary_id, late_after=LATE_AFTER)

    def not_sent(self, canary_id: int, error: str, *, in_doubt: bool) -> None:
        with self._database.transaction() as t:
            t.run("canary_not_sent", id=canary_id, error=error, in_doubt=in_doubt)

    def settle_left(self, *, cell: str, minutes: int) -> int:
        """Say of those of a cell that a killed run left before the hand-over that they were not sent: how many."""
        with self._database.transaction() as t:
            return t.run("canaries_left", cell=cell, minutes=minutes)

    def to_remove(self, *, cell: str, limit: int) -> list[Row]:
        """Those of a cell that may be deleted from their mailboxes now, by inbox: the provider's key, size, time and thread."""
        with self._database.transaction() as t:
            return t.rows("canaries_to_remove", cell=cell, limit=limit)

    def removed(self, canary_id: int, how: Removed) -> None:
        with self._database.transaction() as t:
            t.run("canary_removed", id=canary_id, removed=how.value)

    def not_removed(self, canary_ids: Sequence[int], error: str) -> None:
        with self._database.transaction() as t:
            t.run("canaries_not_removed", ids=list(canary_ids), error=error)

    def listed(self, *, tenant: str | None = None, inbox_id: int | None = None, limit: int) -> list[Row]:
        """The newest first."""
        with self._database.transaction() as t:
            return t.rows("canaries", tenant=tenant, inbox_id=inbox_id, id=None, limit=limit)

    def one(self, canary_id: int) -> Row:
        """Raises NotFound."""
        with self._database.transaction() as t:
            row = t.row("canaries", tenant=None, inbox_id=None, id=canary_id, limit=1)
        if row is None:
            raise NotFound(f"there is no canary {canary_id}", fix="`inboxops canary list` shows them")
        return row

    def forget(self, *, days: int) -> int:
        """Delete those that are older, but for the last of each inbox: how many."""
        with self._database.transaction() as t:
            return t.run("forget_canaries", days=days)
