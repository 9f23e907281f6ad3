"""One supervisor for a home."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inboxops.errors import OperatorError
from inboxops_local.stack.home import writing

LOOK_SECONDS = 1.0
"""Longer than it is held by anybody but a supervisor."""


class Held(OperatorError):
    """A supervisor holds the home."""


@contextmanager
def exclusive(path: Path, *, said: str = "the stack in {} is already running") -> Iterator[None]:
    """Hold the home for one supervisor; the kernel lets go of the lock when the process dies, however it dies.

    Raises Held when another does, which `said` says of the folder, and OperatorError when the folder can't be written.
    """
    with writing(path.parent):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOOK_SECONDS
    try:
        while not _locked(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise Held(said.format(path.parent), fix="See `inboxops status`, or stop it with `inboxops down`")
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def held(path: Path) -> bool:
    """Whether a supervisor holds this home now. Any number may look at once; one that wants to hold it waits for them."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return path.exists()  # it is someone else's
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
