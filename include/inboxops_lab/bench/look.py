"""`inboxops bench look`: thousands of inboxes looked at without a run: how late, at what cost, and none twice."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from inboxops.composition import intake
from inboxops.composition.world import World
from inboxops.core.cells import MAIN
from inboxops.errors import OperatorError
from inboxops_lab.bench.latency import Latency, latency
from inboxops_lab.bench.meter import cpu_seconds, pss_mb
from inboxops_lab.bench.place import Place, add_quiet, processes, stack, without_ours
from inboxops_lab.testing.mailserver import Dovecot, dovecot_binary
from inboxops_lab.testing.quietimap import QuietImap
from inboxops_local.stack.spawn import die_with

Say = Callable[[str], None]
ON_DOVECOT_AT_MOST = 100
QUIET_CELL = "quiet"
PATIENCE_SECONDS = 900.0
LATE_SECONDS = 60.0
SIMULATED = (
    "all mailboxes but `on_dovecot` are one simulated IMAP server's, over TLS, to which no mail comes; Airflow is left out,"
    " so that a wake-up ends in the outbox (held_*: the whole stack and Dovecot, whose Airflow knows none of the simulated inboxes)"
)

_LOG = b"""
CREATE TABLE look_log (inbox_id bigint, due_at timestamptz, looked_at timestamptz);
CREATE FUNCTION log_look() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN INSERT INTO look_log VALUES (NEW.inbox_id, OLD.due_at, NEW.looked_at); RETURN NULL; END $$;
CREATE TRIGGER log_look AFTER UPDATE ON inbox_looks FOR EACH ROW
    WHEN (NEW.looked_at IS DISTINCT FROM OLD.looked_at) EXECUTE FUNCTION log_look()"""

_LATENESS = b"""
SELECT count(*) AS looks, count(DISTINCT inbox_id) AS inboxes,
       percentile_cont(ARRAY[0.5, 0.95, 1]) WITHIN GROUP (ORDER BY extract(epoch FROM looked_at - due_at)::float8) AS late
FROM look_log WHERE due_at BETWEEN %s AND %s"""


@dataclass(frozen=True, slots=True)
class Looked:
    """Of the window. expected: looks that fell due in it; late_*: seconds from then to the look's beginning.

    double_looks: pairs of looks at one mailbox closer than half an interval, as the simulated server saw them.
    mails_found: of mails_delivered, one to each mailbox on Dovecot as the window begins: inboxes that were woken; when, by
    found_after_p50_seconds. watcher_*: the processes that look, each with Airflow loaded; postgres_cores: what they have it do.
    held_*: seconds from the arrival of mail to its ticket, of an inbox in IDLE in another stack, while as many quiet inboxes of
    another cell of it are looked at as often by as many processes; None when left out.
    """

    inboxes: int
    on_dovecot: int
    watchers: int
    every_minutes: int
    window_seconds: float
    looks: int
    expected: int
    inboxes_looked_at: int
    late_p50_seconds: float
    late_p95_seconds: float
    late_max_seconds: float
    double_looks: int
    mails_delivered: int
    mails_found: int
    found_after_p50_seconds: float
    watcher_cores: float
    watcher_pss_mb: float
    postgres_cores: float
    simulated_server_cores: float
    first_looks_seconds: float
    held_p50_seconds: float | None
    held_p95_seconds: float | None
    simulated: str = SIMULATED


def look(inboxes: int, *, every: int, minutes: float, watchers: int, held: int, say: Say) -> Looked:
    """Measure `minutes`, at least one interval, after all were looked at once.

    held: mails to an inbox in IDLE, with the whole stack; 0 leaves that out.
    Raises OperatorError without Dovecot, or when not all are looked at within a quarter of an hour.
    """
    if dovecot_binary() is None:
        raise OperatorError("the bench needs Dovecot, which is not installed", fix="apt-get install dovecot-imapd")
    while_looking = _held(held, inboxes, every, watchers, say) if held else None
    with ExitStack() as ending:
        say("starting PostgreSQL, Dovecot and the simulated server")
        home, world = ending.enter_context(stack("--only=services"))
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="inboxops-look-")))
        dovecot = Dovecot(clients_per_process=100)
        ending.callback(dovecot.stop)
        quiet = QuietImap(folder)
        asked: dict[str, list[float]] = {}
        ending.callback(lambda: asked.update(quiet.stop()))
        place = Place(home, world, dovecot)
        real = _connect(place, quiet, inboxes, say)
        with psycopg.connect(world.settings.owner_dsn, autocommit=True) as owner:
            owner.execute(_LOG)
            with _watching(home, world, folder, every, watchers) as pids:
                began = time.monotonic()
                _until_all_looked(owner, inboxes, say)
                first = time.monotonic() - began
                measured = _window(
                    owner, place, quiet, pids, real, inboxes, minutes=max(minutes, every), every=every, say=say
                )
        ending.close()
    return Looked(
        inboxes=inboxes,
        on_dovecot=len(real),
        watchers=watchers,
        every_minutes=every,
        double_looks=_double(asked, every),
        first_looks_seconds=round(first, 1),
        held_p50_seconds=while_looking.idle_p50_seconds if while_looking else None,
        held_p95_seconds=while_looking.idle_p95_seconds if while_looking else None,
        **measured,
    )


def _held(mails: int, inboxes: int, every: int, watchers: int, say: Say) -> Latency:
    """With the whole stack, while so many quiet inboxes are looked at: another cell's, for their DAGs are not what is measured."""

    @contextmanager
    def looked_at(here: Place) -> Iterator[None]:
        with ExitStack() as ending:
            folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="inboxops-look-")))
            quiet = QuietImap(folder)
            ending.callback(quiet.stop)
            here.world.inboxes.add_tenant(QUIET_CELL, "Quiet Ltd", cell=QUIET_CELL)
            add_quiet(here.world, quiet, inboxes, tenant=QUIET_CELL)
            owner = ending.enter_context(psycopg.connect(here.world.settings.owner_dsn, autocommit=True))
            ending.enter_context(_watching(here.home, here.world, folder, every, watchers, cell=QUIET_CELL))
            _until_all_looked(owner, inboxes, say)
            yield

    return latency(mails, more={"INBOXOPS_LOOK_MINUTES": str(every)}, beside=looked_at, say=say)


