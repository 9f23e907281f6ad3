"""A connected inbox on real servers."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from inboxops.composition import intake
from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.errors import Overtaken
from inboxops_lab.testing.mailserver import MailServer


@dataclass
class Mailbox:
    """A user on the mail server and the inbox connected to it."""

    world: World
    server: MailServer
    user: str
    inbox_id: int

    @property
    def inbox(self) -> Inbox:
        return self.world.inboxes.get(self.inbox_id)

    def deliver(self, *messages: bytes) -> None:
        for raw in messages:
            self.server.append(self.user, raw)

    def run(self) -> None:
        """All three stages, as a run of the inbox's DAG would do them. Where one is at it, that one ends."""
        try:
            intake.fetch(self.world, self.inbox_id)
        except Overtaken:
            deadline = time.monotonic() + 60
            while self.states().keys() & {"stored", "classified"} and time.monotonic() < deadline:
                time.sleep(0.1)
            intake.fetch(self.world, self.inbox_id)
        intake.file(self.world, self.inbox_id)

    def query(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        with self.world.database.transaction() as t:
            return [tuple(row.values()) for row in t.connection.execute(sql.encode(), parameters).fetchall()]

    def states(self) -> dict[str, int]:
        return self.world.inbound.counts(self.inbox_id)

    def tickets(self) -> list[tuple[object, ...]]:
        return self.query(
            "SELECT subject, (SELECT count(*) FROM messages m WHERE m.ticket_id = t.id) FROM tickets t"
            " WHERE inbox_id = %s AND merged_into_ticket_id IS NULL ORDER BY ticket_number",
            self.inbox_id,
        )


@pytest.fixture
def mailbox(world: World, tenant: str, mail_server: MailServer) -> Iterator[Mailbox]:
    yield connect(world, tenant, mail_server)


def connect(world: World, tenant: str, mail_server: MailServer, name: str = "support") -> Mailbox:
    user = f"u{uuid.uuid4().hex[:12]}"
    mail_server.add_user(user, "secret password")
    connection = {
        "host": "localhost",
        "port": mail_server.port_imaps,
        "security": "tls",
        "folder": "INBOX",
        "ca_file": mail_server.ca_file,
    }
    inbox_id = world.inboxes.add(
        tenant_id=world.inboxes.tenant_id(tenant),
        name=name,
        email_address=f"{name}@{tenant}.example",
        display_name="",
        connection_type="imap",
        connection=connection,
        credentials=world.vault.seal({"username": user, "password": "secret password"}),
        first_sync_days=7,
        first_sync_messages=500,
    )
    assert inbox_id is not None
    return Mailbox(world, mail_server, user, inbox_id)


def mail(
    subject: str = "Help",
    *,
    id: str = "",
    sender: str = "ann@customer.example",
    body: str = "Please help.",
    answers: str = "",
    more: str = "",
) -> bytes:
    headers = [
        f"From: {sender}",
        "To: support@acme.example",
        f"Subject: {subject}",
        f"Date: {datetime.now(UTC):%a, %d %b %Y %H:%M:%S +0000}",
        f"Message-ID: <{id or uuid.uuid4().hex}@customer.example>",
        *([f"In-Reply-To: <{answers}@customer.example>"] if answers else []),
        *([more] if more else []),
    ]
    return "\r\n".join([*headers, "", body, ""]).encode()
