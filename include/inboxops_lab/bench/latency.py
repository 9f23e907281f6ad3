"""`inboxops bench latency`: how soon an appended mail is a committed ticket, woken by IMAP IDLE and by an asset event."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from inboxops.composition import runs
from inboxops.db.inboxes import room_after
from inboxops.errors import OperatorError
from inboxops_lab.bench.place import Place, appears, place

Say = Callable[[str], None]
PER_HOUR = 100_000  # fetches: the limit must not be what is measured
PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 1.0, 2.0
"""Between two mails, so that each finds a quiet inbox; by chance, or all would meet Airflow's loop of a second at one point."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds. idle, event: from the mail's delivery to its commit; api_to_task: from the call to the first line of the task."""

    samples: int
    idle_p50_seconds: float
    idle_p95_seconds: float
    event_p50_seconds: float
    event_p95_seconds: float
    api_to_task_p50_seconds: float


def latency(
    samples: int,
    *,
    more: Mapping[str, str] | None = None,
    beside: Callable[[Place], AbstractContextManager[object]] = nullcontext,
    say: Say,
) -> Latency:
    """more: added to the stack's environment; beside: what goes on in it while mails come.

    Raises OperatorError without Dovecot, or when a mail is not a ticket within a minute.
    """
    settings = {"INBOXOPS_FETCH_LIMIT_PER_HOUR": str(PER_HOUR), "INBOXOPS_IDLE_INBOXES": "1", **(more or {})}
    say("starting the whole stack and Dovecot")
    with place(more=settings) as here:
        # IDLE holds the inbox with the lowest id, and no other.
        held, woken = (_Inbox(here, name) for name in ("held", "woken"))
        say("waiting for both inboxes in Airflow")
        for inbox in (held, woken):
            appears(here, inbox.id)
            inbox.deliver()
            runs.wake(here.world, inbox.id)
            inbox.until_filed()
        say("waiting for IDLE")
        held.until("its mailbox is held in IDLE", "SELECT idle_since IS NOT NULL AS so FROM inboxes WHERE id = %s")
        idle, events, tasks = [], [], []
        with beside(here):
            for number in range(samples):
                say(f"IDLE: mail {number + 1} of {samples}")
                idle.append(_timed(held))
            for number in range(samples):
                say(f"asset event: mail {number + 1} of {samples}")
                events.append(_timed(woken, lambda: here.world.airflow.wake(woken.id)))
                tasks.append((woken.fetch_began() - woken.delivered_at).total_seconds())
    return Latency(
        samples=samples,
        idle_p50_seconds=_p(50, idle),
        idle_p95_seconds=_p(95, idle),
        event_p50_seconds=_p(50, events),
        event_p95_seconds=_p(95, events),
        api_to_task_p50_seconds=_p(50, tasks),
    )


def _timed(inbox: _Inbox, then: Callable[[], None] = lambda: None) -> float:
    """Seconds from the delivery of one mail to its commit."""
    time.sleep(random.uniform(*PAUSE_SECONDS))
    began = time.monotonic()
    inbox.deliver()
    then()
    inbox.until_filed()
    return time.monotonic() - began


def _p(percent: int, values: list[float]) -> float:
    return round(
        values[0] if len(values) == 1 else statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 3
    )


class _Inbox:
    """A mailbox and how many of its mails should have become messages."""

    def __init__(self, here: Place, user: str) -> None:
        self._here, self._user, self._delivered = here, user, 0
        self.delivered_at = datetime.now(UTC)
        self.id = here.add_mailbox(user)

    def deliver(self) -> None:
        self._delivered += 1
        id_ = f"{self._user}.{self._delivered}@customer.example"
        head = f"From: ann@customer.example\r\nSubject: Question {self._delivered}\r\nMessage-ID: <{id_}>\r\n"
        self._here.dovecot.append(self._user, f"{head}\r\nHow long?\r\n".encode())
        self.delivered_at = datetime.now(UTC)

    def until_filed(self) -> None:
        filed = "SELECT count(*) = %s AS so FROM messages WHERE inbox_id = %s"
        self.until("its mail is a ticket", filed, self._delivered)

    def until(self, what: str, question: str, *parameters: int) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._ask(question, *parameters):
            if time.monotonic() > deadline:
                raise OperatorError(f"not within {PATIENCE_SECONDS:.0f} s for inbox {self._user}: {what}")
            time.sleep(0.01)

    def fetch_began(self) -> datetime:
        """When the last woken fetch took its place within the hourly limit, which is the first thing that it does."""
        slot = self._ask("SELECT fetch_slot_at AS so FROM inboxes WHERE id = %s")
        assert isinstance(slot, datetime)
        return slot - room_after(PER_HOUR)

    def _ask(self, question: str, *parameters: int) -> object:
        with self._here.world.database.transaction() as t:
            row = t.connection.execute(question.encode(), (*parameters, self.id)).fetchone()
        return row["so"] if row else None
