"""One supervisor for a home."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inboxops.errors import OperatorError
from inboxops_local.stack.home import writing


@contextmanager
def exclusive(path: Path, *, said: str = "the stack in {} is already running") -> Iterator[None]:
    """Hold the home for one supervisor; the kernel lets go of the lock when the process dies, however it dies.

    Raises OperatorError when another holds it, which `said` says of the folder, or the folder can't be written.
    """
    with writing(path.parent):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise OperatorError(
                said.format(path.parent),
                fix="See `inboxops status`, or stop it with `inboxops down`",
            ) from exc
        yield
    finally:
        os.close(descriptor)


def held(path: Path) -> bool:
    """Whether a supervisor holds this home now."""
    if not path.exists():
        return False
    try:
        with exclusive(path):
            return False
    except OperatorError:
        return True
