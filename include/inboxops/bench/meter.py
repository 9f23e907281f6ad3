"""What processes use: CPU-seconds, finished children included, and memory, sampled while something runs."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

MB = 1_000_000


def tree(roots: Iterable[int]) -> list[psutil.Process]:
    """The living processes with these ids, and all that descend from them."""
    found: dict[int, psutil.Process] = {}
    for root in roots:
        with suppress(psutil.Error):
            process = psutil.Process(root)
            for each in (process, *process.children(recursive=True)):
                found[each.pid] = each
    return list(found.values())


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time of the processes below `roots`, with what their finished children used."""
    total = 0.0
    for process in tree(roots):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def pss_mb(roots: Iterable[int]) -> float:
    """Memory in MB, what processes share counted once (Linux; elsewhere the resident size, which counts it often)."""
    total = 0
    for process in tree(roots):
        with suppress(psutil.Error):
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    return total / MB


@dataclass
class Peaks:
    """The largest resident size seen of each kind of process, in MB."""

    rss_mb: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def note(self, kind: str, rss: int) -> None:
        self.rss_mb[kind] = max(self.rss_mb[kind], rss / MB)


@contextmanager
def watching(roots: Callable[[], Iterable[int]], kind: Callable[[psutil.Process], str | None]) -> Iterator[Peaks]:
    """Look at the processes below `roots` every 50 ms; `kind` names each, or leaves it out."""
    peaks, over = Peaks(), threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            for process in tree(roots()):
                with suppress(psutil.Error):
                    name = kind(process)
                    if name is not None:
                        peaks.note(name, process.memory_info().rss)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        over.set()
        watcher.join()
