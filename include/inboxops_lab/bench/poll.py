"""`inboxops bench poll`: many quiet inboxes on one Dovecot, polled by the real Airflow: what a poll costs, how late it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any

import psycopg

from inboxops.composition import intake, runs
from inboxops.errors import OperatorError
from inboxops_lab.bench.meter import cpu_seconds, pss_mb
from inboxops_lab.bench.place import Place, place
from inboxops_local.stack.home import Home, read_env
from inboxops_local.stack.layout import checkout

Say = Callable[[str], None]
NAIVE_AT_MOST = 100  # inboxes: three slots work off about 150 of that kind in five minutes
PATIENCE_SECONDS = 900.0
ON_TIME_SECONDS = 15.0
PARTS = ("postgres", "redis", "s3", "api", "airflow-api", "scheduler", "dag-processor", "triggerer", "nursery")
SETTLED_SECONDS, ALONE_SECONDS = 30.0, 60.0
BLOCKED = "async thread was blocked"


class Design(StrEnum):
    NAIVE = "naive"
    TRIGGERER = "triggerer"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Measured:
    """One design. A poll is one run of an inbox's DAG by the clock; with IDLE it is one inbox for one period.

    cpu_seconds_per_poll: all processes of the stack, divided by the polls; marginal: less what they use without any inbox, which
    is cores_without_inboxes. expected: polls that the timetable asks for in the same time. lateness: from the moment that the
    timetable names to the end of fetch. blocked_loop_warnings: Airflow's, while it was measured; "before", all inboxes were
    connected at one moment and had their first runs at once.
    """

    inboxes: int
    polls: int
    expected: int
    cpu_seconds_per_poll: float
    marginal_cpu_seconds_per_poll: float
    cores: dict[str, float]
    cores_without_inboxes: float
    lateness_p50_seconds: float
    lateness_p95_seconds: float
    stack_pss_mb: float
    blocked_loop_warnings: int
    blocked_loop_warnings_before: int
    seconds_until_known: float

    def with_as_many(self, inboxes: int, every: int) -> float:
        """CPU-seconds of a poll if at least that many inboxes, polled every so many minutes, shared the idle stack."""
        if inboxes <= self.inboxes:
            return self.cpu_seconds_per_poll
        return self.marginal_cpu_seconds_per_poll + self.cores_without_inboxes * every * 60 / inboxes


@dataclass(frozen=True, slots=True)
class Polled:
    """The design that was asked for. ratio: how many of its polls cost as much as one of the naive design with as many inboxes,
    of which it can't hold more than NAIVE_AT_MOST: beyond that each of its polls bears a smaller share of the idle stack, as ours
    do. marginal_ratio: the same without what the stack uses when there is no inbox.
    """

    inboxes: int
    design: str
    cpu_seconds_per_poll: float
    naive_cpu_seconds_per_poll: float | None
    ratio: float | None
    marginal_ratio: float | None
    lateness_p50_seconds: float
    lateness_p95_seconds: float
    stack_pss_mb: float
    details: dict[str, Measured]


def poll(inboxes: int, design: Design, *, every: int, minutes: float, with_naive: bool, say: Say) -> Polled:
    """Measure `minutes` of polling every `every` minutes, after everything has settled for one period.

    Raises OperatorError without Dovecot, or when Airflow does not get to know all inboxes.
    """
    details = {design.value: _measured(inboxes, design, every=every, minutes=minutes, say=say)}
    if with_naive and design is not Design.NAIVE:
        count = min(inboxes, NAIVE_AT_MOST)
        details["naive"] = _measured(count, Design.NAIVE, every=every, minutes=minutes, say=say)
    ours, naive = details[design.value], details.get("naive")
    return Polled(
        inboxes=inboxes,
        design=design.value,
        cpu_seconds_per_poll=ours.cpu_seconds_per_poll,
        naive_cpu_seconds_per_poll=naive.cpu_seconds_per_poll if naive else None,
        ratio=round(naive.with_as_many(inboxes, every) / ours.cpu_seconds_per_poll, 1) if naive else None,
        marginal_ratio=round(naive.marginal_cpu_seconds_per_poll / ours.marginal_cpu_seconds_per_poll, 1)
        if naive
        else None,
        lateness_p50_seconds=ours.lateness_p50_seconds,
        lateness_p95_seconds=ours.lateness_p95_seconds,
        stack_pss_mb=ours.stack_pss_mb,
        details=details,
    )


def _measured(inboxes: int, design: Design, *, every: int, minutes: float, say: Say) -> Measured:
    settings = {
        "INBOXOPS_IDLE_INBOXES": str(inboxes if design is Design.IDLE else 0),
        "INBOXOPS_POLL_MINUTES": str(every),
    }
    if design is Design.NAIVE:
        settings["INBOXOPS_DAGS_FOLDER"] = str(checkout() / "bench" / "naive_dags")
    say(f"{design}: starting the whole stack and Dovecot")
    with place(more=settings, clients_per_process=100) as here:
        say(f"{design}: the stack without inboxes, for {ALONE_SECONDS:.0f} s")
        time.sleep(SETTLED_SECONDS)
        alone = Use(here)
        time.sleep(ALONE_SECONDS)
        without = alone.cores()
        _connect(here, inboxes, say)
        began = time.monotonic()
        runs.show_inboxes(here.world)
        with metadata(here) as airflow:
            until_known(airflow, inboxes, lambda known: say(f"{design}: Airflow knows {known} of {inboxes} inboxes"))
            known_after = time.monotonic() - began
            settle = (12 if design is Design.IDLE else 0) + every
            wait(settle * 60, lambda left: say(f"{design}: settling, {left:.0f} s more"))
            if design is not Design.NAIVE:  # which may never be
                until_on_time(airflow, lambda late: say(f"{design}: the oldest run is {late:.0f} s late"))
            return _window(here, airflow, inboxes, design, every, minutes, known_after, sum(without.values()), say)


def _connect(here: Place, inboxes: int, say: Say) -> None:
    """Mailboxes that were read once, so that none is on its first sync."""
    ids = []
    for number in range(inboxes):
        ids.append(here.add_mailbox(f"box{number:05d}"))
        if number % 50 == 0:
            say(f"connecting inboxes: {number} of {inboxes}")
    with ThreadPoolExecutor(4) as several:
        for number, _ in enumerate(several.map(partial(intake.fetch, here.world), ids)):
            if number % 50 == 0:
                say(f"reading inboxes for the first time: {number} of {inboxes}")


@contextmanager
def metadata(here: Place, database: str = "airflow") -> Iterator[psycopg.Connection[Any]]:
    """The database of an Airflow: its API would take part in what is measured."""
    kept = read_env(Home(here.home).env_file)
    known = psycopg.conninfo.conninfo_to_dict(here.world.settings.database_url.get_secret_value())
    with psycopg.connect(
        host=known["host"],
        port=known["port"],
        dbname=database,
        user="airflow",
        password=kept["STACK_AIRFLOW_DATABASE_PASSWORD"],
        autocommit=True,
    ) as connection:
        yield connection


def until_known(airflow: psycopg.Connection[Any], inboxes: int, tell: Callable[[int], None]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        (known,) = one(airflow, "SELECT count(*) FROM dag WHERE dag_id LIKE 'inbox\\_%%' AND NOT is_stale")
        tell(known)
        if known >= inboxes:
            return
        if time.monotonic() > deadline:
            raise OperatorError(f"Airflow knows {known} of {inboxes} inboxes after {PATIENCE_SECONDS:.0f} s")
        time.sleep(1)


class Use:
    """What the processes of the stack use from here on. The mail server is no part of it."""

    def __init__(self, here: Place, parts: Sequence[str] = PARTS) -> None:
        self._roots = {name: here.part(name) for name in parts}
        self._before = {name: cpu_seconds(pids) for name, pids in self._roots.items()}
        self._began = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._began

    def cores(self) -> dict[str, float]:
        """CPU-seconds a second, by part."""
        seconds = self.seconds()
        return {name: (cpu_seconds(pids) - self._before[name]) / seconds for name, pids in self._roots.items()}


def until_on_time(airflow: psycopg.Connection[Any], tell: Callable[[float], None]) -> None:
    """Until the first runs of all inboxes, which fell due at once, are worked off; or until it is clear that they never will be."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        (late,) = one(airflow, _OLDEST)
        if late < ON_TIME_SECONDS:
            return
        tell(late)
        time.sleep(5)


