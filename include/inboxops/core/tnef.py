"""Outlook's winmail.dat (application/ms-tnef, [MS-OXTNEF]) opened: its files, its text, its HTML."""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass

from tnefparse import TNEF

from inboxops.core.model import Attachment
from inboxops.core.text import clean, decode

logging.getLogger("tnefparse").disabled = True  # it reports every odd property there; defects are ours to tell

_SIGNATURE = struct.pack("<I", TNEF.TNEF_SIGNATURE)
_MOST_OBJECTS = 2_000  # tnefparse copies the rest of the file for each, so their number has to be bounded
_MOST_STREAMS = 20
_FAILURES = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, NotImplementedError, RecursionError, struct.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opened:
    attachments: tuple[Attachment, ...] = ()
    text: str = ""
    html: str = ""


def is_tnef(content_type: str, file_name: str) -> bool:
    return content_type in {"application/ms-tnef", "application/vnd.ms-tnef"} or file_name.lower() == "winmail.dat"


def opened(content: bytes) -> Opened | None:
    """What is in it, or None when it can't be read."""
    if not content.startswith(_SIGNATURE) or not _bounded(content):
        return None
    try:
        found = TNEF(content, do_checksum=False)
        files = tuple(
            Attachment(_text(one.long_filename() or one.name), "application/octet-stream", bytes(one.data or b""))
            for one in found.attachments
        )
        return Opened(files, _text(found.body), _text(found.htmlbody))
    except _FAILURES:
        return None


def _bounded(content: bytes) -> bool:
    """Whether this stream and those embedded in it hold few enough objects to be read in reasonable time."""
    objects, streams, start = 0, 0, 0
    while start >= 0:
        streams += 1
        offset = start + 6
        while offset + TNEF.MIN_OBJ_SIZE < len(content):
            objects += 1
            offset += struct.unpack_from("<I", content, offset + 5)[0] + 11
            if objects > _MOST_OBJECTS:
                return False
        start = content.find(_SIGNATURE, start + 4)
    return streams <= _MOST_STREAMS


def _text(value: str | bytes | None) -> str:
    text = decode(value, None)[0] if isinstance(value, bytes) else clean(value or "")
    return text.rstrip("\0").strip()
