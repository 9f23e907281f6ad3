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
from functools import partial
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Generic, TypeVar

from inboxops.errors import InboxOpsError, OperatorError

Item = TypeVar("Item")
Result = TypeVar("Result")
Begin = Callable[[int], None]
"""Called by the work with the position in its chunk before each item, so that a death can be told to be that item's."""

Work = Callable[[Sequence[Item], Begin], Result]
_AHEAD = 2  # chunks that a process has at most: the one it works on and the next, so that it never waits for us
_DEATHS = 20  # then it is not the items, of which each costs two
_POSITION = struct.Struct("q")
_NOT_BEGUN = -1
_ends: set[Connection] = set()
"""Our ends of the pipes to what was forked here. Each fork closes its copies: none of them would hear that we are gone."""


@dataclass(frozen=True, slots=True)
class Died(Generic[Item]):
    """A process that had nothing but this item ended in the middle of it. `how` is for a person."""

    item: Item
    how: str


@dataclass(frozen=True, slots=True)
class _Chunk(Generic[Item]):
    """is_suspect: of one item, which a process died on before."""

    items: Sequence[Item]
    is_suspect: bool = False


@dataclass
class _Fork(Generic[Item]):
    pid: int
    pipe: Connection
    mark: mmap.mmap
    given: deque[_Chunk[Item]] = field(default_factory=deque)


def spread(
    prepare: Callable[[], Work[Item, Result]], chunks: Iterable[Sequence[Item]], *, processes: int
) -> Iterator[Result | Died[Item]]:
    """The result of each chunk, in the order in which they are done.

    prepare: called once in each process, returns the work. Connections are made in it: those of this process can't be shared.
    When a process dies, the item it was at is tried once more alone and the rest of its chunk again, so the work must be
    repeatable; a chunk whose process had not begun with any item is done again whole. Raises what the work raises (RuntimeError
    for what is none of `inboxops.errors`), OperatorError when processes keep dying: what was yielded before that stands. All
    processes are forked before the first chunk is asked for; then chunks are taken as they are needed.
    """
    forks: list[_Fork[Item]] = []
    again: deque[_Chunk[Item]] = deque()
    source = _source(again, iter(chunks))
    deaths = 0
    gc.freeze()  # what is here now stays shared: a collection in a child would write to, and so copy, all of it
    try:
        for _ in range(processes):
            forks.append(_server(prepare))
        while _feed(forks, source):
            ready = wait([fork.pipe for fork in forks if fork.given])
            for fork in [fork for fork in forks if fork.pipe in ready]:
                try:
                    answer = fork.pipe.recv()
                except (EOFError, ConnectionResetError):
                    forks.remove(fork)
                    how, position = _buried(fork)
                    deaths += 1
                    chunk = fork.given.popleft()
                    again += fork.given
                    if chunk.is_suspect and position != _NOT_BEGUN:
                        yield Died(chunk.items[0], how)
                    else:
                        again += _to_repeat(chunk, position)
                    if deaths > _DEATHS:
                        raise OperatorError(
                            f"the processes that share the work die ({how})", fix="Is there enough memory?"
                        ) from None
                    forks.append(_server(prepare))
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


def _source(again: deque[_Chunk[Item]], chunks: Iterator[Sequence[Item]]) -> Callable[[], _Chunk[Item] | None]:
    def take() -> _Chunk[Item] | None:
        if again:
            return again.popleft()
        items = next(chunks, None)
        return None if items is None else _Chunk(items)

    return take


def _to_repeat(chunk: _Chunk[Item], position: int) -> Iterator[_Chunk[Item]]:
    """What is done again of a chunk whose process died: the item that it was at alone, behind the others."""
    if position == _NOT_BEGUN:
        yield chunk
        return
    if others := (*chunk.items[:position], *chunk.items[position + 1 :]):
        yield _Chunk(others)
    yield _Chunk([chunk.items[position]], is_suspect=True)


def _feed(forks: list[_Fork[Item]], source: Callable[[], _Chunk[Item] | None]) -> bool:
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
            hungry.pipe.send(chunk.items)


def _server(prepare: Callable[[], Work[Item, Any]]) -> _Fork[Item]:
    mark = mmap.mmap(-1, _POSITION.size)
    _POSITION.pack_into(mark, 0, _NOT_BEGUN)
    pid, pipe = forked(partial(_serve, prepare, lambda position: _POSITION.pack_into(mark, 0, position)))
    return _Fork(pid, pipe, mark)


def forked(serve: Callable[[Connection], None]) -> tuple[int, Connection]:
    """A process that does nothing but `serve`, with its end of a pipe: its id and our end."""
    ours, theirs = Pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for end in (ours, *_ends):
                end.close()
            _ends.clear()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)  # the parent's handlers are about the parent's task
            with suppress(EOFError, ConnectionError):  # the parent is done, or gone
                serve(theirs)
            status = 0
        finally:
            os._exit(status)  # nothing that the parent registered may run twice
    theirs.close()
    _ends.add(ours)
    return pid, ours


def _serve(prepare: Callable[[], Work[Item, Any]], begin: Begin, pipe: Connection) -> None:
    answer: Any
    try:
        work = prepare()
    except Exception as exc:
        return pipe.send(told(exc))
    while True:
        chunk = pipe.recv()
        try:
            answer = work(chunk, begin)
        except Exception as exc:
            answer = told(exc)
        begin(_NOT_BEGUN)  # before the answer: behind it a death is about the next chunk
        pipe.send(answer)


def told(exc: Exception) -> Exception:
    """An error as a forked process hands it over: any other exception than ours may not survive being pickled."""
    return exc if isinstance(exc, InboxOpsError) else RuntimeError(f"{type(exc).__name__}: {exc}")


def _buried(fork: _Fork[Any]) -> tuple[str, int]:
    """How it ended, and the position it was at."""
    how = ended(fork.pid, fork.pipe)
    (position,) = _POSITION.unpack_from(fork.mark, 0)
    fork.mark.close()
    return how, position


def ended(pid: int, pipe: Connection) -> str:
    """How a process did that was forked here, once it has."""
    _, status = os.waitpid(pid, 0)
    _ends.discard(pipe)
    pipe.close()
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code}" if code < 0 else f"status {code}"
