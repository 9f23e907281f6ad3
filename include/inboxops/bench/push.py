"""`inboxops bench push`: how fast webhooks answer, how few runs a burst makes, and how soon a pushed mail is a ticket.

A whole stack of its own, with Google and Microsoft stood in for in this process; what Google signs is checked.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from inboxops.bench.place import without_ours
from inboxops.core.inbox import Inbox
from inboxops.demo import certificates
from inboxops.errors import OperatorError, TransientError
from inboxops.oauth.http import trust
from inboxops.pushing import Pushing
from inboxops.settings import Settings
from inboxops.stack.testing import running
from inboxops.standins.demo import Account, consent
from inboxops.standins.gmail import Gmail
from inboxops.standins.graph import Graph
from inboxops.standins.http import Serving
from inboxops.standins.pubsub import SERVICE_ACCOUNT
from inboxops.standins.running import CA_FILE, CHAIN_FILE, run
from inboxops.wiring import World

TENANT, AUDIENCE = "bench", "bench-push"
RATE, SECONDS = 200, 10
BURST, BURST_SECONDS, BURST_MAILS = 1000, 10, 20
PATIENCE_SECONDS = 120.0
QUIET_SECONDS = 5.0

T = TypeVar("T")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PushNumbers:
    """Seconds and counts. missed: mails of the burst that no run brought in."""

    answer_p95_seconds: float
    requests_per_second: float
    burst_notifications: int
    burst_fetch_runs: int
    missed: int
    push_to_ticket_p50_seconds: float
    push_to_ticket_p95_seconds: float


@dataclass(frozen=True, slots=True)
class _Scene:
    world: World
    gmail: Gmail
    graph: Graph

    def tickets(self, inbox: Inbox) -> set[str]:
        with self.world.database.transaction() as t:
            rows = t.connection.execute("SELECT subject FROM tickets WHERE inbox_id = %s", (inbox.id,)).fetchall()
        return {row["subject"] for row in rows}

    def runs(self, inbox: Inbox) -> dict[str, str]:
        """Runs that something woke, by name, with their states."""
        answer = self.world.airflow.get(f"/dags/{inbox.dag_id}/dagRuns", order_by="-run_after", limit=100)
        return {run["dag_run_id"]: run["state"] for run in answer["dag_runs"] if run["run_type"] != "scheduled"}

    def is_quiet(self, inbox: Inbox) -> bool:
        with self.world.database.transaction() as t:
            waiting = t.connection.execute(
                "SELECT 1 FROM outbox WHERE kind = 'wake' AND name = %s AND done_at IS NULL", (str(inbox.id),)
            ).fetchone()
        return waiting is None and {"queued", "running"}.isdisjoint(self.runs(inbox).values())


def push(mails: int, *, say: Say) -> PushNumbers:
    """mails: how many are measured on their way to a ticket. Raises OperatorError when the stack does not start or stalls."""
    with _scene(say) as scene:
        gmail = _connected(scene, Account("gmail", "gmail", "burst@bench.example", "Burst"), say)
        microsoft = _connected(scene, Account("microsoft", "microsoft", "slow@bench.example", "One by one"), say)
        say(f"{RATE} pushes a second for {SECONDS} s")
        answers, per_second = asyncio.run(_steadily(scene, gmail.email_address, RATE * SECONDS, RATE))
        _quiet(scene, gmail)
        say(f"{BURST} pushes for one inbox in {BURST_SECONDS} s")
        runs, missed = _burst(scene, gmail)
        waited = [_one_mail(scene, microsoft, number, say) for number in range(mails)]
    return PushNumbers(
        answer_p95_seconds=_p95(answers),
        requests_per_second=round(per_second, 1),
        burst_notifications=BURST,
        burst_fetch_runs=runs,
        missed=missed,
        push_to_ticket_p50_seconds=round(statistics.median(waited), 3),
        push_to_ticket_p95_seconds=_p95(waited),
    )


async def _steadily(
    scene: _Scene, address: str, count: int, rate: float, *, before: Callable[[int], None] = lambda number: None
) -> tuple[list[float], float]:
    """Send `count` pushes at a steady rate, whether answers come or not: (seconds to each answer, answers a second)."""
    pubsub, token = scene.gmail.pubsub, scene.gmail.pubsub.token()
    bodies = [json.dumps(pubsub.envelope(address, number + 1)).encode() for number in range(count)]
    lines = _Lines(scene.world.settings.api_url)
    seconds: list[float] = []

    async def one(body: bytes) -> None:
        sent = time.perf_counter()
        await lines.post("/api/webhooks/gmail-push", token, body)
        seconds.append(time.perf_counter() - sent)

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, body in enumerate(bodies):
            await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
            before(number)
            group.create_task(one(body))
    return seconds, count / (time.perf_counter() - begin)


class _Lines:
    """As little of an HTTP client as can be: on two cores a real one would cost more than the server that is measured."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, token: str, body: bytes) -> None:
        """Raises OperatorError for any answer but 204."""
        while self._idle and self._idle[-1][0].at_eof():
            self._idle.pop()
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        head = (
            f"POST {path} HTTP/1.1",
            f"Host: {self._host}",
            f"Authorization: Bearer {token}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 204 "):
            raise OperatorError(f"the webhook answers {answer.partition(b' ')[2][:60]!r}")
        self._idle.append((reader, writer))


