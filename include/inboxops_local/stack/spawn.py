"""Starting a child that does not outlive us."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from inboxops_local.stack.part import Part, PartFailed

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
LOG_BYTES = 8 * 1024 * 1024
"""A log that is larger goes on empty; what it held until then stands beside it as `.1`."""


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends (prctl(2)), so that a double fork hides nothing."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int, stop_signal: signal.Signals) -> Callable[[], None] | None:
    """What a child does between fork and exec: ask the kernel for `stop_signal` at its parent's death (Linux only)."""
    libc = _LIBC
    if libc is None:
        return None  # the watch (stack/watch.py) does it alone there

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)
        if os.getppid() != parent:  # we died in between: the signal will never come
            os._exit(1)

    return ask


def open_log(path: Path) -> int:
    """A descriptor that appends to the part's log."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    bound(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def bound(path: Path) -> None:
    """Keep a log within its bounds. Its process goes on appending to the same file: a line written just now may be lost."""
    if path.exists() and path.stat().st_size > LOG_BYTES:
        shutil.copyfile(path, path.with_suffix(".log.1"))
        os.truncate(path, 0)


async def spawn(part: Part, log: Path) -> asyncio.subprocess.Process:
    """Start `part` as the leader of a session of its own, writing to `log`.

    Raises PartFailed when the program can't be executed.
    """
    descriptor = open_log(log)
    uid, gid = part.user or (None, None)
    try:
        return await asyncio.create_subprocess_exec(
            *part.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=descriptor,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(part.env),
            cwd=part.cwd,
            start_new_session=True,
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
            preexec_fn=die_with(os.getpid(), part.stop_signal),
        )
    except OSError as exc:
        raise PartFailed(f"{part.name} can't be started: {exc}", fix=f"Log: {log}") from exc
    finally:
        os.close(descriptor)
