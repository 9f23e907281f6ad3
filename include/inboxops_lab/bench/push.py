"""`inboxops bench push`: how fast webhooks answer, how few runs a burst makes, and how soon a pushed mail is a ticket.

What Google signs is checked, as in production.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from inboxops.composition import pushing
from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.errors import TransientError
from inboxops_lab.bench.clouds import Clouds, clouds, until
from inboxops_lab.bench.lines import Lines, percentile, steadily

RATE, SECONDS = 200, 10
BURST, BURST_SECONDS, BURST_MAILS = 1000, 10, 20
QUIET_SECONDS = 5.0

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


def push(mails: int, *, say: Say) -> PushNumbers:
    """mails: how many are measured on their way to a ticket. Raises OperatorError when the stack does not start or stalls."""
    say("starting PostgreSQL, Valkey, S3, the API and Airflow")
    with clouds() as scene:
        say("connecting")
        gmail, microsoft = scene.connect("gmail", "burst"), scene.connect("microsoft", "one-by-one")
        _register(scene, microsoft)
        for inbox in (gmail, microsoft):
            _settle(scene, inbox)
        say(f"{RATE} pushes a second for {SECONDS} s")
        answers, per_second = _pushes(scene, gmail.email_address, RATE * SECONDS, RATE)
        _quiet(scene, gmail)
        say(f"{BURST} pushes for one inbox in {BURST_SECONDS} s")
        runs, missed = _burst(scene, gmail)
        waited = [_one_mail(scene, microsoft, number, say) for number in range(mails)]
    return PushNumbers(
        answer_p95_seconds=round(percentile(answers, 0.95), 4),
        requests_per_second=round(per_second, 1),
        burst_notifications=BURST,
        burst_fetch_runs=runs,
        missed=missed,
        push_to_ticket_p50_seconds=round(statistics.median(waited), 3),
        push_to_ticket_p95_seconds=round(percentile(waited, 0.95), 3),
    )


def _pushes(
    scene: Clouds, address: str, count: int, rate: float, *, before: Callable[[int], None] = lambda number: None
) -> tuple[list[float], float]:
    """As `steadily`: pushes of Google's for this address."""
    pubsub = scene.gmail.pubsub
    bodies = [json.dumps(pubsub.envelope(address, number + 1)).encode() for number in range(count)]
    lines = Lines(scene.world.settings.api_url, pubsub.token())

    def request(number: int) -> Awaitable[object]:
        return lines.ask("POST", "/api/webhooks/gmail-push", bodies[number])

    return asyncio.run(steadily(count, rate, request, before=before))


def _burst(scene: Clouds, inbox: Inbox) -> tuple[int, int]:
    """(runs that it made, mails that they did not bring in)"""
    known = set(_runs(scene, inbox))
    wanted = {f"Burst {number}" for number in range(BURST_MAILS)}
    every = BURST // BURST_MAILS

    def deliver(number: int) -> None:
        if number % every == 0:
            scene.gmail.deliver(inbox.email_address, _mail(f"Burst {number // every}"))

    _pushes(scene, inbox.email_address, BURST, BURST / BURST_SECONDS, before=deliver)
    _quiet(scene, inbox)
    return len(set(_runs(scene, inbox)) - known), len(wanted - scene.tickets(inbox))


def _one_mail(scene: Clouds, inbox: Inbox, number: int, say: Say) -> float:
    """Seconds from a mail's arrival at Microsoft to its committed ticket. Waits first until nothing is held back."""
    say(f"mail {number + 1} on its way to a ticket")
    time.sleep(scene.world.settings.wake_gap_seconds + random.uniform(0.5, 1.5))
    subject = f"Mail {number}"
    began = time.perf_counter()
    scene.graph.deliver(inbox.email_address, _mail(subject))
    until("the mail is a ticket", lambda: subject in scene.tickets(inbox), every=0.02)
    return time.perf_counter() - began


def _register(scene: Clouds, inbox: Inbox) -> None:
    """Microsoft's stand-in pushes by itself then; what Google would push, the measurement does."""
    pushing.register(scene.world, inbox.id)


def _runs(scene: Clouds, inbox: Inbox) -> dict[str, str]:
    """Runs that something woke, by name, with their states."""
    answer = scene.airflow.get(f"/dags/{inbox.dag_id}/dagRuns", order_by="-run_after", limit=100)
    return {run["dag_run_id"]: run["state"] for run in answer["dag_runs"] if run["run_type"] != "scheduled"}


def _is_quiet(scene: Clouds, inbox: Inbox) -> bool:
    with scene.world.database.transaction() as t:
        waiting = t.connection.execute(
            "SELECT 1 FROM outbox WHERE kind = 'wake' AND name = %s AND done_at IS NULL", (str(inbox.id),)
        ).fetchone()
    return waiting is None and {"queued", "running"}.isdisjoint(_runs(scene, inbox).values())


def _settle(scene: Clouds, inbox: Inbox) -> None:
    """Airflow knows the inbox, and it was read once."""
    world = scene.world
    until("Airflow knows the inbox", lambda: _wakes(world, inbox))
    until("it was read once", lambda: not world.inboxes.get(inbox.id).cursor.is_start)
    _quiet(scene, inbox)


def _quiet(scene: Clouds, inbox: Inbox) -> None:
    """Wait until no wake-up and no run was seen for a while: Airflow makes a run a moment after the event."""
    since = 0.0

    def lasts() -> bool:
        nonlocal since
        if not _is_quiet(scene, inbox):
            since = 0.0
            return False
        since = since or time.monotonic()
        return time.monotonic() - since > QUIET_SECONDS

    until("the inbox is quiet", lasts, every=0.5)


def _wakes(world: World, inbox: Inbox) -> bool:
    try:
        world.airflow.wake(inbox.id)
    except TransientError:
        return False
    return True


def _mail(subject: str) -> bytes:
    head = f"From: Ann <ann@customer.example>\r\nTo: help@bench.example\r\nSubject: {subject}\r\n"
    return f"{head}Message-ID: <{subject.replace(' ', '.')}@customer.example>\r\n\r\nPlease help.\r\n".encode()
