"""An inbox with mail in it at each kind of provider, and the account that is taken of it afterwards."""

from __future__ import annotations

import base64
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import Any

import redis

from inboxops.composition import intake
from inboxops.composition.world import World
from inboxops.events.redis_bus import stream
from inboxops.stories import files
from tests.crash.life import QUESTION, SPAM
from tests.crash.process import Ended, Processes
from tests.stories.conftest import mail

LARGE = bytes(range(256)) * 50
PASSWORD = "secret password"
AUTO_RESPONSE = "Thank you, {{ticket_number}}."


def mails() -> list[bytes]:
    """Two questions, an answer to one, its copy, something set aside; a file small and one large enough to stand apart."""
    ids = [uuid.uuid4().hex for _ in range(4)]
    boundary = uuid.uuid4().hex
    large = base64.encodebytes(LARGE).replace(b"\n", b"\r\n").decode().rstrip()
    parts = "".join(
        f'--{boundary}\r\nContent-Type: application/octet-stream; name="{name}"\r\nContent-Disposition: attachment\r\n'
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n{content}\r\n"
        for name, encoding, content in (("small.bin", "7bit", "x" * 100), ("large.bin", "base64", large))
    )
    body = f"--{boundary}\r\nContent-Type: text/plain\r\n\r\nSee there.\r\n{parts}--{boundary}--"
    first = mail(QUESTION, id=ids[0])
    return [
        first,
        mail(f"Re: {QUESTION}", id=ids[1], answers=ids[0], body="One thing more."),
        mail(
            "Question B",
            id=ids[2],
            sender="ben@customer.example",
            more=f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="{boundary}"',
            body=body,
        ),
        b"Received: by scanner.example; Sat, 28 Nov 2026 20:21:13 +0000\r\n" + first,
        mail(SPAM, id=ids[3], sender="win@lottery.example", more="X-Spam-Flag: YES"),
    ]


def message_id(raw: bytes) -> str:
    return str(message_from_bytes(raw, policy=policy.compat32)["Message-ID"]).strip()


