"""Work that goes on in one more forked process beside this one's, whose failure is none of this one's."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Generic, Self, TypeVar

from inboxops.composition.forks import ended, forked, told

Result = TypeVar("Result")


class Calls:
    """What a process beside hears of the one that forked it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._called, self._over = pipe, False, False

    def wait(self) -> bool:
        """Wait to be called; calls that came meanwhile are one. False: it is the end, or who would call is gone."""
        while not self.over() and not self._called:
            self._hear()
        self._called = False
        return not self._over

    def over(self) -> bool:
        """Whether it is the end. Does not wait."""
        while not self._over and self._pipe.poll():
            self._hear()
        return self._over

    def _hear(self) -> None:
        try:
            called = self._pipe.recv()
        except (EOFError, ConnectionError):
            called = False
        self._called, self._over = self._called or called, not called


class Beside(Generic[Result]):
    """One more process, forked at the first call, that works while this one goes on, and whose failure is none of this one's.

    work: called in it, yields what it did, again and again, until its `Calls` are over. Left before `end` was called, the block
    kills it.
    """

    def __init__(self, work: Callable[[Calls], Iterator[Result]]) -> None:
        self._work = work
        self._fork: tuple[int, Connection] | None = None
        self._done: list[Result] = []
        self._why = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._fork is not None:
            with suppress(ProcessLookupError):
                os.kill(self._fork[0], signal.SIGKILL)
            ended(*self._fork)

    def call(self) -> None:
        """There is something to do. Does not wait."""
        if self._fork is None:
            self._fork = forked(partial(_work_beside, self._work))
        _, pipe = self._fork
        with suppress(ConnectionError):  # it has ended
            pipe.send(True)
        while pipe.poll() and self._heard(pipe):
            pass

    def end(self, *, seconds: float) -> tuple[list[Result], str]:
        """What it did, and why it did no more: "" when it ended because it was told to.

        seconds: how long it may be silent.
        """
        if self._fork is None:
            return [], ""
        pid, pipe = self._fork
        with suppress(ConnectionError):
            pipe.send(False)
        while in_time := pipe.poll(seconds):
            if not self._heard(pipe):
                break
        if not in_time:
            self._why = f"it did not end within {seconds:.0f} s"
            os.kill(pid, signal.SIGKILL)
        self._fork = None
        how = ended(pid, pipe)
        return self._done, self._why or ("" if how == "status 0" else how)

    def _heard(self, pipe: Connection) -> bool:
        """Take what it says next; False when there is nothing more to come."""
        try:
            said = pipe.recv()
        except (EOFError, OSError):  # it ended, perhaps in the middle of a word
            return False
        if isinstance(said, Exception):
            self._why = str(said)
        else:
            self._done.append(said)
        return True


def _work_beside(work: Callable[[Calls], Iterator[Any]], pipe: Connection) -> None:
    try:
        for done in work(Calls(pipe)):
            pipe.send(done)
    except Exception as exc:
        pipe.send(told(exc))
