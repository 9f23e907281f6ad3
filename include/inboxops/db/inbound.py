"""The `inbound` table: every message a provider delivered, from durable to its final state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.errors import ForeignKeyViolation

from inboxops.core.inbox import Inbox
from inboxops.core.mail_rules.shown import shown
from inboxops.core.model import Cursor, RawMessage, Reused
from inboxops.db.database import Database, Row, jsonb
from inboxops.db.inboxes import move_cursor
from inboxops.errors import Conflict, NotFound, Overtaken
from inboxops.ports import ClassifiedRow, InboundRow, StoredRow

LISTS = ("parked", "refused", "listed", "conflict", "dropped")
"""States that a person looks through: nothing in them became a message."""


class InboundStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, inbox_id: int, messages: Sequence[RawMessage]) -> frozenset[str]:
        """Keys of those that have a row, whatever became of the mail."""
        keys = [message.key for message in messages]
        with self._database.transaction() as t:
            return frozenset(row["key"] for row in t.rows("known_keys", inbox_id=inbox_id, keys=keys))

    def erased(self, inbox_id: int, messages: Sequence[RawMessage]) -> frozenset[str]:
        """Where keys name other mail now than they did: keys of those that are the erased mail still, by size and arrival."""
        rows = [
            {"key": one.key, "size_bytes": one.size_bytes, "received_at": one.received_at.isoformat()}
            for one in messages
        ]
        with self._database.transaction() as t:
            return frozenset(row["key"] for row in t.rows("erased_keys", inbox_id=inbox_id, rows=jsonb(rows)))

    def reserve(self, count: int) -> list[int]:
        """So many ids for messages, ascending. Those that no message comes to bear are never used again."""
        with self._database.transaction() as t:
            return sorted(row["id"] for row in t.rows("reserve_message_ids", count=count))

    def add_batch(
        self,
        inbox: Inbox,
        rows: Sequence[InboundRow],
        *,
        old: Cursor,
        new: Cursor,
        note: str,
        by: str = "",
        reused: Reused | None = None,
    ) -> int:
        """Rows and cursor in one transaction (invariant 1); returns how many rows are new. by: which run took them in.

        reused: rows with such keys get others first, which their provider never gives.
        Raises Overtaken when another run moved the cursor meanwhile, or the inbox went: nothing is written then.
        """
        with self._database.transaction() as t:
            added = 0
            if reused:
                t.run("give_up_keys", inbox_id=inbox.id, prefix=reused.prefix, first=reused.first)
            if rows:
                try:
                    added = t.run("add_inbound", tenant_id=inbox.tenant_id, inbox_id=inbox.id, by=by, rows=jsonb(rows))
                except ForeignKeyViolation as exc:
                    raise Overtaken(f"inbox {inbox.id} is here no more: its tenant moved away, or was erased") from exc
            if old != new and not move_cursor(t, inbox.id, old, new, note):
                raise Overtaken(f"another run moved the cursor of inbox {inbox.id}; this one starts again from there")
            return added

    def stored(self, inbox_id: int, *, after: int, limit: int) -> list[StoredRow]:
        """The next rows to classify, in the order they came."""
        with self._database.transaction() as t:
            rows = t.rows("stored", inbox_id=inbox_id, after=after, limit=limit)
        return list(map(stored_row, rows))

    def newest(self, inbox_id: int, *, limit: int) -> list[StoredRow]:
        """The newest first, whatever became of them."""
        with self._database.transaction() as t:
            return list(map(stored_row, t.rows("newest", inbox_id=inbox_id, limit=limit)))

    def save_classified(self, rows: Sequence[ClassifiedRow]) -> None:
        with self._database.transaction() as t:
            t.run("save_classified", rows=jsonb([_flat(row) for row in rows]))

    def park(self, inbound_id: int, reason: str) -> None:
        with self._database.transaction() as t:
            t.run("park", id=inbound_id, reason=reason)

    # -- the lists a person works through

    def listed(
        self, *, tenant: str | None, states: Sequence[str], inbox_id: int | None = None, limit: int = 1000
    ) -> list[Row]:
        """The newest first."""
        with self._database.transaction() as t:
            return t.rows("inbound_list", tenant=tenant, states=list(states), inbox_id=inbox_id, limit=limit)

    def one(self, inbound_id: int) -> Row:
        """Raises NotFound when there is none."""
        with self._database.transaction() as t:
            row = t.row("inbound_one", id=inbound_id)
        if row is None:
            raise NotFound(f"there is no inbound message {inbound_id}", fix="`inboxops inbound list` shows them")
        return row

    def send_back(self, inbound_id: int, *, release: bool) -> int:
        """Back to the first stage: released into a ticket, or only read again. Returns the inbox's id.

        Raises Conflict when its state does not allow it.
        """
        with self._database.transaction() as t:
            row = t.row("release" if release else "reparse", id=inbound_id)
        if row is None:
            raise Conflict(
                f"inbound message {inbound_id} is not in a state that can be {'released' if release else 'read again'}",
                fix="Only parked, listed, dropped and conflicting mail can; `inboxops inbound list` shows it",
            )
        return int(row["inbox_id"])

    def counts(self, inbox_id: int) -> dict[str, int]:
        with self._database.transaction() as t:
            return {row["state"]: row["count"] for row in t.rows("inbound_counts", inbox_id=inbox_id)}


def stored_row(row: Row) -> StoredRow:
    return StoredRow(
        id=row["id"],
        message_id=row["reserved_message_id"],
        storage_key=row["storage_key"],
        offset=row["storage_offset"],
        length=row["storage_length"],
        size_bytes=row["size_bytes"],
        received_at=row["received_at"],
        in_spam_folder=row["in_spam_folder"],
        provider_thread_id=row["provider_thread_id"],
        detached_offsets=row["detached_offsets"] or (),
    )


def _flat(row: ClassifiedRow) -> dict[str, Any]:
    verdict = row.reading.verdict
    return {
        "id": row.id,
        "message_id": row.reading.message_id,
        "content_hash": row.reading.content_hash,
        "from_address": row.reading.sender.address,
        "subject": row.reading.subject,
        "verdict": verdict.kind,
        "rule": verdict.rule,
        "ruleset": verdict.ruleset,
        "evidence": verdict.evidence,
        "mail_rules": shown(row.reading.rulings) or None,
        "reading": row.reading,
        "body_text": row.bodies.text,
        "body_new": row.bodies.new,
        "body_html": row.bodies.html,
    }
