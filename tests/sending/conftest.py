"""An inbox that can send, with a ticket in it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from inboxops.composition import sending
from inboxops.composition.world import World
from inboxops.core.outbound import Accepted, ReplyRequest
from inboxops_lab.testing.mailserver import MailServer
from tests.sending.smtpserver import Submission, Taken
from tests.stories.conftest import Mailbox, connect, mail


@dataclass
class Agent:
    """An agent in front of one inbox: tickets in, replies out."""

    box: Mailbox

    @property
    def world(self) -> World:
        return self.box.world

    @property
    def tenant_id(self) -> int:
        return self.box.inbox.tenant_id

    def ticket(self, **about: str) -> int:
        """The id of a new ticket that a customer opened."""
        subject = f"Question {uuid.uuid4().hex[:8]}"
        self.box.deliver(mail(about.pop("subject", subject), **about))
        self.box.run()
        rows = self.box.query("SELECT max(id) FROM tickets WHERE inbox_id = %s", self.box.inbox_id)
        return int(str(rows[0][0]))

    def reply(self, ticket_id: int, text: str = "Here is your answer.", **request: Any) -> Accepted:
        key = request.pop("idempotency_key", None)
        return sending.reply(
            self.world,
            self.tenant_id,
            ticket_id,
            ReplyRequest(text, **request),
            author="Ann Agent",
            idempotency_key=key,
        )

    def send(self, accepted: Accepted, attempt: int = 0) -> str:
        return sending.send(self.world, accepted.message_id, attempt).state

    def row(self, message_id: int) -> dict[str, Any]:
        with self.world.database.transaction() as t:
            row = t.connection.execute(b"SELECT * FROM messages WHERE id = %s", (message_id,)).fetchone()
        assert row is not None
        return row

    def let_lease_end(self, message_id: int) -> None:
        """What waiting does after a crash."""
        with self.world.database.transaction() as t:
            t.connection.execute(b"UPDATE messages SET send_lease_until = now() WHERE id = %s", (message_id,))

    def let_an_hour_pass(self, message_id: int) -> None:
        """After which a provider shows what it has sent."""
        self.box.query(
            "UPDATE messages SET handed_over_at = now() - interval '1 hour' WHERE id = %s RETURNING 1", message_id
        )


@dataclass
class Desk(Agent):
    """Replies go out through `submission`."""

    submission: Submission

    def through(self, port: int, **more: object) -> None:
        """Send by another server from now on."""
        connection = {**self.box.inbox.connection, "smtp_host": "localhost", "smtp_port": port, **more}
        sealed = self.world.inboxes.credentials(self.box.inbox_id)
        assert sealed is not None
        self.world.inboxes.reconnect(self.box.inbox_id, connection, sealed)

    def in_sent(self, message_id_header: str) -> int:
        with self.box.server.client(self.box.user) as client:
            if not client.folder_exists("Sent"):
                return 0
            client.select_folder("Sent", readonly=True)
            return len(client.search(["HEADER", "Message-ID", f"<{message_id_header}>"]))

    @property
    def taken(self) -> list[Taken]:
        return self.submission.taken


@contextmanager
def set_up(world: World, tenant: str, mail_server: MailServer) -> Iterator[Desk]:
    """A connected inbox that sends through a mail server of its own."""
    box = connect(world, tenant, mail_server)
    submission = Submission(users={box.user: "secret password"})
    desk = Desk(box, submission)
    desk.through(submission.port, smtp_security="plain")
    try:
        yield desk
    finally:
        submission.stop()


@pytest.fixture
def desk(world: World, tenant: str, mail_server: MailServer) -> Iterator[Desk]:
    with set_up(world, tenant, mail_server) as desk:
        yield desk