def _burst(scene: _Scene, inbox: Inbox) -> tuple[int, int]:
    """(runs that it made, mails that they did not bring in)"""
    known = set(scene.runs(inbox))
    wanted = {f"Burst {number}" for number in range(BURST_MAILS)}
    every = BURST // BURST_MAILS

    def deliver(number: int) -> None:
        if number % every == 0:
            scene.gmail.deliver(inbox.email_address, _mail(f"Burst {number // every}"))

    asyncio.run(_steadily(scene, inbox.email_address, BURST, BURST / BURST_SECONDS, before=deliver))
    _quiet(scene, inbox)
    return len(set(scene.runs(inbox)) - known), len(wanted - scene.tickets(inbox))


def _one_mail(scene: _Scene, inbox: Inbox, number: int, say: Say) -> float:
    """Seconds from a mail's arrival at Microsoft to its committed ticket. Waits first until nothing is held back."""
    say(f"mail {number + 1} on its way to a ticket")
    time.sleep(scene.world.settings.wake_gap_seconds + random.uniform(0.5, 1.5))
    subject = f"Mail {number}"
    began = time.perf_counter()
    scene.graph.deliver(inbox.email_address, _mail(subject))
    _until("the mail is a ticket", lambda: subject in scene.tickets(inbox), every=0.02)
    return time.perf_counter() - began


@contextmanager
def _scene(say: Say) -> Iterator[_Scene]:
    say("starting PostgreSQL, Valkey, S3, the API and Airflow")
    environment = {
        **without_ours(),
        "INBOXOPS_GOOGLE_PUBSUB_AUDIENCE": AUDIENCE,
        "INBOXOPS_GOOGLE_PUBSUB_SERVICE_ACCOUNT": SERVICE_ACCOUNT,
    }
    with tempfile.TemporaryDirectory(prefix="inboxops-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        (home / "standins").mkdir(parents=True)  # the API reads the authority's certificate when it starts
        certificates.make(home / "standins" / CA_FILE, home / "standins" / CHAIN_FILE)
        with (
            running(home, environment=environment, seconds=300) as settings,
            _standing_in("gmail", settings.google_api_url, home) as google,
            _standing_in("graph", settings.microsoft_graph_url, home) as microsoft,
        ):
            gmail, graph = google.stand_in, microsoft.stand_in
            assert isinstance(gmail, Gmail)
            assert isinstance(graph, Graph)
            gmail.pubsub.audience = AUDIENCE
            world = World(_with_push(settings))
            try:
                world.inboxes.add_tenant(TENANT, "Bench Ltd")
                yield _Scene(world, gmail, graph)
            finally:
                world.close()


def _with_push(settings: Settings) -> Settings:
    """Google's notices are sent by the measurement, Microsoft's by its stand-in."""
    return settings.model_copy(update={"graph_push_notification_url": f"{settings.api_url}/api/webhooks/graph-push"})


def _standing_in(kind: str, url: str, home: Path) -> Serving:
    """Where the stack's settings look for it."""
    return run(kind, port=urlsplit(url).port or 0, users=[], ask=False, folder=home / "standins")


def _connected(scene: _Scene, account: Account, say: Say) -> Inbox:
    say(f"connecting {account.address}")
    world = scene.world
    with httpx.Client(verify=trust(world.settings.provider_ca_file)) as http:
        stand_in = scene.gmail if account.kind == "gmail" else scene.graph
        stand_in.mailbox(account.address)
        inbox = consent(world, account, TENANT, None, http)
    if account.kind == "microsoft":
        Pushing(world).register(inbox.id)
    _until("Airflow knows the inbox", lambda: _wakes(world, inbox))
    _until("it was read once", lambda: not world.inboxes.get(inbox.id).cursor.is_start)
    _quiet(scene, inbox)
    return inbox


def _quiet(scene: _Scene, inbox: Inbox) -> None:
    """Wait until no wake-up and no run was seen for a while: Airflow makes a run a moment after the event."""
    since = 0.0

    def lasts() -> bool:
        nonlocal since
        if not scene.is_quiet(inbox):
            since = 0.0
            return False
        since = since or time.monotonic()
        return time.monotonic() - since > QUIET_SECONDS

    _until("the inbox is quiet", lasts, every=0.5)


def _wakes(world: World, inbox: Inbox) -> bool:
    try:
        world.airflow.wake(inbox.id)
    except TransientError:
        return False
    return True


def _until(what: str, look: Callable[[], T], *, every: float = 0.1) -> T:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(every)
    raise OperatorError(f"not within {PATIENCE_SECONDS:.0f} s: {what}")


def _mail(subject: str) -> bytes:
    head = f"From: Ann <ann@customer.example>\r\nTo: help@bench.example\r\nSubject: {subject}\r\n"
    return f"{head}Message-ID: <{subject.replace(' ', '.')}@customer.example>\r\n\r\nPlease help.\r\n".encode()


def _p95(seconds: list[float]) -> float:
    return round(sorted(seconds)[int(0.95 * (len(seconds) - 1))], 4)
