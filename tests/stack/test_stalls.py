"""A scheduler that stands still is told from one on a busy machine: there tasks begin, although the pulse is late."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from inboxops_lab.testing.processes import wait_until
from inboxops_local.stack import airflow, stalls
from inboxops_local.stack.home import Home, load_or_make_secrets
from inboxops_local.stack.layout import Layout
from inboxops_local.stack.ports import Ports
from inboxops_local.stack.record import Identity, PartRecord, Record
from inboxops_local.stack.testing import free_base
from tests.intruders.liar import http_that, lying

SCHEDULER = """
import os, signal
def task(*_):
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sum(range(20_000_000))
        signal.pause()
    os.wait()
if os.fork() == 0:
    signal.signal(signal.SIGUSR1, task)
    open(os.environ["READY"], "w").close()
    while True: signal.pause()
signal.pause()
"""
LATE = "no task has run for 93 s"


class Scheduler:
    """One with a worker."""

    def __init__(self, process: psutil.Process) -> None:
        self.pid = process.pid
        (self._worker,) = process.children()

    def begin_task(self) -> None:
        self._worker.send_signal(signal.SIGUSR1)
        wait_until("it works", lambda: any(task.cpu_times().user > 0.02 for task in self._worker.children()))

    def end_task(self) -> None:
        for task in self._worker.children():
            task.terminate()
        wait_until("it is over", lambda: not self._worker.children())


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Scheduler]:
    with started(tmp_path) as made:
        yield made


@contextmanager
def started(folder: Path) -> Iterator[Scheduler]:
    ready = folder / "ready"
    with subprocess.Popen([sys.executable, "-c", SCHEDULER], env={**os.environ, "READY": str(ready)}) as process:
        wait_until("its worker waits", ready.exists)
        family = psutil.Process(process.pid)
        try:
            yield Scheduler(family)
        finally:
            for one in (*family.children(recursive=True), family):
                one.kill()


async def late() -> str:
    """What the supervisor reads of a pulse that is."""
    return LATE


async def well() -> str:
    return ""


def test_a_late_pulse_is_a_stall_where_no_task_begins(scheduler: Scheduler) -> None:
    assert asyncio.run(stalls.unless_tasks_begin(late, lambda: scheduler.pid)()) == LATE
    assert asyncio.run(stalls.unless_tasks_begin(well, lambda: scheduler.pid)()) == ""


def test_it_is_none_where_one_does_until_it_is_long_ago(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = stalls.unless_tasks_begin(late, lambda: scheduler.pid)
    scheduler.begin_task()
    assert asyncio.run(hangs()) == ""
    monkeypatch.setattr(stalls, "LATE_SECONDS", 0.5)
    wait_until("a task that only goes on tells nothing", lambda: asyncio.run(hangs()) == LATE)
    scheduler.end_task()
    assert asyncio.run(hangs()) == LATE, "nor does its end"


def test_one_that_began_and_ended_between_two_looks_is_noticed(scheduler: Scheduler) -> None:
    hangs = stalls.unless_tasks_begin(late, lambda: scheduler.pid)
    assert asyncio.run(hangs()) == LATE
    scheduler.begin_task()
    scheduler.end_task()
    assert asyncio.run(hangs()) == ""
    assert asyncio.run(hangs()) == "", "that was just now"


def test_a_scheduler_is_found_by_the_record_and_one_that_has_gone_has_no_workers(tmp_path: Path) -> None:
    here = Identity.of(os.getpid())
    record = Record("run", here, 20_000, {"scheduler": PartRecord(process=here), "triggerer": PartRecord()})
    record.write(tmp_path / "stack.json")
    assert stalls.leader(tmp_path / "stack.json", "scheduler") == os.getpid()
    assert stalls.leader(tmp_path / "stack.json", "triggerer") == 0
    with started(tmp_path) as scheduler:
        assert len(stalls.look(scheduler.pid)) == 1
    assert stalls.look(scheduler.pid) == {}


def test_the_scheduler_of_another_cell_is_told_by_its_own_workers(
    scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What begins in the first cell says nothing of the second."""
    home, ports = Home(tmp_path / "home"), Ports(base=free_base())
    home.make()
    layout = Layout(home, ports, load_or_make_secrets(home, ports))
    second = airflow.Instance("b", ports.airflow, home.path / "airflow-b", "airflow_b", "-b")
    parts = airflow.parts(layout, second, roster_after="schema")
    hangs = next(part.hangs for part in parts if part.name == "scheduler-b")
    assert hangs is not None
    body = json.dumps({"cells": {"b": {"pulse": LATE, "stalled": True}}}).encode()
    answer = f"HTTP/1.1 503 late\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with (
        started(home.path) as other,
        lying(None, talk=http_that(answer, lambda line: None), port=ports.api),
    ):
        running = {
            name: PartRecord(process=Identity.of(one.pid))
            for name, one in (("scheduler", scheduler), ("scheduler-b", other))
        }
        Record("run", Identity.of(os.getpid()), ports.base, running).write(home.record)
        scheduler.begin_task()
        assert asyncio.run(hangs()) == LATE
