"""`inboxops bench cells`: several real Airflows over one application database, each polling its own tenants; one tenant moves."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr

from inboxops.composition import intake, moving, runs
from inboxops.composition.world import World
from inboxops.core.cells import MAIN
from inboxops.errors import OperatorError
from inboxops_lab.bench.meter import pss_mb
from inboxops_lab.bench.place import Place, add_quiet, place
from inboxops_lab.bench.poll import LATENESS, POLLS, Use, metadata, one, until_known, until_on_time, wait
from inboxops_lab.testing.processes import free_ports
from inboxops_lab.testing.quietimap import QuietImap

Say = Callable[[str], None]
OF_A_CELL = ("nursery", "airflow-api", "scheduler", "dag-processor", "triggerer")
SHARED = ("postgres", "redis", "s3", "api")
PATIENCE_SECONDS = 300.0
SETTLED_SECONDS, ALONE_SECONDS = 90.0, 60.0
WANDERER, WANDERING = "wanderer", 10
"""The tenant that moves, and its quiet inboxes; it has one more, on Dovecot, to which mail comes as it moves."""
MAIL_EVERY_SECONDS, SAID_EVERY_SECONDS = 3.0, 15.0


@dataclass(frozen=True, slots=True)
class OneCell:
    """Of the window. inboxes: besides those of the tenant that moves. cores: of its Airflow's processes; the services that all
    cells share are not among them.
    """

    inboxes: int
    polls: int
    cores: float
    pss_mb: float
    late_p50_seconds: float
    late_p95_seconds: float


@dataclass(frozen=True, slots=True)
class Shared:
    """Of several cells. cpu_seconds_per_poll: all processes of all cells and of what they share, divided by the polls;
    marginal: less cores_without_inboxes, what they use without any inbox.

    double_polls: pairs of questions to one mailbox closer than half an interval, as the simulated server saw them;
    longest_gap_seconds: the longest time in which a mailbox was not asked, in the window, the moved ones among them.
    moved: quiet inboxes of the tenant that moved from `main` to the last cell while it was measured; gone_seconds, there_seconds:
    until the one Airflow knew their DAGs no more, and the other knew them. mails: sent to an inbox of that tenant before, while
    and after it moved; filed: messages that they became, different: how many of them differ.
    """

    cells: int
    inboxes_each: int
    every_minutes: int
    window_seconds: float
    cpu_seconds_per_poll: float
    marginal_cpu_seconds_per_poll: float
    cores: float
    cores_without_inboxes: float
    shared_cores: dict[str, float]
    shared_pss_mb: float
    double_polls: int
    longest_gap_seconds: float
    moved: int
    gone_seconds: float
    there_seconds: float
    mails: int
    filed: int
    different: int
    of_cell: dict[str, OneCell]


def cells(count: int, inboxes: int, *, every: int, minutes: float, say: Say) -> Shared:
    """So many cells with as many inboxes each, polled every so many minutes, measured for `minutes` after all are on time.

    The mailboxes are one simulated IMAP server's, over TLS, but for the one to which mail comes. Raises OperatorError without
    Dovecot, or when an Airflow does not get to know its inboxes.
    """
    names = [MAIN, *(f"cell{number}" for number in range(2, count + 1))]
    ports = free_ports(count - 1)
    addresses = {name: {"url": f"http://127.0.0.1:{port}"} for name, port in zip(names[1:], ports, strict=True)}
    more = {
        "INBOXOPS_CELLS": json.dumps(addresses),
        "INBOXOPS_POLL_MINUTES": str(every),
        "INBOXOPS_IDLE_INBOXES": "0",
        "INBOXOPS_FETCH_LIMIT_PER_HOUR": "3600",  # each mail wakes its inbox, as a push does
    }
    with ExitStack() as ending:
        say(f"starting {count} Airflows over one database")
        started = ending.enter_context(place(more=more))
        told = started.world.settings.model_copy(update={"cells": SecretStr(json.dumps(addresses))})
        world = World(told)
        ending.callback(world.close)
        here = replace(started, world=world)
        quiet = QuietImap(Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="inboxops-cells-"))))
        asked: dict[str, list[float]] = {}
        ending.callback(lambda: asked.update(quiet.stop()))
        parts = [*SHARED, *(part for name in names for part in _parts(name))]
        say(f"the cells without inboxes, for {ALONE_SECONDS:.0f} s")
        time.sleep(SETTLED_SECONDS)
        alone = Use(here, parts)
        time.sleep(ALONE_SECONDS)
        without = sum(alone.cores().values())
        busy = _connect(here, quiet, names, inboxes)
        airflows = {name: ending.enter_context(metadata(here, _database(name))) for name in names}
        for name in names:
            runs.show_inboxes(world, name)
        for name in names:
            wanted = inboxes + (WANDERING + 1 if name == MAIN else 0)
            until_known(airflows[name], wanted, _teller(say, f"{name}: {{}} DAGs of inboxes"))
        wait(every * 60, lambda left: say(f"settling, {left:.0f} s more"))
        for name in names:
            until_on_time(airflows[name], _teller(say, f"{name}: the oldest run is {{:.0f}} s late"))
        use, start = Use(here, parts), datetime.now(UTC)
        moved = _window(here, airflows, names, busy, minutes, say)
        cores, seconds, end = use.cores(), use.seconds(), datetime.now(UTC)
        of_cell = {name: _of_cell(here, airflows[name], name, inboxes, cores, start, end) for name in names}
        filed, different = _filed(world, busy, moved["mails"], say)
        shared_pss = pss_mb(here.part(*SHARED))
        ending.close()
    polls = sum(each.polls for each in of_cell.values())
    double, gap = _looked_through(asked, start.timestamp(), end.timestamp(), every)
    total = sum(cores.values())
    return Shared(
        cells=count,
        inboxes_each=inboxes,
        every_minutes=every,
        window_seconds=round(seconds, 1),
        cpu_seconds_per_poll=round(total * seconds / max(polls, 1), 4),
        marginal_cpu_seconds_per_poll=round((total - without) * seconds / max(polls, 1), 4),
        cores=round(total, 3),
        cores_without_inboxes=round(without, 3),
        shared_cores={name: round(cores[name], 3) for name in SHARED},
        shared_pss_mb=round(shared_pss, 1),
        double_polls=double,
        longest_gap_seconds=round(gap, 1),
        filed=filed,
        different=different,
        of_cell=of_cell,
        **moved,
    )


def _teller(say: Say, text: str) -> Callable[[float], None]:
    return lambda number: say(text.format(number))


def _parts(cell: str) -> list[str]:
    return [f"{part}{'' if cell == MAIN else f'-{cell}'}" for part in OF_A_CELL]


def _database(cell: str) -> str:
    return "airflow" if cell == MAIN else f"airflow_{cell}"


def _connect(here: Place, quiet: QuietImap, names: Sequence[str], inboxes: int) -> int:
    """A tenant in each cell, and in `main` the one that will move: the inbox of it to which mail comes."""
    for name in names:
        here.world.inboxes.add_tenant(f"of-{name}", name, cell=name)
        add_quiet(here.world, quiet, inboxes, tenant=f"of-{name}")
    here.world.inboxes.add_tenant(WANDERER, WANDERER)
    add_quiet(here.world, quiet, WANDERING, tenant=WANDERER)
    busy = here.add_mailbox("busy", tenant=WANDERER)
    intake.fetch(here.world, busy)
    return busy


def _window(
    here: Place, airflows: dict[str, psycopg.Connection[Any]], names: Sequence[str], busy: int, minutes: float, say: Say
) -> dict[str, Any]:
    """Measure for so long; half-way the tenant moves, and mail comes to it from a quarter of a minute before to a minute behind."""
    began, mails = time.monotonic(), 0
    moved_at = gone = there = said_at = 0.0
    while True:
        passed, half = time.monotonic() - began, minutes * 30
        if passed >= minutes * 60 and (len(names) == 1 or (gone and there)):
            break
        if passed > minutes * 60 + PATIENCE_SECONDS:
            raise OperatorError("the DAGs of the tenant that moved do not come or go")
        if len(names) > 1 and not moved_at and passed > half:
            moving.move(here.world, WANDERER, names[-1])
            moved_at = time.monotonic()
        if moved_at:
            since = time.monotonic() - moved_at
            gone = gone or (0.0 if one(airflows[MAIN], _KNOWN)[0] else since)
            there = there or (0.0 if one(airflows[names[-1]], _KNOWN)[0] <= WANDERING else since)
        if len(names) > 1 and mails * MAIL_EVERY_SECONDS < min(passed - half + 15, 75.0):
            mails += 1
            text = f"From: ann@customer.example\r\nSubject: Number {mails}\r\n\r\nHello.\r\n"
            here.dovecot.append("busy", text.encode())
            runs.wake(here.world, busy)
        if passed > said_at + SAID_EVERY_SECONDS:
            said_at = passed
            say(f"measuring, {max(0.0, minutes * 60 - passed):.0f} s more, {mails} mails")
        time.sleep(0.5)
    return {
        "moved": WANDERING if moved_at else 0,
        "gone_seconds": round(gone, 1),
        "there_seconds": round(there, 1),
        "mails": mails,
    }


_KNOWN = r"SELECT count(*) FROM dag WHERE dag_id LIKE 'inbox\_%%\_\_wanderer\_\_%%' AND NOT is_stale"


def _of_cell(
    here: Place,
    airflow: psycopg.Connection[Any],
    name: str,
    inboxes: int,
    cores: dict[str, float],
    start: datetime,
    end: datetime,
) -> OneCell:
    (polls,) = one(airflow, POLLS, start, end)
    p50, p95 = one(airflow, LATENESS, end, start, end)
    return OneCell(
        inboxes=inboxes,
        polls=polls,
        cores=round(sum(cores[part] for part in _parts(name)), 3),
        pss_mb=round(pss_mb(here.part(*_parts(name))), 1),
        late_p50_seconds=round(p50 or 0.0, 2),
        late_p95_seconds=round(p95 or 0.0, 2),
    )


def _filed(world: World, busy: int, mails: int, say: Say) -> tuple[int, int]:
    """How many messages the mails became, and how many different ones, once nothing more comes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with world.database.transaction() as t:
            row = t.connection.execute(
                b"SELECT count(*) AS filed, count(DISTINCT subject) AS different FROM messages WHERE inbox_id = %s",
                (busy,),
            ).fetchone()
        assert row is not None
        if row["different"] >= mails or time.monotonic() > deadline:
            return row["filed"], row["different"]
        say(f"{row['different']} of {mails} mails are filed")
        time.sleep(5)


def _looked_through(asked: dict[str, list[float]], start: float, end: float, every: int) -> tuple[int, float]:
    """(pairs of questions too close, the longest gap in seconds) of all mailboxes within the window."""
    double, gap = 0, 0.0
    for times in asked.values():
        within = [moment for moment in times if start <= moment <= end]
        double += sum(later - earlier < every * 30 for earlier, later in itertools.pairwise(within))
        gap = max([gap, *(later - earlier for earlier, later in itertools.pairwise([start, *within, end]))])
    return double, gap
