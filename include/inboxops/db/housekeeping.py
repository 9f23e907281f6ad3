"""What time has made useless: rows past their retention, and objects that no row names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inboxops.core.keys import is_detached, message_of
from inboxops.db.database import Database

_ROWS_AT_ONCE = 5_000


class HousekeepingStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def forget_listed(self, *, days: int) -> int:
        """Delete set-aside mail (listed, dropped, duplicate) untouched for `days`, with what replays keep and show of it: how many.

        Never a conflict, what is parked, or a person's mail that a mail rule set aside.
        """
        forgotten = 0
        while True:
            with self._database.transaction() as t:
                gone = [row["id"] for row in t.rows("forget_listed", days=days, limit=_ROWS_AT_ONCE)]
                if gone:
                    t.run("forget_examples", ids=gone)
            forgotten += len(gone)
            if len(gone) < _ROWS_AT_ONCE:
                return forgotten

    def forget_uploads(self, *, days: int) -> int:
        """Delete files that were uploaded and never became part of a message: how many."""
        with self._database.transaction() as t:
            return t.run("forget_uploads", days=days)

    def forget_sessions(self) -> int:
        """Delete sessions of the tickets page that are over: how many."""
        with self._database.transaction() as t:
            return t.run("forget_sessions")

    def sweep(self, keys: Sequence[str], delete: Callable[[Sequence[str]], None]) -> int:
        """Have `delete` called for those of the keys that no row names and no mail in work is about to name: how many.

        A detached file, or a copy of one, is named by the row of its mail until that is erased.

        The keys must be of objects that nobody writes again but by working on a mail of theirs, whose row is held meanwhile.
        """
        messages = {key: id_ for key in keys if (id_ := message_of(key)) is not None}
        with self._database.transaction() as t:
            held = t.rows("hold_mail", message_ids=sorted(set(messages.values())))
            kept = {row["reserved_message_id"] for row in held if row["kept"]}
            in_work = {row["reserved_message_id"] for row in held if row["in_work"]}
            named = {row["key"] for row in t.rows("named_objects", keys=list(keys))}
            orphans = [
                key
                for key in keys
                if key not in named and messages.get(key) not in (kept if is_detached(key) else in_work)
            ]
            if orphans:
                delete(orphans)
            return len(orphans)
