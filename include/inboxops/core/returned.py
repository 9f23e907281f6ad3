"""A bounce without MIME structure taken apart: what the server says, and the message (or its headers) it returns below."""

from __future__ import annotations

import re
from collections.abc import Iterable

from inboxops.core import phrases

SCANNED = 50_000
"""Characters of a body that rules look at."""

_HEADER_LINE = re.compile(r"^[ \t>|]{0,8}([A-Za-z][A-Za-z0-9-]{1,40})[ \t]?:(?:[ \t]|$)")
_FOLDED = re.compile(r"^[ \t>|]{1,8}\S")
_MAIL_HEADERS = frozenset({
    "received", "return-path", "message-id", "from", "to", "cc", "subject", "date", "mime-version", "content-type",
    "reply-to", "sender", "x-mailer", "delivered-to", "content-transfer-encoding", "references", "in-reply-to",
    "precedence", "errors-to", "organization", "user-agent", "dkim-signature", "x-received", "x-original-to",
    "authentication-results", "x-sender", "list-id",
})  # fmt: skip
_WIRE_HEADERS = frozenset({"received", "return-path", "message-id", "mime-version", "dkim-signature", "x-received"})
_OF_PARTS = frozenset({"content-type", "content-transfer-encoding", "mime-version"})
_ENOUGH = 3


def split(text: str) -> tuple[str, str, bool]:
    """(what the server says, what it returns, whether that is a header block as it goes over the wire).

    A header block is three or more header lines in a row of which one stands only in raw mail (Received, Message-ID ...): people
    who quote write From, Sent, To and Subject, which is none.
    """
    text = text[:SCANNED]
    at = _header_block(text)
    mark = phrases.RETURNED_MARK.search(text)
    starts = [start for start in (at, mark.start() if mark else None) if start is not None and text[:start].strip()]
    if not starts:
        return text, text[at:] if at is not None else "", at is not None
    start = min(starts)
    return text[:start], text[start:], at is not None


def begins_with_header_block(text: str) -> bool:
    """Whether a file's text is (the head of) another message as it goes over the wire."""
    at = _header_block(text[:SCANNED])
    return at is not None and not text[:at].strip()


def is_message_head(names: Iterable[str]) -> bool:
    """Whether header names are those of a whole message: enough of them, and one that stands only in raw mail."""
    known = {name.lower() for name in names} & _MAIL_HEADERS - _OF_PARTS
    return len(known) >= _ENOUGH and bool(known & _WIRE_HEADERS)


def _header_block(text: str) -> int | None:
    """Where the first header block in a text begins."""
    position = 0
    start = 0
    names: set[str] = set()
    for line in text.splitlines(keepends=True):
        found = _HEADER_LINE.match(line)
        if found and (found[1].lower() in _MAIL_HEADERS or (names and found[1].lower().startswith("x-"))):
            if not names:
                start = position
            names.add(found[1].lower())
            if len(names) >= _ENOUGH and names & _WIRE_HEADERS:
                return start
        elif names and not (found or _FOLDED.match(line)):
            names = set()
        position += len(line)
    return None
