"""`inboxops bench grow`: what a message costs when the database already holds many."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files

import psycopg

from inboxops.errors import OperatorError
from inboxops_lab.bench.meter import cpu_seconds
from inboxops_lab.bench.place import TENANT, Place, place
from inboxops_lab.bench.stages import staged

Say = Callable[[str], None]
USER = "grown"
STEP = 30_000  # rows that one statement fills in


@dataclass(frozen=True, slots=True)
class Grown:
    """cost_seconds: rows that were there -> CPU-seconds a message, PostgreSQL's included. cost_ratio: the last to the first."""

    sizes: list[int]
    cost_seconds: dict[str, float]
    cost_ratio: float


def grow(sizes: list[int], *, batch: int, rounds: int, say: Say) -> Grown:
    """Fill the database to each size in turn and take in `batch` messages `rounds` times; the median round counts.

    Half of the messages answer one that is there. Raises OperatorError without Dovecot, or when a message is missing at the end.
    """
    costs = {}
    with place("--only=services") as here:
        inbox_id = here.add_mailbox(USER, first_sync_messages=batch, plain=True)
        filled, number = 0, 0
        _take(here, inbox_id, _mails(batch, 0, filled))  # what is loaded, planned and cached the first time
        for size in sizes:
            filled = _fill(here, inbox_id, filled, size, say)
            measured = []
            for _ in range(rounds):
                number += 1
                say(f"taking in {batch} messages beside {size}")
                measured.append(_take(here, inbox_id, _mails(batch, number, filled)) / batch)
            costs[size] = statistics.median(measured)
    return Grown(
        sizes=sizes,
        cost_seconds={str(size): round(cost, 6) for size, cost in costs.items()},
        cost_ratio=round(costs[sizes[-1]] / costs[sizes[0]], 3),
    )


def _fill(here: Place, inbox_id: int, first: int, size: int, say: Say) -> int:
    statement = (files("inboxops_lab.bench") / "fill.sql").read_text("utf-8").encode()
    tenant_id = here.world.inboxes.tenant_id(TENANT)
    while first < size:
        last = min(first + STEP, size + -size % 3)
        say(f"filling the database: {first} of {size}")
        with here.world.database.transaction() as t:
            t.connection.execute(
                statement, {"tenant_id": tenant_id, "inbox_id": inbox_id, "first": first, "last": last - 1}
            )
        first = last
    # What autovacuum would do in the minutes after: it belongs to the filling, not to the messages that are measured.
    with psycopg.connect(here.world.settings.owner_dsn, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
    return first


def _mails(batch: int, round_: int, filled: int) -> Iterator[bytes]:
    chance = random.Random(round_)
    for number in range(batch):
        answers = ""
        if filled and number % 2:
            answers = f"In-Reply-To: <filled.{chance.randrange(filled)}@customer.example>\r\n"
        head = f"From: c{number}@customer.example\r\nTo: {USER}@bench.example\r\nSubject: Question {round_} {number}\r\n{answers}"
        text = " ".join(chance.choices(("please", "order", "since", "invoice", "and", "not", "when"), k=120))
        yield f"{head}Message-ID: <{round_}.{number}@customer.example>\r\n\r\n{text}\r\n".encode()


def _take(here: Place, inbox_id: int, mails: Iterator[bytes]) -> float:
    """CPU-seconds of the three stages and of PostgreSQL for this mail."""
    delivered = 0
    for raw in mails:
        here.dovecot.append(USER, raw)
        delivered += 1
    before = sum(here.world.inbound.counts(inbox_id).values())
    postgres = here.part("postgres")
    began = cpu_seconds(postgres)
    stages: float = sum(done["cpu_seconds"] for done in staged(here, inbox_id))
    used = cpu_seconds(postgres) - began  # before all messages are counted, which reads every one of them
    after = here.world.inbound.counts(inbox_id)
    if sum(after.values()) - before != delivered or after.keys() & {"stored", "classified", "parked"}:
        raise OperatorError(f"not all {delivered} messages were filed: {after}")
    return stages + used
