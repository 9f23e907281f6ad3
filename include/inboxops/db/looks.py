"""Looks at inboxes: which are due, who is at which, and what the last one said. Several lookers share them here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from inboxops.core.looking import LATE, LEASE, LONGEST_PAUSE, NOT_FETCHED, PATIENCE, UNFETCHED, Look, Seen, next_turn
from inboxops.db.database import Database, Row


class LookStore:
    """Of one cell: its lookers look at its tenants' inboxes and at no other."""

    def __init__(self, database: Database, cell: str) -> None:
        self._database, self._cell = database, cell

    def follow(self, every: timedelta) -> list[tuple[int, str]]:
        """Have every inbox looked at that is to be read, and no other: those that it ended for, with their connection_type.

        One that was mended since its last look failed has its turn as if it never had; one whose mail nobody fetches says so.
        """
        with self._database.transaction() as t:
            ended = [(row["inbox_id"], row["connection_type"]) for row in t.rows("end_looks", cell=self._cell)]
            longest = max(every, LONGEST_PAUSE)
            t.run("bring_looks_back", every=every, longest=longest, cell=self._cell)
            for found, kept in (("looks_to_begin", "begin_looks"), ("looks_mended", "begin_anew")):
                due = {row["id"]: next_turn(row["id"], every, row["now"]) for row in t.rows(found, cell=self._cell)}
                if due:
                    t.run(kept, ids=list(due), due=list(due.values()))
            t.run("note_not_fetched", error=NOT_FETCHED, since=UNFETCHED, cell=self._cell)
        return ended

    def let_go(self, by: str) -> list[tuple[int, str]]:
        """Give up the looker's inboxes that belong to another cell by now: which those are, with their connection_type."""
        with self._database.transaction() as t:
            rows = t.rows("let_looks_go", by=by, cell=self._cell)
        return [(row["inbox_id"], row["connection_type"]) for row in rows]

    def end(self) -> int:
        """Look at none any more."""
        with self._database.transaction() as t:
            return t.run("end_all_looks", cell=self._cell)

    def claim(self, by: str, *, limit: int, full: Sequence[str] = ()) -> list[Look]:
        """Looks that are due, the most overdue first; nobody else gets them until the lease is over. full: places to leave out."""
        with self._database.transaction() as t:
            rows = t.rows(
                "claim_looks", by=by, cell=self._cell, limit=limit, full=list(full), lease=LEASE, patience=PATIENCE
            )
        looks = [Look(**row) for row in rows]
        return sorted(looks, key=lambda look: look.due_at)

    def renew(self, by: str, inbox_ids: Sequence[int]) -> None:
        """Keep these, which are claimed, for another lease."""
        with self._database.transaction() as t:
            t.run("renew_looks", by=by, ids=list(inbox_ids), lease=LEASE)

    def leave(self, by: str, inbox_ids: Sequence[int]) -> None:
        """These, which are claimed, are anybody's again."""
        with self._database.transaction() as t:
            t.run("leave_looks", by=by, ids=list(inbox_ids))

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

    def latest(self) -> tuple[str, int] | None:
        """The place with the most overdue look, and how many of its looks are late; None when none is."""
        with self._database.transaction() as t:
            row = t.row("latest_looks", late=LATE, cell=self._cell)
        return (row["place"], row["looks"]) if row else None

    def not_fetched(self) -> list[str]:
        """Inboxes, as tenant/name, in which looks have found mail for UNFETCHED and no run has fetched any."""
        with self._database.transaction() as t:
            return [row["name"] for row in t.rows("not_fetched", since=UNFETCHED, cell=self._cell)]

    def last(self, inbox_id: int) -> Row | None:
        """What the last look at an inbox said; None where each look is a run."""
        with self._database.transaction() as t:
            return t.row("last_look", id=inbox_id)
