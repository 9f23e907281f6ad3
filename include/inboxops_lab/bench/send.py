"""`inboxops bench send`: replies of a running stack, from the call of its API to the mail server's 250."""

from __future__ import annotations

import re
import socket
import statistics
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from aiosmtpd.controller import Controller

from inboxops.composition import intake, mailboxes
from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.core.model import Batch, Cursor, Listed, RawMessage, Removed
from inboxops.errors import OperatorError
from inboxops.ports import Account, FetchLimits, MailboxInfo
from inboxops.stories.fetch import fetch

PATIENCE_SECONDS = 60.0
TENANT = "bench"


def send(world: World, count: int, *, say: Callable[[str], None]) -> dict[str, float]:
    """Seconds of `count` replies, one after the other, through the API and Airflow of the stack that `world` belongs to."""
    with Target() as target, _inbox(world, target.port) as inbox:
        say("sending")
        return _replies(world, inbox, target, count)


def _replies(world: World, inbox: Inbox, target: Target, count: int) -> dict[str, float]:
    key = world.api_keys.add(inbox.tenant_id, name="bench", role="agent")
    ticket = _ticket(world, inbox)
    waited: list[float] = []
    lost = 0
    headers = {"Authorization": f"Bearer {key}"}
    try:
        with httpx.Client(base_url=world.settings.api_url, headers=headers, timeout=30) as api:
            for number in range(count):
                began = time.monotonic()
                answer = api.post(f"/v1/tickets/{ticket}/replies", json={"body_text": f"Answer {number}"})
                if answer.status_code != 202:
                    raise OperatorError(f"the API answers {answer.status_code}: {answer.text[:200]}")
                arrived = target.wait(answer.json()["message_id_header"])
                if arrived is None:
                    lost += 1
                else:
                    waited.append(arrived - began)
    except httpx.HTTPError as exc:
        raise OperatorError(f"the API is away: {exc}", fix="Start the stack: inboxops up") from exc
    finally:
        world.api_keys.revoke(key.split("_")[1])
    return {
        "api_to_smtp_p50_seconds": round(statistics.median(waited or [0.0]), 3),
        "api_to_smtp_p95_seconds": round(sorted(waited or [0.0])[int(0.95 * (len(waited) - 1))], 3),
        "double_sends": sum(times - 1 for times in Counter(target.ids).values()),
        "lost": lost,
    }


class Target:
    """An SMTP server that takes everything and remembers when."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._arrived: dict[str, float] = {}
        self.ids: list[str] = []

    def __enter__(self) -> Target:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        found = re.search(rb"^Message-ID: <([^>]+)>", envelope.content, re.MULTILINE)
        id_ = found[1].decode() if found else ""
        self.ids.append(id_)
        self._arrived.setdefault(id_, time.monotonic())
        return "250 OK"

    def wait(self, message_id: str) -> float | None:
        """When it came, on the monotonic clock; None when it did not."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if message_id in self._arrived:
                return self._arrived[message_id]
            time.sleep(0.005)
        return None


@contextmanager
def _inbox(world: World, port: int) -> Iterator[Inbox]:
    """An inbox that only sends, gone afterwards."""
    world.inboxes.add_tenant(TENANT, "Measurements")
    connection = {"host": "127.0.0.1", "smtp_host": "127.0.0.1", "smtp_port": port}
    inbox_id = world.inboxes.add(
        tenant_id=world.inboxes.tenant_id(TENANT),
        name=f"bench-{uuid.uuid4().hex[:8]}",
        email_address="bench@bench.example",
        display_name="Bench",
        connection_type="imap",
        connection=connection | {"smtp_security": "plain", "smtp_auth": "none", "save_sent": False},
        credentials=world.vault.seal({"password": "none"}),
        first_sync_days=1,
        first_sync_messages=1,
    )
    assert inbox_id is not None, "its name is random"
    world.inboxes.pause(inbox_id, paused=True)
    try:
        yield world.inboxes.get(inbox_id)
    finally:
        world.inboxes.remove(inbox_id)


def _ticket(world: World, inbox: Inbox) -> int:
    """A ticket that came the usual way: through fetch, classify and persist."""
    fetch(
        inbox,
        mailboxes.account(world, inbox),
        _OneMail(),
        world.inbound,
        world.inboxes,
        world.objects,
        limits=FetchLimits(),
        max_batches=1,
    )
    intake.file(world, inbox.id)
    (ticket,) = world.tickets.listed(inbox_id=inbox.id)
    return int(ticket["id"])


class _OneMail:
    """A provider and its mailbox that hold one question."""

    @contextmanager
    def open(self, account: Account) -> Iterator[_OneMail]:
        yield self

    def info(self) -> MailboxInfo:
        return MailboxInfo("bench", "bench", 1)

    def has_news(self, cursor: Cursor) -> bool:
        return True

    def batches(self, cursor: Cursor, limits: FetchLimits) -> Iterator[Batch]:
        yield from self.named([Listed("bench/1")], Cursor(uid_validity=1, last_uid=1), limits)

    def listing(self, since: datetime, until: datetime) -> Iterator[Listed]:
        yield Listed("bench/1")

    def named(self, wanted: Sequence[Listed], cursor: Cursor, limits: FetchLimits) -> Iterator[Batch]:
        raw = b"From: ann@customer.example\r\nTo: bench@bench.example\r\nSubject: How long?\r\n\r\nHow long?\r\n"
        now = datetime.now(UTC)
        yield Batch(tuple(RawMessage(one.key, raw, now, len(raw)) for one in wanted), cursor)

    def remove(self, key: str) -> Removed:
        return Removed.GONE
