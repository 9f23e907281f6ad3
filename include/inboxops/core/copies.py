"""Two mails under one Message-ID: the same mail by another way, or another mail.

Lists add a footer and a word in the subject, scanners a banner, forwarders a header; parcel services, devices and ERP systems
use one id for many mails. A copy has the same author and Date, the lines of one text are all among the other's, and it brings no
file that the original has not. What can't be told apart by these is another mail: a ticket too many is seen, one too few is not.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from inboxops.core.model import Attachment

_MOST_LINES = 64
_SCANNED = 20_000


@dataclass(frozen=True, slots=True)
class Original:
    """What tells a copy from another mail. author: lower-cased address. lines: marks of the text's lines, without white space and
    case. files: of its files."""

    author: str
    date: datetime | None
    lines: frozenset[int]
    files: frozenset[int] = frozenset()


def line_marks(text: str) -> tuple[int, ...]:
    """A mark for each of a text's first lines that holds anything."""
    bare = ("".join(line.split()).casefold() for line in text[:_SCANNED].splitlines())
    return tuple(dict.fromkeys(zlib.crc32(line.encode("utf-8", "replace")) for line in bare if line))[:_MOST_LINES]


def file_marks(attachments: Iterable[Attachment], content_hash: str) -> tuple[int, ...]:
    """A mark for each file's content. Of a file that stands apart from its mail it is made of the mail's hash: like no other's."""
    contents = (content_hash.encode() if one.detached is not None else one.content for one in attachments)
    return tuple(dict.fromkeys(map(zlib.crc32, contents)))


def is_copy(later: Original, known: Original) -> bool:
    """Whether a later mail is the known one by another way. Without a Date, or without text and files, nothing tells."""
    if later.date is None or (later.author, later.date) != (known.author, known.date):
        return False
    if bool(later.lines) != bool(known.lines) or not (known.lines or known.files):
        return False
    is_same_text = later.lines <= known.lines or known.lines <= later.lines
    return is_same_text and later.files <= known.files


def derived_id(key: str, content_hash: str) -> str:
    """The index key of another mail under a known id: always the same for the same content."""
    return f"{key[:200]}#{content_hash[:16]}"
