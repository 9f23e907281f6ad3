"""The stages of one inbox as an Airflow worker runs them: each in a process forked from one that has imported everything.

`python -m inboxops_lab.bench.stages INBOX_ID` writes a line of JSON for each stage: name, seconds, CPU-seconds, peak memory and
counts. It goes round until the inbox has nothing left, as its DAG would. With `--log FILE` stages log into it as tasks do, and
one line more says what that cost besides; `--mute` loads the same and lets no line out, for who compares.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Any

from airflow_local_settings import NEEDED_BY_TASKS
from inboxops.cli.world import warnings_to_stderr
from inboxops.composition import intake
from inboxops.composition.world import World
from inboxops.errors import OperatorError
from inboxops.settings import load
from inboxops_lab.bench.meter import MB

if TYPE_CHECKING:
    from inboxops_lab.bench.place import Place

STAGES: dict[str, Callable[[World, int], Any]] = {
    "fetch": intake.fetch,
    "classify": intake.classify,
    "persist": intake.persist,
}


def _stage(name: str, inbox_id: int, results: Any) -> None:
    world = World(load())
    began, before = time.monotonic(), cpu_seconds()
    counts = dataclasses.asdict(STAGES[name](world, inbox_id))
    seconds, used = time.monotonic() - began, cpu_seconds() - before
    world.close()
    results.put({"stage": name, "seconds": seconds, "cpu_seconds": used, "peak_rss_mb": peaks(name), **counts})


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    return sum(time for who in (RUSAGE_SELF, RUSAGE_CHILDREN) for time in getrusage(who)[:2])


def peaks(name: str) -> dict[str, float]:
    """The largest resident size in MB of this process, and of its largest child that has ended, as the kernel kept them."""
    unit = 1024 if sys.platform == "linux" else 1  # getrusage(2): kilobytes there, bytes on macOS
    kinds = ((name, RUSAGE_SELF), (f"{name} worker", RUSAGE_CHILDREN))
    sizes = {kind: getrusage(who).ru_maxrss * unit / MB for kind, who in kinds}
    return {kind: size for kind, size in sizes.items() if size}


def staged(here: Place, inbox_id: int, *options: str) -> Iterator[dict[str, Any]]:
    """What each stage says, as it ends, until the inbox has nothing left. Raises OperatorError when one fails."""
    child = subprocess.Popen(
        [sys.executable, "-m", "inboxops_lab.bench.stages", str(inbox_id), *options],
        env={**here.environment(), "AIRFLOW_HOME": str(here.home / "airflow")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    for line in child.stdout:
        yield json.loads(line)
    if child.wait() != 0:
        raise OperatorError("a stage failed", fix="What it said stands above")


def _import_what_workers_have() -> None:
    """What `airflow_local_settings` has the scheduler, or Celery's worker, load before it forks tasks; without Airflow."""
    for module in ("boto3", *NEEDED_BY_TASKS):
        if not module.startswith(("airflow.", "inboxops_airflow.")):
            import_module(module)


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("inbox_id", type=int)
    asked.add_argument("--log", type=Path)
    asked.add_argument("--mute", action="store_true")
    known = asked.parse_args()
    if known.log or known.mute:
        from inboxops_lab.bench import tasklog  # loads Airflow, which the other measurements do without
    _import_what_workers_have()
    warnings_to_stderr()  # behind Airflow, which says otherwise as it is loaded
    if known.log is None:
        _round(known.inbox_id)
        return
    with tasklog.written(known.log) as reader:
        _round(known.inbox_id)
    _say({"stage": "supervisor", "cpu_seconds": reader.cpu_seconds})


def _round(inbox_id: int) -> None:
    fork = multiprocessing.get_context("fork")
    results = fork.SimpleQueue()
    more = True
    while more:
        more = False
        for name in STAGES:
            process = fork.Process(target=_stage, args=(name, inbox_id, results), name=name)
            process.start()
            process.join()
            if process.exitcode != 0:
                raise SystemExit(f"{name} ended with {process.exitcode}")
            counts = results.get()
            more |= bool(counts.get("more"))
            _say(counts)


def _say(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
