"""What the API shows of tickets and set-aside mail, in pages; every query names its tenant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from inboxops.core.outbound import addressees
from inboxops.db.database import Database, Row
from inboxops.db.outbound import people_of
from inboxops.db.outbox import add_event


class ReadStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def tickets(
        self,
        tenant_id: int,
        *,
        status: str | None,
        inbox_id: int | None,
        unread: bool | None,
        q: str | None,
        before: tuple[datetime, int] | None,
        limit: int,
    ) -> list[Row]:
        """The most recently touched first. q: beginnings of words in subject or requester, or a ticket number."""
        before_time, before_id = before or (None, None)
        asked = {
            "status": status,
            "inbox_id": inbox_id,
            "unread": unread,
            "before_time": before_time,
            "before_id": before_id,
            "limit": limit,
        }
        with self._database.transaction(tenant_id=tenant_id) as t:
            ids = t.value("tickets_with", q=q, **asked) if q else None
            t.run("plan_for_these_values")
            return t.rows("ticket_page", tenant_id=tenant_id, ids=ids, **asked)

    def thread(self, tenant_id: int, ticket_id: int, *, before: int | None, limit: int) -> tuple[Row, list[Row]] | None:
        """A ticket, with whom an answer goes to as `answered_to`, and its newest messages, oldest first, each with `attachments`
        and `bounces`; None when there is none."""
        with self._database.transaction() as t:
            ticket = t.row("ticket_one", tenant_id=tenant_id, id=ticket_id)
            if ticket is None:
                return None
            own = frozenset(row["lower"] for row in t.rows("own_addresses", tenant_id=tenant_id))
            ticket["answered_to"] = addressees(people_of(ticket, t.row("reply_parent", ticket_id=ticket_id)), own)
            messages = t.rows(
                "thread_messages", tenant_id=tenant_id, ticket_id=ticket_id, before_id=before, limit=limit
            )[::-1]
            ids = [message["id"] for message in messages]
            attachments = _by_message(t.rows("thread_attachments", tenant_id=tenant_id, ids=ids))
            bounces = _by_message(t.rows("thread_bounces", tenant_id=tenant_id, ids=ids))
        for message in messages:
            message["attachments"], message["bounces"] = attachments[message["id"]], bounces[message["id"]]
        return ticket, messages

    def html_of(self, tenant_id: int, message_id: int) -> str | None:
        """The HTML as its sender wrote it; None when there is no such message."""
        with self._database.transaction() as t:
            row = t.row("message_one", tenant_id=tenant_id, id=message_id)
        return None if row is None else str(row["body_html"])

    def inline_files(self, tenant_id: int, message_id: int) -> dict[str, int]:
        """Content-ID -> attachment id of what the message's HTML may show."""
        with self._database.transaction(tenant_id=tenant_id) as t:
            rows = t.rows("thread_attachments", tenant_id=tenant_id, ids=[message_id])
        return {row["content_id"].strip("<>"): row["id"] for row in rows if row["content_id"]}

    def ticket_of(self, tenant_id: int, message_id: int) -> int | None:
        with self._database.transaction() as t:
            row = t.row("message_one", tenant_id=tenant_id, id=message_id)
        return None if row is None else int(row["ticket_id"])

    def patch_ticket(
        self,
        tenant_id: int,
        ticket_id: int,
        *,
        status: str | None = None,
        unread: bool | None = None,
        tags: Sequence[str] | None = None,
        priority: str | None = None,
        queue: str | None = None,
    ) -> bool:
        """Change what is given, and tell of it by an event. False when there is no such ticket, or it became part of another."""
        change = {
            "status": status,
            "unread": unread,
            "tags": None if tags is None else list(dict.fromkeys(tags)),
            "priority": priority,
            "queue": queue,
        }
        with self._database.transaction() as t:
            number = t.value("patch_ticket", tenant_id=tenant_id, id=ticket_id, **change)
            if number is None:
                return False
            add_event(t, tenant_id, "ticket.updated", {"ticket_id": ticket_id, "ticket_number": number})
            return True

    def inbound(
        self, tenant_id: int, *, states: Sequence[str], inbox_id: int | None, before: int | None, limit: int
    ) -> list[Row]:
        with self._database.transaction() as t:
            return t.rows(
                "inbound_page",
                tenant_id=tenant_id,
                states=list(states),
                inbox_id=inbox_id,
                before_id=before,
                limit=limit,
            )


def _by_message(rows: Iterable[Row]) -> dict[int, list[dict[str, Any]]]:
    grouped: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        grouped[row["message_id"]].append(row)
    return grouped
