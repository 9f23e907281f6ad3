"""Mail in files: which there are, and work on them by as many processes as there are cores.

Sources go out in small batches and only a few batches are under way, so memory does not grow with their number.
"""

from __future__ import annotations

import gc
import mmap
import multiprocessing
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from inboxops.core.text import clean
from inboxops.errors import InvalidInput
from inboxops.processors import processors

MOST_BYTES = 64 * 1024 * 1024
"""Of one mail that are read, as many as the fetch takes in; what is behind is cut off."""

_BATCH = 16  # sources
_BATCHES_A_PROCESS = 4
_FROM_LINE = re.compile(
    rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\r\n]{0,200}\d\d:\d\d[^\r\n]{0,60}\d{4}[^\r\n]{0,20}\r?\n"
)
"""The line that begins a mail in an mbox (RFC 4155): behind a blank one, with a date, which a sentence has not."""

_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
_MAILDIR = frozenset({"cur", "new"})
_NOT_MAIL = frozenset(
    {".msf", ".dat", ".json", ".html", ".htm", ".csv", ".py", ".md", ".jsonl", ".sqlite", ".ds_store"}
)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Source:
    """One mail: a whole file, or a stretch of an mbox. shown: its path as it was given, with `#number` in an mbox."""

    shown: str
    path: str
    start: int = 0
    end: int | None = None

    def read(self) -> bytes:
        """Its bytes; of a stretch without the From line and the quoting that mbox adds. Raises OSError."""
        with Path(self.path).open("rb") as file:
            file.seek(self.start)
            raw = file.read(MOST_BYTES if self.end is None else min(MOST_BYTES, self.end - self.start))
        return raw if self.end is None else _QUOTED_FROM.sub(rb"\1", raw)


def files(paths: Iterable[Path]) -> Iterator[Source]:
    """Every file named, or found below a folder named: each is taken for one mail, its path relative to that folder.

    Raises InvalidInput for a path that does not exist.
    """
    for path, file in _walk(paths):
        yield Source(clean(str(path) if path == file else file.relative_to(path).as_posix()), str(file))


def mails(paths: Iterable[Path]) -> Iterator[Source]:
    """Every mail in files, folders, Maildirs and mboxes; indexes and other files that lie beside mail are left out.

    Raises InvalidInput for a path that does not exist.
    """
    for path, file in _walk(paths):
        if file.suffix.lower() in _NOT_MAIL and path != file:
            continue
        if "tmp" in file.parts[-2:-1] and {one.name for one in file.parent.parent.iterdir()} >= _MAILDIR:
            continue  # of a Maildir, not delivered yet
        yield from _mails_of(file)


def _mails_of(file: Path) -> Iterator[Source]:
    size = file.stat().st_size
    with file.open("rb") as opened:
        if opened.read(5) != b"From " or not size:
            if size:
                yield Source(clean(str(file)), str(file))
            return
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            begun, number = None, 0
            for found in _FROM_LINE.finditer(content):
                if begun is not None:
                    number += 1
                    yield Source(clean(f"{file}#{number}"), str(file), begun, found.start())
                begun = found.end()
            yield Source(clean(f"{file}#{number + 1}"), str(file), begun or content.find(b"\n") + 1, size)


def _walk(paths: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """(the path as it was given, a file there)."""
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders.sort()
                yield from ((path, file) for name in sorted(names) if (file := Path(folder, name)).is_file())
        elif path.exists():
            yield path, path
        else:
            raise InvalidInput(f"{path} does not exist", fix="Name a file with a mail in it, or a folder of them")


def spread(sources: Iterator[Source], work: Callable[[Source], Result]) -> Iterator[Result]:
    """The result for each source, in their order. work is sent to other processes: a function of a module, or a `partial`."""
    several = partial(_worked, work)
    # Before the fork, so that what is compiled and imported is shared.
    yield from several(list(islice(sources, _BATCH)))
    second = list(islice(sources, _BATCH))
    processes = processors()
    if len(second) < _BATCH or processes == 1:
        yield from several(second)
        for batch in _batches(sources):
            yield from several(batch)
        return
    # macOS: its system threads break a fork
    fork = multiprocessing.get_context("fork") if sys.platform == "linux" else None
    with ProcessPoolExecutor(processes, mp_context=fork, initializer=_start) as pool:
        waiting: deque[Future[list[Result]]] = deque([pool.submit(several, second)])
        for batch in _batches(sources):
            waiting.append(pool.submit(several, batch))
            if len(waiting) >= processes * _BATCHES_A_PROCESS:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _worked(work: Callable[[Source], Result], batch: list[Source]) -> list[Result]:
    return [work(source) for source in batch]


def _batches(sources: Iterator[Source]) -> Iterator[list[Source]]:
    while batch := list(islice(sources, _BATCH)):
        yield batch


def _start() -> None:
    """In a worker: what was imported lives for ever, and a mail's thousand small objects are no reason to look for cycles."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
