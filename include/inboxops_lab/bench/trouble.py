"""What goes wrong in a soak, and how the parts are meanwhile: memory and open files."""

from __future__ import annotations

import signal
import statistics
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import psutil

from inboxops_lab.bench.meter import MB, tree
from inboxops_lab.bench.place import Place
from inboxops_local.stack.record import Record

PARTS = ("scheduler", "postgres", "triggerer", "s3", "airflow-api", "redis", "api", "dag-processor", "nursery")
IDLE_WORKER, WORKER = "LocalExecutor: <idle>", "LocalExecutor:"
HANG_SECONDS = 20.0

Strike = Callable[[], int]
"""Does it; how many processes it met."""


def troubles(here: Place) -> list[tuple[str, Strike]]:
    """(name, what does it), in the order in which they come."""
    return [
        *((f"kill {part}", partial(_kill, here, part)) for part in PARTS),
        ("kill an idle worker", partial(_kill_worker, here, idle=True)),
        ("kill a busy worker", partial(_kill_worker, here, idle=False)),
        ("the mail server hangs", lambda: _hang([here.dovecot.pid])),
        ("the object store hangs", lambda: _hang(here.part("s3"))),
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


def _hang(roots: list[int]) -> int:
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


class Health:
    """Memory and open files of each part, for each process that led it: one that was started anew begins again."""

    def __init__(self, here: Place) -> None:
        self._record = here.home / "stack.json"
        self._samples: dict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)
        self._restarts: dict[str, int] = {}

    def sample(self) -> None:
        record = Record.read(self._record)
        for name, part in record.parts.items() if record else ():
            self._restarts[name] = part.restarts
            if part.process is None or part.state != "ready":
                continue
            size, files = 0, 0
            for process in tree([part.process.pid]):
                with suppress(psutil.Error):
                    size += process.memory_full_info().pss
                    files += process.num_fds()
            if size:
                self._samples[name, part.process.pid].append((size / MB, files))

    def report(self) -> dict[str, dict[str, str]]:
        """Of the process that led each part longest: the median of its second quarter against that of its last."""
        longest: dict[str, list[tuple[float, int]]] = {}
        for (name, _), samples in self._samples.items():
            if len(samples) > len(longest.get(name, ())):
                longest[name] = samples
        memory: dict[str, str] = {}
        files: dict[str, str] = {}
        for name, samples in longest.items():
            quarter = max(1, len(samples) // 4)
            early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
            for told, position in ((memory, 0), (files, 1)):
                before, after = (statistics.median(one[position] for one in part) for part in (early, late))
                told[name] = f"{before:.0f} -> {after:.0f} ({(after / before - 1) * 100:+.0f} %, {len(samples)} looks)"
        return {"pss_mb": memory, "open_files": files, "restarts": {k: str(v) for k, v in self._restarts.items() if v}}