def _window(
    here: Place,
    airflow: psycopg.Connection[Any],
    inboxes: int,
    design: Design,
    every: int,
    minutes: float,
    known_after: float,
    without: float,
    say: Say,
) -> Measured:
    blocked = _blocked(here)
    start, use = datetime.now(UTC), Use(here)
    wait(minutes * 60, lambda left: say(f"{design}: measuring, {left:.0f} s more"))
    end, seconds, cores = datetime.now(UTC), use.seconds(), use.cores()
    expected = round(inboxes * seconds / (every * 60))
    (polls,) = one(airflow, POLLS, start, end)
    p50, p95 = one(airflow, LATENESS, end, start, end)
    each = seconds / (expected if design is Design.IDLE else max(polls, 1))
    return Measured(
        inboxes=inboxes,
        polls=polls,
        expected=expected,
        cpu_seconds_per_poll=round(sum(cores.values()) * each, 4),
        marginal_cpu_seconds_per_poll=round((sum(cores.values()) - without) * each, 4),
        cores={name: round(used, 3) for name, used in cores.items()},
        cores_without_inboxes=round(without, 3),
        lateness_p50_seconds=round(p50 or 0.0, 2),
        lateness_p95_seconds=round(p95 or 0.0, 2),
        stack_pss_mb=round(pss_mb(here.part()), 1),
        blocked_loop_warnings=_blocked(here) - blocked,
        blocked_loop_warnings_before=blocked,
        seconds_until_known=round(known_after, 1),
    )


