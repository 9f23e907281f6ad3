"""What goes wrong in a soak, and how the parts are meanwhile: memory and open files."""

from __future__ import annotations

import signal
import statistics
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import psutil

from inboxops_lab.bench.meter import MB, tree
from inboxops_lab.bench.place import Place
from inboxops_local.stack.record import Record

PARTS = ("scheduler", "postgres", "triggerer", "s3", "airflow-api", "redis", "api", "dag-processor", "nursery")
IDLE_WORKER, WORKER = "LocalExecutor: <idle>", "LocalExecutor:"
HANGING = ("s3", "postgres", "redis", "airflow-api", "triggerer")
HANG_SECONDS = 20.0

Strike = Callable[[], int]
"""Does it; how many processes it met."""


def killings(here: Place) -> list[tuple[str, Strike]]:
    """(name, what does it), in the order in which they come."""
    return [
        *((f"kill {part}", partial(_kill, here, part)) for part in PARTS),
        ("kill an idle worker", partial(_kill_worker, here, idle=True)),
        ("kill a busy worker", partial(_kill_worker, here, idle=False)),
    ]


def troubles(here: Place) -> list[tuple[str, Strike]]:
    """As `killings`, and servers that hang for a while."""
    return [
        *killings(here),
        ("the mail server hangs", lambda: _stop([here.dovecot.pid])),
        *((f"{part} hangs", partial(_hang, here, part)) for part in HANGING),
    ]


def _kill(here: Place, part: str) -> int:
    killed = 0
    for pid in here.part(part):
        with suppress(psutil.Error):
            psutil.Process(pid).kill()
            killed += 1
    return killed


def _kill_worker(here: Place, *, idle: bool) -> int:
    for process in tree(here.part("scheduler")):
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if WORKER in line and (IDLE_WORKER in line) is idle:
                process.kill()
                return 1
    return 0


def _hang(here: Place, part: str) -> int:
    return _stop(here.part(part))


def _stop(roots: list[int]) -> int:
    """Everything below stops, and goes on by itself later."""
    stopped = tree(roots)
    for process in stopped:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGSTOP)

    def go_on() -> None:
        for process in stopped:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)

    threading.Timer(HANG_SECONDS, go_on).start()
    return len(stopped)


LEAST_MB = 2.0
"""What a process may grow by, however small it is: a few pages are no leak."""
GROWTH = 0.05


class Size(NamedTuple):
    """Of a process.

    own_mb: resident anonymous memory (`RssAnon` of proc(5)). It grows by what the process does alone: its share of what others
    have, too, which PSS counts, grows also when one of the others ends.
    pss_mb: that share counted in. files: open ones.
    """

    own_mb: float
    pss_mb: float
    files: float


@dataclass(frozen=True, slots=True)
class Growth:
    """Of one process: medians of the first and the last third of the looks at it."""

    part: str
    before: Size
    after: Size

    @property
    def grew(self) -> bool:
        return self.after.own_mb - self.before.own_mb > max(LEAST_MB, GROWTH * self.before.own_mb)


class Health:
    """Memory and open files of each process of the stack, the supervisor too."""

    def __init__(self, here: Place) -> None:
        self._record = here.home / "stack.json"
        self._samples: dict[tuple[str, int], list[Size]] = defaultdict(list)
        self._restarts: dict[str, int] = {}
        self._looks = 0

    def begin(self) -> None:
        """Forget what was seen: from here on growth counts."""
        self._samples.clear()
        self._looks = 0

    def sample(self) -> None:
        record = Record.read(self._record)
        if record is None:
            return
        self._looks += 1
        leaders = {name: part.process.pid for name, part in record.parts.items() if part.process}
        self._restarts = {name: part.restarts for name, part in record.parts.items()}
        seen: set[int] = set()
        # The supervisor last: it is the parent of them all.
        for name, pid in {**leaders, "supervisor": record.supervisor.pid}.items():
            for process in tree([pid]):
                with suppress(psutil.Error):
                    if process.pid not in seen:
                        seen.add(process.pid)
                        memory = process.memory_full_info()
                        size = Size((memory.rss - memory.shared) / MB, memory.pss / MB, process.num_fds())
                        self._samples[name, process.pid].append(size)

    def growth(self) -> list[Growth]:
        """Of every process that was there at each look."""
        found = []
        for (name, _), samples in self._samples.items():
            if len(samples) == self._looks:
                third = max(1, len(samples) // 3)
                found.append(Growth(name, _median(samples[:third]), _median(samples[-third:])))
        return sorted(found, key=attrgetter("part"))

    def report(self) -> dict[str, Any]:
        """grown: parts of which a process grew by more than GROWTH and LEAST_MB by itself."""
        found = self.growth()
        return {
            "processes_watched": len(found),
            "grown": [one.part for one in found if one.grew],
            "own_mb": [f"{one.part}: {one.before.own_mb} -> {one.after.own_mb}" for one in found],
            "pss_mb": [f"{one.part}: {one.before.pss_mb} -> {one.after.pss_mb}" for one in found],
            "open_files": [f"{one.part}: {one.before.files:.0f} -> {one.after.files:.0f}" for one in found],
            "restarts": {name: times for name, times in self._restarts.items() if times},
        }


def _median(sizes: list[Size]) -> Size:
    return Size(*(round(statistics.median(column), 1) for column in zip(*sizes, strict=True)))
