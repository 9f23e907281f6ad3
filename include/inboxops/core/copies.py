"""Two mails under one Message-ID: the same mail by another way, or another mail.

Lists add a footer and a word in the subject, scanners a banner, forwarders a header; parcel services, devices and ERP systems
use one id for many mails. A copy has the same author and Date, and the lines of one text are all among the other's.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime

_MOST_LINES = 64
_SCANNED = 20_000


@dataclass(frozen=True, slots=True)
class Original:
    """What tells a copy from another mail. lines: marks of the text's lines, without white space and case."""

    sender: str
    date: datetime | None
    lines: frozenset[int]


def line_marks(text: str) -> tuple[int, ...]:
    """A mark for each of a text's first lines that holds anything."""
    bare = ("".join(line.split()).casefold() for line in text[:_SCANNED].splitlines())
    return tuple(dict.fromkeys(zlib.crc32(line.encode("utf-8", "replace")) for line in bare if line))[:_MOST_LINES]


def is_copy(one: Original, other: Original) -> bool:
    """Whether both are one mail. Texts without lines are only copies of each other, so that nothing is taken for what it is not."""
    if (one.sender, one.date) != (other.sender, other.date) or bool(one.lines) != bool(other.lines):
        return False
    return one.lines <= other.lines or other.lines <= one.lines


def derived_id(key: str, content_hash: str) -> str:
    """The index key of another mail under a known id: always the same for the same content."""
    return f"{key[:200]}#{content_hash[:16]}"
