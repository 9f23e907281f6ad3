"""What processes use: CPU-seconds, finished children included, and memory."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

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