POLLS = """SELECT count(*) FROM dag_run
WHERE dag_id LIKE 'inbox\\_%%' AND run_type = 'scheduled' AND state IN ('success', 'failed') AND end_date BETWEEN %s AND %s"""

_OLDEST = """SELECT coalesce(extract(epoch FROM now() - min(since)), 0)::float FROM (
    SELECT min(run_after) AS since FROM dag_run WHERE dag_id LIKE 'inbox\\_%%' AND state IN ('queued', 'running')
    UNION ALL SELECT min(next_dagrun_create_after) FROM dag WHERE dag_id LIKE 'inbox\\_%%' AND NOT is_stale) AS open"""

LATENESS = """
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY late), percentile_cont(0.95) WITHIN GROUP (ORDER BY late)
FROM (
    SELECT extract(epoch FROM coalesce(t.end_date, %s) - r.run_after)::float AS late
    FROM dag_run r JOIN task_instance t ON t.dag_id = r.dag_id AND t.run_id = r.run_id AND t.task_id = 'fetch'
    WHERE r.dag_id LIKE 'inbox\\_%%' AND r.run_type = 'scheduled' AND r.run_after BETWEEN %s AND %s
) AS runs"""


def _blocked(here: Place) -> int:
    return (here.home / "logs" / "triggerer.log").read_text(errors="replace").count(BLOCKED)


def one(airflow: psycopg.Connection[Any], statement: str, *parameters: Any) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = airflow.execute(statement.encode(), parameters).fetchone()
    assert row is not None
    return row


def wait(seconds: float, tell: Callable[[float], None]) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        tell(left)
        time.sleep(min(15.0, left))
