"""Tickets as people list and read them."""

from __future__ import annotations

from inboxops.db.database import Database, Row


class TicketStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(
        self, *, tenant: str | None = None, inbox_id: int | None = None, status: str | None = None, limit: int = 200
    ) -> list[Row]:
        """The last touched first, with counts of messages and attachments."""
        with self._database.transaction() as t:
            return t.rows("tickets", tenant=tenant, inbox_id=inbox_id, status=status, limit=limit)
