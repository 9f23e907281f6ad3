"""Looks at inboxes: which are due, who is at which, and what the last one said. Several lookers share them here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from inboxops.core.looking import LEASE, PATIENCE, Look, Seen, next_turn
from inboxops.db.database import Database, Row


class LookStore:
    """Of one cell: its lookers look at its tenants' inboxes and at no other."""

    def __init__(self, database: Database, cell: str) -> None:
        self._database, self._cell = database, cell

    def follow(self, every: timedelta) -> list[tuple[int, str]]:
        """Have every inbox looked at that is to be read, and no other: those that it ended for, with their connection_type."""
        with self._database.transaction() as t:
            ended = [(row["inbox_id"], row["connection_type"]) for row in t.rows("end_looks", cell=self._cell)]
            t.run("bring_looks_back", every=every, cell=self._cell)
            begun = {
                row["id"]: next_turn(row["id"], every, row["now"]) for row in t.rows("looks_to_begin", cell=self._cell)
            }
            if begun:
                t.run("begin_looks", ids=list(begun), due=list(begun.values()))
        return ended

    def let_go(self, by: str) -> list[tuple[int, str]]:
        """Leave those to their cell which moved away: which the looker had, with their connection_type."""
        with self._database.transaction() as t:
            rows = t.rows("let_looks_go", by=by, cell=self._cell)
        return [(row["inbox_id"], row["connection_type"]) for row in rows]

    def end(self) -> int:
        """Look at none any more."""
        with self._database.transaction() as t:
            return t.run("end_all_looks", cell=self._cell)

    def claim(self, by: str, *, limit: int) -> list[Look]:
        """Looks that are due, the most overdue first; nobody else gets them until the lease is over."""
        with self._database.transaction() as t:
            rows = t.rows("claim_looks", by=by, cell=self._cell, limit=limit, lease=LEASE, patience=PATIENCE)
        looks = [Look(**row) for row in rows]
        return sorted(looks, key=lambda look: look.due_at)

    def renew(self, by: str, inbox_ids: Sequence[int]) -> None:
        """Keep these, which are claimed, for another lease."""
        with self._database.transaction() as t:
            t.run("renew_looks", by=by, ids=list(inbox_ids), lease=LEASE)

    def done(self, by: str, looks: Sequence[Seen]) -> None:
        """Keep what was seen; what another looker has taken over meanwhile is left to it."""
        with self._database.transaction() as t:
            kept = t.rows(
                "looks_done",
                by=by,
                ids=[look.inbox_id for look in looks],
                results=[look.result for look in looks],
                looked=[look.looked_at for look in looks],
                due=[look.due_at for look in looks],
                failures=[look.failures for look in looks],
                failed_as=[look.failed_as for look in looks],
                errors=[look.error for look in looks],
            )
            t.run("count_looks", results=[row["result"] for row in kept])

    def last(self, inbox_id: int) -> Row | None:
        """What the last look at an inbox said; None where each look is a run."""
        with self._database.transaction() as t:
            return t.row("last_look", id=inbox_id)