@dataclass
class Scene(ABC):
    """One inbox. `deliver`, `there` and `out` speak to its server: that is the list everything is compared with."""

    kind: str
    world: World
    tenant: str
    processes: Processes
    delivered: list[bytes] = field(default_factory=list)
    inbox_id: int = 0

    @abstractmethod
    def connect(self) -> dict[str, Any]:
        """Make the mailbox: what `InboxStore.add` has to know of it."""

    @abstractmethod
    def deliver(self, raw: bytes) -> None: ...

    @abstractmethod
    def there(self) -> list[str]:
        """Message-IDs of what the server has in the folder that is read."""

    @abstractmethod
    def out(self) -> list[bytes]:
        """What the server took to send, oldest first."""

    def expire_token(self) -> None:  # noqa: B027  # most have none
        """Access tokens are refused from now on, where there are such."""

    def close(self) -> None:
        self.world.inboxes.remove(self.inbox_id)
        self.world.close()

    def set_up(self) -> None:
        about = {"name": "support", "display_name": "", "first_sync_days": 7, "first_sync_messages": 500}
        tenant_id = self.world.inboxes.tenant_id(self.tenant)
        inbox_id = self.world.inboxes.add(tenant_id=tenant_id, connection_type=self.kind, **about, **self.connect())
        assert inbox_id is not None
        self.inbox_id = inbox_id
        self.world.inboxes.change(inbox_id, auto_response_enabled=True, auto_response_body=AUTO_RESPONSE)
        intake.fetch(self.world, inbox_id)  # nothing is answered automatically that came before the inbox was connected
        for raw in mails():
            self.bring(raw)
        self.expire_token()

    def bring(self, raw: bytes) -> None:
        self.deliver(raw)
        self.delivered.append(raw)

    def live(self, point: str = "", nth: int = 1) -> Ended:
        settings = {
            name: value.get_secret_value() if hasattr(value, "get_secret_value") else value
            for name, value in self.world.settings
        }
        return self.processes.run(point=point, nth=nth, settings=settings, inbox_id=self.inbox_id)

    def let_leases_end(self) -> None:
        """What waiting does after a crash; what a provider sent an hour ago shows in its Sent folder."""
        self.run("UPDATE messages SET send_lease_until = now() WHERE send_lease_until IS NOT NULL")
        self.run("UPDATE messages SET handed_over_at = handed_over_at - interval '1 hour'")
        self.run("UPDATE outbox SET available_at = now() WHERE done_at IS NULL")

    def reconnect(self) -> None:
        """A person connects the mailbox again."""
        raise AssertionError("only a consent can be lost")

    def told_once(self, event: str) -> None:
        tenant_id = self.world.inboxes.tenant_id(self.tenant)
        with self.world.database.transaction() as t:
            row = t.connection.execute(
                "SELECT count(*) FROM outbox WHERE tenant_id = %s AND name = %s", (tenant_id, event)
            ).fetchone()
        assert row is not None
        assert row["count"] == 1

    def run(self, sql: str) -> None:
        with self.world.database.transaction() as t:
            t.connection.execute(sql.encode())

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """%s: the inbox."""
        with self.world.database.transaction() as t:
            return [tuple(row.values()) for row in t.connection.execute(sql.encode(), (self.inbox_id,)).fetchall()]

    # -- the account

    def check(self, *, doubt: bool = False) -> None:
        """Everything is where it belongs, once. doubt: a message may be `unknown` instead of sent."""
        self._mail_is_here_once()
        self._tickets_are_right()
        self._out_once(doubt=doubt)
        self._events_were_heard()
        self._cursor_is_right()

    def _mail_is_here_once(self) -> None:
        assert sorted(self.there()) == sorted(map(message_id, self.delivered)), "the test's own list is the server's"
        rows = self.query("SELECT id, state, message_id_header FROM inbound WHERE inbox_id = %s ORDER BY id")
        assert Counter(state for _, state, _ in rows) == {"persisted": len(self.delivered) - 1, "duplicate": 1}
        assert sorted(intake.raw_mail(self.world, row[0]) for row in rows) == sorted(
            b"\r\n".join(raw.splitlines()) + b"\r\n" for raw in self.delivered
        )

    def _tickets_are_right(self) -> None:
        tickets = self.query(
            "SELECT subject, (SELECT count(*) FROM messages m WHERE m.ticket_id = t.id AND direction = 'inbound') AS came,"
            " (SELECT count(*) FROM messages m WHERE m.ticket_id = t.id AND type = 'auto_response') AS answered, ticket_number"
            " FROM tickets t WHERE inbox_id = %s ORDER BY subject"
        )
        shown = [row[:3] for row in tickets]
        assert shown == [(QUESTION, 2, 1), ("Question B", 1, 1), (SPAM, 1, 0)], shown
        assert sorted(row[3] for row in tickets) == list(range(1, len(tickets) + 1))
        attached = self.query(
            "SELECT m.tenant_id, a.id FROM attachments a JOIN messages m ON m.id = a.message_id WHERE m.inbox_id = %s"
            " ORDER BY a.size_bytes"
        )
        contents = [b"".join(files.read(*one, self.world.attachments, self.world.objects)[2]) for one in attached]
        assert contents == [b"x" * 100, LARGE]

    def _out_once(self, *, doubt: bool) -> None:
        rows = self.query(
            "SELECT message_id_header, send_status FROM messages WHERE inbox_id = %s AND direction = 'outbound'"
        )
        assert len(rows) == 3, "two automatic answers and a reply"
        left = Counter(message_id(raw).strip("<>") for raw in self.out())
        assert set(left) <= {id_ for id_, _ in rows}
        assert all(count == 1 for count in left.values()), "at most one mail out"
        unsure = [id_ for id_, status in rows if status == "unknown"]
        assert len(unsure) <= int(doubt)
        assert {status for id_, status in rows if id_ not in unsure} == {"sent"}
        assert all(left[id_] == 1 for id_, status in rows if status == "sent")

    def _events_were_heard(self) -> None:
        tenant_id = self.world.inboxes.tenant_id(self.tenant)
        with self.world.database.transaction() as t:
            rows = t.connection.execute(
                "SELECT id, kind, done_at IS NOT NULL AS done FROM outbox WHERE tenant_id = %s", (tenant_id,)
            ).fetchall()
        assert all(row["done"] for row in rows), "nothing waits"
        client = redis.Redis.from_url(self.world.settings.redis_url.get_secret_value(), decode_responses=True)
        heard = "".join(entry["event"] for _, entry in client.xrange(stream(tenant_id)))
        events = [row["id"] for row in rows if row["kind"] == "event"]
        assert len(events) > 10
        assert [id_ for id_ in events if f'"id":{id_},' not in heard] == []

    def _cursor_is_right(self) -> None:
        inbox = self.world.inboxes.get(self.inbox_id)
        assert (inbox.state, inbox.last_error) == ("connected", None)
        assert not intake.wants_fetch(self.world, self.inbox_id), "it stands behind all there is"
        self.bring(mail("One more", id=uuid.uuid4().hex))
        assert intake.fetch_by_clock(self.world, self.inbox_id).stored == 1, "and before what comes"
        intake.file(self.world, self.inbox_id)
        assert ("One more", 1) in self.query(
            "SELECT subject, (SELECT count(*) FROM messages m WHERE m.ticket_id = t.id AND direction = 'inbound') AS came"
            " FROM tickets t WHERE inbox_id = %s"
        )
