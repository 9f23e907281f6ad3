"""A child of ours, however it came to be: executed (stack/spawn.py), or forked by the nursery, which leaves us an orphan."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Protocol

from inboxops_local.stack import nursery
from inboxops_local.stack.part import Part, PartFailed
from inboxops_local.stack.spawn import spawn

UNKNOWN = 255
"""The status of a child that someone else buried."""


class Child(Protocol):
    """What the supervisor needs of a process; asyncio's has it."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    async def wait(self) -> int: ...

    def send_signal(self, signal: int, /) -> None: ...


async def start(part: Part, log: Path) -> Child:
    """Start `part` as the leader of a session of its own, writing to `log`.

    Raises PartFailed when that can't be done.
    """
    if part.nursery is None:
        return await spawn(part, log)
    try:
        return Adopted(await nursery.fork(part.nursery, part.argv[2:], log, part.stop_signal))
    except OSError as exc:
        raise PartFailed(f"{part.name} can't be forked: {exc}", fix=f"Log: {log.with_name('nursery.log')}") from exc


def can_adopt() -> bool:
    """Whether this system lets us watch a child that we did not start: Linux from 5.3 on, unless a container forbids the call."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


class Adopted:
    """A child that we did not start ourselves. Linux alone: its end shows on a descriptor (pidfd_open(2))."""

    def __init__(self, pid: int) -> None:
        """Raises OSError when it was buried already."""
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()
        self._descriptor = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._descriptor, self._bury)

    def _bury(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        try:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:
            self.returncode = UNKNOWN
        self._ended.set()

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, signal: int, /) -> None:
        """Raises ProcessLookupError when it has ended."""
        if self.returncode is not None:
            raise ProcessLookupError(self.pid)
        os.kill(self.pid, signal)
