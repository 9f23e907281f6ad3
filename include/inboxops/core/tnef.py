"""Outlook's winmail.dat (application/ms-tnef, [MS-OXTNEF]) opened: its files, its text, its HTML."""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass

from inboxops.core.model import Attachment
from inboxops.core.text import clean, decode

logging.getLogger("tnefparse").disabled = True  # it reports every odd property there; defects are ours to tell

_SIGNATURE = struct.pack("<I", 0x223E9F78)
_HEADER = 9  # level, name, type and length of an object
_MOST_OBJECTS = 2_000  # tnefparse copies the rest of the file for each, so their number has to be bounded
_MOST_STREAMS = 20
_MOST_PROPERTIES = 5_000
_SMALLEST = 12  # bytes of an object
_RECIPIENTS = 0x9004  # attRecipTable
_WITH_PROPERTIES = frozenset({0x9003, 0x9005})  # attMsgProps, attAttachment
_IGNORED = struct.pack("<H", 0xFFFF)  # a name that tnefparse passes over
_FIXED = {0x02: 2, 0x0B: 2, 0x03: 4, 0x04: 4, 0x0A: 4, 0x05: 8, 0x07: 8, 0x06: 8, 0x14: 8, 0x40: 8, 0x48: 16}
_VARIABLE = frozenset({0x1E, 0x1F, 0x0D, 0x102, 0x00})
_SEVERAL = 0x1000
_NAMED = 0x8000
_FAILURES = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, NotImplementedError, RecursionError,
    UnboundLocalError, struct.error,
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
    safe = _defused(content)
    if safe is None:
        return None
    from tnefparse import TNEF  # a twentieth of a second that most processes never need

    try:
        found = TNEF(safe, do_checksum=False)
        files = tuple(
            Attachment(_text(one.long_filename() or one.name), "application/octet-stream", bytes(one.data or b""))
            for one in found.attachments
        )
        return Opened(files, _text(found.body), _text(found.htmlbody))
    except _FAILURES:
        return None


def _defused(content: bytes) -> bytes | None:
    """The stream without what makes tnefparse count to four billion, here and in streams embedded in it; None when it is no TNEF or
    holds more objects than can be read in reasonable time.

    Properties whose counts do not fit their length are passed over, and so are recipients, which nobody asks for.
    """
    if not content.startswith(_SIGNATURE):
        return None
    safe = bytearray(content)
    objects, streams, start = 0, 0, 0
    while start >= 0:
        streams += 1
        offset = start + len(_SIGNATURE) + 2
        while offset + _SMALLEST < len(content):
            objects += 1
            if objects > _MOST_OBJECTS or streams > _MOST_STREAMS:
                return None
            name, _, length = struct.unpack_from("<HHI", content, offset + 1)
            data = memoryview(content)[offset + _HEADER : offset + _HEADER + length]
            if name == _RECIPIENTS or (name in _WITH_PROPERTIES and not _is_sound(data)):
                safe[offset + 1 : offset + 3] = _IGNORED
            offset += _HEADER + length + 2
        start = content.find(_SIGNATURE, start + len(_SIGNATURE))
    return bytes(safe)


def _is_sound(data: memoryview) -> bool:
    """Whether a list of MAPI properties ([MS-OXTNEF], 2.1.3.4) is as long as its counts say."""
    try:
        (count,) = struct.unpack_from("<I", data)
        offset = 4
        if count > _MOST_PROPERTIES:
            return False
        for _ in range(count):
            kind, name = struct.unpack_from("<HH", data, offset)
            offset += 4
            if name >= _NAMED:
                by_text, length = struct.unpack_from("<II", data, offset + 16)
                offset += 24 + (length + (-length % 4) if by_text else 0)
            values = 1
            if kind & _SEVERAL or kind in _VARIABLE:
                (values,) = struct.unpack_from("<I", data, offset)
                offset += 4
            kind &= ~_SEVERAL
            if kind in _FIXED:
                offset += _FIXED[kind] * values + (2 if _FIXED[kind] == 2 and values % 2 else 0)
            elif kind in _VARIABLE and values <= _MOST_PROPERTIES:
                for _ in range(values):
                    (length,) = struct.unpack_from("<I", data, offset)
                    offset += 4 + length + (-length % 4)
            else:
                return False
            if offset > len(data):
                return False
    except struct.error:
        return False
    return True


def _text(value: str | bytes | None) -> str:
    text = decode(value, None)[0] if isinstance(value, bytes) else clean(value or "")
    return text.rstrip("\0").strip()
