"""Long base64 bodies are set aside while the structure of a message is read: most of a mail's lines are theirs.

The standard library's parser looks at each line alone, a megabyte of attachment is 14,000 of them. A run of nothing but
base64 holds no boundary, no header and no blank line that means anything, so a short line can stand in for it.
"""

from __future__ import annotations

import re
from email.message import Message

_SHORTEST = 2_000  # bytes
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
        run = raw[start:stop].rstrip(b"\r\n")
        if len(run) >= _SHORTEST and not run.translate(None, _ALPHABET):
            kept += (raw[end:start], b"\0bulk %d\0" % len(runs))
            runs.append(run)
            end = start + len(run)
        else:
            kept.append(raw[end:start])
            end = start
    return b"".join((*kept, raw[end:])), runs


def put_back(message: Message, runs: list[bytes]) -> bool:
    """Every run where its line stands, so that nobody can tell. False when not each was found once."""
    if not runs:
        return True
    found = 0

    def run(line: re.Match[str]) -> str:
        nonlocal found
        found += 1
        return runs[int(line[1])].decode("ascii")

    waiting = [message]
    while waiting:
        part = waiting.pop()
        content = part.get_payload()
        if isinstance(content, list):
            waiting += (one for one in content if isinstance(one, Message))
        elif isinstance(content, str) and "\0" in content:
            part.set_payload(_LINE.sub(run, content))
    return found == len(runs)
