"""What a message consists of: its parts, each with its headers and where its body stands (RFC 2046, 5.1).

One pass over the lines that begin with two hyphens, without recursion; bodies are neither looked at nor copied before somebody
asks for them. Nothing here raises. ADR 6 says why this is not the standard library's parser; the tests compare what both find.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from inboxops.core.headers import Raw, parameters
from inboxops.core.text import raw_bytes

MOST_DEPTH = 50
"""Multiparts within multiparts. Deeper ones are kept as plain parts."""
MOST_PARTS = 1_000
"""One more is made, so that it shows; all that stands behind is its body."""

_NEAR = 4096  # bytes from a hyphen on that are looked through at once
_BLANK_LINE = re.compile(rb"\n\r*\n")
_HEADER = re.compile(r"^([!-9;-~]+)[ \t]*:[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)
_PARAMETER = re.compile(r"\n(?=[A-Za-z][\w*-]{0,30}[ \t]*=[^\n]*(?:\n|$))")
"""The second line of a folded header whose white space got lost: a parameter, which no header begins like."""

_NO_HEADER = re.compile(r"^(?![!-9;-~]*[ \t]*:|[ \t]|From |\Z)", re.MULTILINE)


@dataclass(slots=True, eq=False)
class Part:
    """A message, or a part of one: headers and a body (an "entity", RFC 2045, 2.4).

    headers: in their order, folded, 8-bit bytes as surrogates. values: those of each by its lower-cased name.
    start, end: where in `source` the body stands. parts: of a multipart, those between its delimiters.
    """

    source: bytes
    headers: Raw
    values: dict[str, list[str]]
    content_type: str
    parameters: dict[str, str]
    start: int
    end: int
    parts: list[Part] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The values of a header by its lower-cased name."""
        return self.values.get(name, [])

    def first(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    @property
    def body(self) -> bytes:
        """As it stands in the message, in its transfer encoding."""
        return self.source[self.start : self.end]

    def parameters_in(self, charset: str | None) -> dict[str, str]:
        """Those of the content type, its raw 8-bit bytes read in the charset that the message declares."""
        declared = self.first("content-type") or ""
        return self.parameters if declared.isascii() or not charset else parameters(declared, charset)[1]

    @property
    def boundary(self) -> bytes:
        return raw_bytes(self.parameters.get("boundary", "")).rstrip()

    @property
    def is_multipart(self) -> bool:
        return self.content_type.startswith("multipart/")


def message(source: bytes) -> Part:
    """The message as one part, not divided."""
    return _part(source, 0, *_blank_line(source, 0, len(source)))


def read(source: bytes) -> tuple[Part, bool]:
    """(the message with all its parts, whether it is nested deeper than MOST_DEPTH)."""
    root = message(source)
    return root, root.is_multipart and _Division(root, root.boundary).run()


def divide(part: Part, boundary: bytes) -> None:
    """Find the parts between lines of a boundary that the part itself does not declare."""
    _Division(part, boundary).run()


def _blank_line(source: bytes, begin: int, end: int) -> tuple[int, int]:
    """(where the first blank line from the line at `begin` on stands, where the line behind it begins); `end` twice without one."""
    found = _BLANK_LINE.search(source, max(begin - 1, 0), end)
    return (found.start() + 1, found.end()) if found else (end, end)


def _part(source: bytes, begin: int, end_of_head: int, start: int) -> Part:
    """The part whose head is `source[begin:end_of_head]` or ends before, at the first line that is no header: the body's first."""
    head = source[begin:end_of_head].decode("ascii", "surrogateescape")
    if stray := _NO_HEADER.search(head):
        mended = _PARAMETER.sub("\n ", head)
        if _NO_HEADER.search(mended):
            head, start = head[: stray.start()], begin + stray.start()
        else:
            head = mended
    headers = tuple([(name, value.rstrip("\r\n")) for name, value in _HEADER.findall(head)])
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    content_type, found = parameters(values["content-type"][0]) if "content-type" in values else ("", {})
    return Part(source, headers, values, content_type, found, start, len(source))


def _hyphen_lines(source: bytes, begin: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """(where it begins, what follows the hyphens without white space at its end, where the next one begins) of each such line."""
    at = begin if source.startswith(b"--", begin, end) else _next_hyphens(source, begin, end) + 1
    while at or source.startswith(b"--"):
        stop = source.find(b"\n", at, end)
        after = stop + 1 if stop >= 0 else end
        yield at, source[at + 2 : after].rstrip(b" \t\r\n"), after
        if not (at := _next_hyphens(source, after - 1, end) + 1):
            return


def _next_hyphens(source: bytes, begin: int, end: int) -> int:
    """`source.find(b"\n--", begin, end)`, in a thirtieth of the time where no hyphen stands for long, as in base64."""
    while (hyphen := source.find(b"-", begin, end)) >= 0:
        begin = max(hyphen - 1, begin)
        stop = min(begin + _NEAR, end)
        at = source.find(b"\n--", begin, stop)
        if at >= 0 or stop == end:
            return at
        begin = stop - 2  # the last two bytes may begin what is sought
    return -1


class _Division:
    """Gives a multipart its parts, and theirs to them, line by line of those that begin with two hyphens."""

    def __init__(self, root: Part, boundary: bytes) -> None:
        self._source, self._start, self._end = root.source, root.start, root.end
        self._open: list[tuple[Part, bytes]] = []  # multiparts that have not ended, outermost first; boundaries
        self._levels: dict[bytes, int] = {}  # where in there the one of a boundary stands
        self._leaf: Part | None = None  # that has begun and not ended
        self._begun: int | None = None  # where the head of a part begins that was not read yet
        self._blank = (-1, -1)  # a blank line behind it, and what follows
        self._count = 0
        self._is_too_deep = False
        self._enter(root, boundary)

    def run(self) -> bool:
        """Whether multiparts are nested too deep and were left whole."""
        for at, line, after in _hyphen_lines(self._source, self._start, self._end):
            level, closes = self._match(line)
            is_repeated = level >= 0 and at == self._begun  # no line since the last delimiter, and so no part
            if self._begun is not None and not is_repeated:
                ends_head = level >= 0 or b":" not in line
                if ends_head or at >= self._next_blank()[0]:
                    self._add(at)
                    level, closes = self._match(line)  # perhaps of the part that has just begun
            if level >= 0:
                if self._count > MOST_PARTS:
                    break
                self._cut(level if closes else level + 1, at - 1 - (self._source[at - 2 : at] == b"\r\n"))
                self._begun = None if closes else after
        if self._begun is not None:
            self._add(self._end)
        self._cut(0, self._end)
        return self._is_too_deep

    def _match(self, line: bytes) -> tuple[int, bool]:
        """(level, whether it closes) of the open multipart whose delimiter the line is; level -1: of none."""
        if line in self._levels:
            return self._levels[line], False
        return (self._levels.get(line[:-2], -1), True) if line.endswith(b"--") else (-1, False)

    def _next_blank(self) -> tuple[int, int]:
        assert self._begun is not None
        if self._blank[0] < self._begun:
            self._blank = _blank_line(self._source, self._begun, self._end)
        return self._blank

    def _add(self, limit: int) -> None:
        """The part that has begun; its head ends at `limit` if not before."""
        assert self._begun is not None
        blank, body = self._next_blank()
        part = _part(self._source, self._begun, *((blank, body) if blank < limit else (limit, limit)))
        self._open[-1][0].parts.append(part)
        self._begun, self._leaf = None, part
        self._count += 1
        if part.is_multipart:
            self._enter(part, part.boundary)

    def _enter(self, part: Part, boundary: bytes) -> None:
        """The outer one of two multiparts with one boundary is the one that its delimiters mean (RFC 2046, 5.1.2)."""
        if len(self._open) >= MOST_DEPTH:
            self._is_too_deep = True
        elif boundary and boundary not in self._levels:
            self._levels[boundary] = len(self._open)
            self._open.append((part, boundary))
            self._leaf = None

    def _cut(self, level: int, at: int) -> None:
        """The multiparts from `level` on end there, and so does what was begun last."""
        if self._leaf is not None:
            self._leaf.end = max(self._leaf.start, at)
            self._leaf = None
        while len(self._open) > level:
            part, boundary = self._open.pop()
            part.end = max(part.start, at)
            del self._levels[boundary]
