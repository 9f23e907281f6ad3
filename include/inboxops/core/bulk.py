"""Long base64 bodies are set aside while the structure of a message is read: most of a mail's lines are theirs.

The standard library's parser looks at each line alone, a megabyte of attachment is 14,000 of them. A run of nothing but
base64 holds no boundary, no header and no blank line that means anything, so a short line can stand in for it.
"""

from __future__ import annotations

import re
from email.message import Message

from inboxops.core.parts import messages, plain

_SHORTEST = 2_000  # bytes
_SLICE = 1 << 20  # bytes
_BODY = re.compile(rb"content-transfer-encoding:[ \t]*base64", re.IGNORECASE)
_BLANK = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile("\0bulk ([0-9]+)\0")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n"


def set_aside(raw: bytes) -> tuple[bytes, list[bytes]]:
    """The message with a line `NUL bulk N NUL` for the Nth long run of base64, and the runs."""
    if b"\0bulk " in raw:
        return raw, []
    kept: list[bytes] = []
    runs: list[bytes] = []
    end = 0
    while (found := _BODY.search(raw, end)) and (blank := _BLANK.search(raw, found.end())):
        start = blank.end()
        stop = raw.find(b"\n--", start)
        stop = len(raw) if stop < 0 else stop
        while stop > start and raw[stop - 1] in b"\r\n":
            stop -= 1
        if stop - start >= _SHORTEST and _is_base64(raw, start, stop):
            kept += (raw[end:start], b"\0bulk %d\0" % len(runs))
            runs.append(raw[start:stop])
            end = stop
        else:
            kept.append(raw[end:start])
            end = start
    return b"".join((*kept, raw[end:])), runs


def _is_base64(raw: bytes, start: int, stop: int) -> bool:
    """In slices: `translate` makes room for as much as it is given."""
    return not any(raw[at : min(at + _SLICE, stop)].translate(None, _ALPHABET) for at in range(start, stop, _SLICE))


def put_back(message: Message, runs: list[bytes]) -> bool:
    """Every run where its line stands, so that nobody can tell. False when not each was found once.

    `runs` is empty then: the runs of a large mail are in memory once.
    """
    if not runs:
        return True
    found, wanted = 0, len(runs)

    def run(line: re.Match[str]) -> str:
        nonlocal found
        found += 1
        content, runs[int(line[1])] = runs[int(line[1])], b""
        return content.decode("ascii")

    waiting = [message]
    while waiting:
        part = waiting.pop()
        if part.is_multipart():
            waiting += messages(part)
        elif "\0" in (content := plain(part)):
            alone = _LINE.fullmatch(content)
            part.set_payload(run(alone) if alone else _LINE.sub(run, content))
    runs.clear()
    return found == wanted
