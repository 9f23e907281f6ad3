"""Files that old mail programs write into the text as uuencode (POSIX.1-2017, uuencode)."""

from __future__ import annotations

import binascii
import re

from inboxops.core.model import Attachment

_BEGIN = re.compile(r"^begin [0-7]{3,4} ([^\r\n]{1,255})\r?\n", re.MULTILINE)
_END = re.compile(r"^end[ \t]*\r?$", re.MULTILINE)
_MOST_FILES = 50


def split(text: str) -> tuple[str, tuple[Attachment, ...]]:
    """(text without the encoded files, the files). A block that does not decode stays where it is."""
    if "begin " not in text:
        return text, ()
    kept: list[str] = []
    files: list[Attachment] = []
    position = 0
    while len(files) < _MOST_FILES and (start := _BEGIN.search(text, position)):
        stop = _END.search(text, start.end())
        content = _decoded(text[start.end() : stop.start()]) if stop else None
        if content is None or stop is None:
            kept.append(text[position : start.end()])
            position = start.end()
            if stop is None:
                break
            continue
        kept.append(text[position : start.start()])
        files.append(Attachment(start[1].strip(), "application/octet-stream", content))
        position = stop.end()
    kept.append(text[position:])
    return "".join(kept), tuple(files)


def _decoded(block: str) -> bytes | None:
    lines = [line for line in block.splitlines() if line.strip() and line[0] != "`"]
    if not lines:
        return None
    content = bytearray()
    for line in lines:
        data = line.encode("ascii", "replace")
        try:
            content += binascii.a2b_uu(data)
        except binascii.Error:
            size = (
                ((data[0] - 32) & 63) * 4 + 5
            ) // 3  # some encoders pad a line with rubbish; its first byte tells the length
            try:
                content += binascii.a2b_uu(data[:size])
            except binascii.Error:
                return None
    return bytes(content)
