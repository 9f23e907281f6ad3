"""Telling a scheduler that stands still from one on a busy machine: there the pulse is late as well, and tasks begin, if slowly.

A scheduler that starts anew would only take from them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from inboxops.core.pulse import LATE_SECONDS
from inboxops_local.stack.record import Record

Hangs = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Worker:
    """What is seen of a worker of LocalExecutor, which forks a process for each task.

    begun: when its task did, in seconds since the epoch, 0 while it has none. spent: CPU-seconds of those that have ended.
    """

    begun: float
    spent: float


def unless_tasks_begin(late: Hangs, scheduler: Callable[[], int]) -> Hangs:
    """What `late` says of the pulse, unless a task has begun within the time after which the pulse is late.

    scheduler: the id of its process. Each call looks at the workers, for most tasks have ended before the next.
    """
    last = looked = 0.0
    before: Mapping[int, Worker] = {}

    async def hangs() -> str:
        nonlocal last, looked, before
        now, workers = time.time(), await asyncio.to_thread(look, scheduler())
        last = max(last, last_begun(before, workers, looked))
        before, looked = workers, now
        said = await late()
        return said if now - last > LATE_SECONDS else ""

    return hangs


def look(scheduler: int) -> dict[int, Worker]:
    """The workers of the scheduler with that process id, by theirs."""
    found = {}
    with suppress(psutil.Error):
        for worker in psutil.Process(scheduler).children():
            with suppress(psutil.Error):  # it, or its task, has ended meanwhile
                spent = worker.cpu_times()
                begun = max((task.create_time() for task in worker.children()), default=0.0)
                found[worker.pid] = Worker(begun, spent.children_user + spent.children_system)
    return found


def last_begun(before: Mapping[int, Worker], workers: Mapping[int, Worker], looked: float) -> float:
    """When the last task did that two looks tell of. looked: when the first of them was.

    One that nobody saw began behind the first look, at which its worker had none, and has ended since.
    """
    idle = Worker(0.0, 0.0)
    unseen = any(
        worker.spent > before.get(pid, idle).spent and not before.get(pid, idle).begun
        for pid, worker in workers.items()
    )
    return max(looked if unseen else 0.0, *(worker.begun for worker in workers.values()), 0.0)


def leader(record: Path, part: str) -> int:
    """The id of the part's process; 0 while it has none."""
    found = Record.read(record)
    process = found.parts[part].process if found else None
    return process.pid if process else 0
