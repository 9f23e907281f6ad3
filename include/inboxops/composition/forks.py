"""Work spread over processes that are forked from this one: cheap to start, and one that dies costs one item.

Not `multiprocessing`: a Celery worker is one of its daemons, which may have no children, and its pools can't say which item a
process died on. Fork before this process has threads: a lock that another thread holds at that moment is held for ever in the
child.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Generic, TypeVar

from inboxops.errors import InboxOpsError, OperatorError

Item = TypeVar("Item")
Result = TypeVar("Result")
Begin = Callable[[int], None]
"""Called by the work with the position in its chunk before each item, so that a death can be told to be that item's."""

Work = Callable[[Sequence[Item], Begin], Result]
_AHEAD = 2  # chunks that a process has at most: the one it works on and the next, so that it never waits for us
_DEATHS = 10  # then it is not the items
_POSITION = struct.Struct("q")
_NOT_BEGUN = -1


@dataclass(frozen=True, slots=True)
class Died(Generic[Item]):
    """A process that had nothing but this item ended in the middle of it. `how` is for a person."""

    item: Item
    how: str


@dataclass
class _Fork(Generic[Item]):
    pid: int
    pipe: Connection
    mark: mmap.mmap
    given: deque[Sequence[Item]] = field(default_factory=deque)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(
    prepare: Callable[[], Work[Item, Result]], chunks: Iterable[Sequence[Item]], *, processes: int
) -> Iterator[Result | Died[Item]]:
    """The result of each chunk, in the order in which they are done.

    prepare: called once in each process, returns the work. Connections are made in it: those of this process can't be shared.
    When a process dies, the item it was at is tried once more alone and the rest of its chunk again, so the work must be
    repeatable. Raises what the work raises (RuntimeError for what is none of `inboxops.errors`), OperatorError when processes
    keep dying. All processes are forked before the first chunk is asked for; then chunks are taken as they are needed.
    """
    forks: list[_Fork[Item]] = []
    again: deque[Sequence[Item]] = deque()
    source = _source(again, iter(chunks))
    deaths = 0
    gc.freeze()  # what is here now stays shared: a collection in a child would write to, and so copy, all of it
    try:
        for _ in range(processes):
            forks.append(_forked(prepare, forks))
        while _feed(forks, source):
            ready = wait([fork.pipe for fork in forks if fork.given])
            for fork in [fork for fork in forks if fork.pipe in ready]:
                try:
                    answer = fork.pipe.recv()
                except (EOFError, ConnectionResetError):
                    forks.remove(fork)
                    forks.append(_forked(prepare, forks))
                    how, position = _buried(fork)
                    deaths += 1
                    if position == _NOT_BEGUN or deaths > _DEATHS:
                        raise OperatorError(
                            f"the processes that share the work die ({how})", fix="Is there enough memory?"
                        ) from None
                    chunk = fork.given.popleft()
                    again += fork.given
                    if len(chunk) == 1:
                        yield Died(chunk[0], how)
                    else:
                        again += ([*chunk[:position], *chunk[position + 1 :]], [chunk[position]])
                    continue
                if isinstance(answer, Exception):
                    raise answer
                fork.given.popleft()
                yield answer
    finally:
        for fork in forks:
            with suppress(ProcessLookupError):
                os.kill(fork.pid, signal.SIGKILL)
            _buried(fork)
        gc.unfreeze()


def _source(again: deque[Sequence[Item]], chunks: Iterator[Sequence[Item]]) -> Callable[[], Sequence[Item] | None]:
    return lambda: again.popleft() if again else next(chunks, None)


def _feed(forks: list[_Fork[Item]], source: Callable[[], Sequence[Item] | None]) -> bool:
    """Give chunks to whoever has fewest, until all have enough. False when all is done."""
    while True:
        hungry = min(forks, key=lambda fork: len(fork.given))
        if len(hungry.given) >= _AHEAD:
            return True
        chunk = source()
        if chunk is None:
            return any(fork.given for fork in forks)
        hungry.given.append(chunk)
        with suppress(ConnectionError):  # it died meanwhile: reading from it says so
            hungry.pipe.send(chunk)


def _forked(prepare: Callable[[], Work[Item, Any]], others: list[_Fork[Item]]) -> _Fork[Item]:
    ours, theirs = Pipe()
    mark = mmap.mmap(-1, _POSITION.size)
    _POSITION.pack_into(mark, 0, _NOT_BEGUN)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for other in others:  # else their input would not end with us
                other.pipe.close()
            ours.close()
            _serve(prepare, theirs, lambda position: _POSITION.pack_into(mark, 0, position))
            status = 0
        finally:
            os._exit(status)  # nothing that the parent registered may run twice
    theirs.close()
    return _Fork(pid, ours, mark)


def _serve(prepare: Callable[[], Work[Item, Any]], pipe: Connection, begin: Begin) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)  # the parent's handlers are about the parent's task
    with suppress(EOFError, ConnectionError):  # the parent is done, or gone
        answer: Any
        try:
            work = prepare()
        except Exception as exc:
            return pipe.send(_told(exc))
        while True:
            chunk = pipe.recv()
            try:
                answer = work(chunk, begin)
            except Exception as exc:
                answer = _told(exc)
            pipe.send(answer)


def _told(exc: Exception) -> Exception:
    """What the parent raises: any other exception than ours may not survive being pickled."""
    return exc if isinstance(exc, InboxOpsError) else RuntimeError(f"{type(exc).__name__}: {exc}")


def _buried(fork: _Fork[Any]) -> tuple[str, int]:
    """How it ended, and the position it was at."""
    _, status = os.waitpid(fork.pid, 0)
    fork.pipe.close()
    (position,) = _POSITION.unpack_from(fork.mark, 0)
    fork.mark.close()
    code = os.waitstatus_to_exitcode(status)
    return (f"signal {-code}" if code < 0 else f"status {code}"), position
