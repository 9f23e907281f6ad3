"""The stages of one inbox as an Airflow worker runs them: each in a process forked from one that has imported everything.

`python -m inboxops_lab.bench.stages INBOX_ID` writes a line of JSON for each stage: name, seconds, CPU-seconds, peak memory and
counts. It goes round until the inbox has nothing left, as its DAG would.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any

from inboxops.cli.world import warnings_to_stderr
from inboxops.composition import intake
from inboxops.composition.world import World
from inboxops.settings import load
from inboxops_lab.bench.meter import MB

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


def main(inbox_id: int) -> None:
    warnings_to_stderr()
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
            sys.stdout.write(json.dumps(counts) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