def _connect(place: Place, quiet: QuietImap, inboxes: int, say: Say) -> dict[str, int]:
    """Mailboxes that were read once: user -> inbox, of those on Dovecot."""
    real = min(inboxes, ON_DOVECOT_AT_MOST)
    found = {}
    for number in range(real):
        user = f"box{number:05d}"
        found[user] = place.add_mailbox(user)
        intake.fetch(place.world, found[user])
        if number % 20 == 0:
            say(f"connecting inboxes on Dovecot: {number} of {real}")
    add_quiet(place.world, quiet, inboxes - real)
    return found


@contextmanager
def _watching(
    home: Path, world: World, folder: Path, every: int, count: int, *, cell: str = MAIN
) -> Iterator[list[int]]:
    """The process ids of so many that look, with an Airflow that is told where the database is and nothing else."""
    known = conninfo_to_dict(world.settings.database_url.get_secret_value())
    database = {
        "conn_type": "postgres",
        "host": known["host"],
        "port": known["port"],
        "login": known["user"],
        "password": known["password"],
        "schema": known["dbname"],
    }
    environment = without_ours() | {
        "INBOXOPS_HOME": str(home),
        "INBOXOPS_CELL": cell,
        "INBOXOPS_LOOK_MINUTES": str(every),
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_INBOXOPS_DB": json.dumps(database),
        "MALLOC_ARENA_MAX": "2",  # as the triggerer of the stack has it
    }
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(count):
            with (folder / f"watcher-{number}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "inboxops_lab.bench.looker"],
                        env=environment,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        preexec_fn=die_with(os.getpid(), signal.SIGTERM),
                    )
                )
        yield [process.pid for process in started]
        for number, process in enumerate(started):
            if process.poll() is not None:
                said = (folder / f"watcher-{number}.log").read_text(errors="replace")
                raise OperatorError(f"a process that looks ended by itself: {said[-2000:]}")
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(timeout=60)


def _until_all_looked(owner: psycopg.Connection[Any], inboxes: int, say: Say) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        (looked,) = _one(owner, b"SELECT count(looked_at) FROM inbox_looks")
        if looked >= inboxes:
            return
        say(f"first looks: {looked} of {inboxes}")
        if time.monotonic() > deadline:
            raise OperatorError(f"{looked} of {inboxes} inboxes were looked at in {PATIENCE_SECONDS:.0f} s")
        time.sleep(5)


def _until_none_waits(owner: psycopg.Connection[Any], end: datetime) -> None:
    """Until what fell due before has been looked at, or is later than any look may be."""
    deadline = time.monotonic() + LATE_SECONDS
    while time.monotonic() < deadline and _one(owner, b"SELECT count(*) FROM inbox_looks WHERE due_at < %s", end) != (
        0,
    ):
        time.sleep(0.5)


def _window(
    owner: psycopg.Connection[Any],
    place: Place,
    quiet: QuietImap,
    watchers: list[int],
    real: dict[str, int],
    inboxes: int,
    *,
    minutes: float,
    every: int,
    say: Say,
) -> dict[str, Any]:
    roots = {"watcher": watchers, "postgres": processes(place.home, "postgres"), "simulated": [quiet.pid]}
    before = {name: cpu_seconds(pids) for name, pids in roots.items()}
    start, began = datetime.now(UTC), time.monotonic()
    for user in real:
        place.dovecot.append(user, b"From: ann@customer.example\r\nSubject: News\r\n\r\nHello.\r\n")
    while (left := minutes * 60 - (time.monotonic() - began)) > 0:
        say(f"measuring, {left:.0f} s more")
        time.sleep(min(15.0, left))
    end, seconds = datetime.now(UTC), time.monotonic() - began
    cores = {name: round((cpu_seconds(pids) - before[name]) / seconds, 3) for name, pids in roots.items()}
    memory = pss_mb(watchers)
    _until_none_waits(owner, end)
    looks, looked_at, late = _one(owner, _LATENESS, start, end)
    found, after = _one(
        owner,
        b"SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM created_at - %s)::float8)"
        b" FROM outbox WHERE kind = 'wake' AND created_at > %s",
        start,
        start,
    )
    p50, p95, most = late
    return {
        "window_seconds": round(seconds, 1),
        "looks": looks,
        "expected": round(inboxes * seconds / (every * 60)),
        "inboxes_looked_at": looked_at,
        "late_p50_seconds": round(p50, 2),
        "late_p95_seconds": round(p95, 2),
        "late_max_seconds": round(most, 2),
        "mails_delivered": len(real),
        "mails_found": found,
        "found_after_p50_seconds": round(after or 0.0, 1),
        "watcher_cores": cores["watcher"],
        "watcher_pss_mb": round(memory, 1),
        "postgres_cores": cores["postgres"],
        "simulated_server_cores": cores["simulated"],
    }


def _double(asked: dict[str, list[float]], every: int) -> int:
    return sum(later - earlier < every * 30 for times in asked.values() for earlier, later in itertools.pairwise(times))


def _one(connection: psycopg.Connection[Any], statement: bytes, *parameters: object) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(statement, parameters).fetchone()
    assert row is not None
    return row
