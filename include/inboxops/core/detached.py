"""Files that stand apart from their mail: a large file in base64 is stored decoded, once, and not also within the raw mail.

A small one stands in the mail's pack, behind the frames (`core.packs`), any other is an object of its own.

What remains is a mail in which a line of base64, its token, stands where the file stood, so that whoever reads it finds the token
as the file's content. Only what encodes back into the very bytes that were taken out is taken out: `attach` gives the raw mail
back, byte for byte. Base64 is sought by its header alone, quicker than a mail is parsed; `recognised` says whether parsing took
every token for a file, and so whether what remains was read as the whole would have been.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pybase64

from inboxops.core.keys import detached_key
from inboxops.core.model import Identity, ParsedMessage
from inboxops.core.tnef import is_tnef

LEAST_BYTES = 4 * 1024
"""Of base64. A smaller file would save an object, too; but of one that stands apart `core.copies` does not know the content: a
list's copy of a mail with a small picture in its signature would be another mail."""
MOST_PACKED_BYTES = 256 * 1024
"""Of a file in a pack, which saves an object: 1.2 ms of CPU. The first link to one has it copied, for 6 ms at this size and more
beyond: as much, if every fifth file is asked for. It is read in one piece, too."""
MOST_FILES = 30
"""Of one mail; more than a message may bring (`core.attachments`)."""

_HEAD_BYTES = 4 * 1024  # of a part's head that are looked through, before and behind the encoding
_MOST_LOOKS = 1_000  # at what may be such a head: hostile mail may be full of them
_MOST_LINE_ENDS = 8  # bytes of them behind a body
_LINE, _CHARACTERS = 57, 76  # bytes and what they make: a full line (RFC 2045, 6.8)
_LINES_AT_ONCE = 4096
_BLANK = re.compile(rb"\n\r?\n")
_ENCODING = re.compile(rb"^content-transfer-encoding:[ \t]*base64[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_TYPE = re.compile(rb"^content-type:[ \t]*(?:\r?\n[ \t]+)?([a-z0-9.+_-]+/[a-z0-9.+_-]+)", re.IGNORECASE | re.MULTILINE)
_ATTACHED = re.compile(rb"^content-disposition:[ \t]*attachment\b", re.IGNORECASE | re.MULTILINE)
_READ_FURTHER = re.compile(rb"message/|multipart/|.*tnef", re.IGNORECASE)
"""Types of parts whose content is looked into, not only kept; so is text that is not said to be attached."""
_TNEF_NAME = re.compile(rb"\.dat\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class File:
    """Of a file that was taken out: where its token stands in what remains, its line ends, its size in bytes, its SHA-256."""

    at: int
    crlf: bool
    size_bytes: int
    sha256: bytes

    @property
    def line_end(self) -> bytes:
        return b"\r\n" if self.crlf else b"\n"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file's bytes are: all of an object, or a part of it."""

    key: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Apart:
    """Where the files of one mail stand. message_id: the one that was reserved for it.

    offsets: in the pack, by number; None, or none at all, for a file that is an object of its own.
    """

    tenant_id: int
    message_id: int
    pack: str
    offsets: Sequence[int | None]

    def place(self, number: int, size_bytes: int) -> Place:
        offset = self.offsets[number] if number < len(self.offsets) else None
        if offset is None:
            return Place(detached_key(self.tenant_id, self.message_id, number), 0, size_bytes)
        return Place(self.pack, offset, size_bytes)


def token(number: int, sha256: bytes) -> bytes:
    """The content of the line that stands for a file, decoded; `number` counts the mail's detached files from 0."""
    return sha256 + bytes([number])


def detach(raw: bytes) -> tuple[bytes, list[File], list[bytes]]:
    """(what remains of the mail, what was taken out of it, the content of each)."""
    files: list[File] = []
    contents: list[bytes] = []
    pieces: list[bytes] = []
    done = size = 0
    for start, end in _bodies(raw):
        crlf = raw[start + _CHARACTERS : start + _CHARACTERS + 2] == b"\r\n"
        content = _decoded(raw, start, end, b"\r\n" if crlf else b"\n")
        if content is None:
            continue
        sha256 = hashlib.sha256(content).digest()
        pieces += (raw[done:start], pybase64.b64encode(token(len(files), sha256)))
        size += start - done
        files.append(File(size, crlf, len(content), sha256))
        contents.append(content)
        size += len(pieces[-1])
        done = end
        if len(files) == MOST_FILES:
            break
    if not files:
        return raw, [], []
    return b"".join((*pieces, raw[done:])), files, contents


def attach(remains: bytes, files: Sequence[File], contents: Sequence[bytes]) -> bytes:
    """The raw mail. Raises ValueError when a content is not the one that was taken out."""
    pieces = []
    done = 0
    for number, (file, content) in enumerate(zip(files, contents, strict=True)):
        if hashlib.sha256(content).digest() != file.sha256:
            raise ValueError("a file of the raw mail is not what was stored")
        pieces.append(remains[done : file.at])
        pieces += _encoded(content, file.line_end)
        done = file.at + len(pybase64.b64encode(token(number, file.sha256)))
    return b"".join((*pieces, remains[done:]))


def recognised(message: ParsedMessage, files: Sequence[File]) -> ParsedMessage | None:
    """What was parsed of the remains, its tokens known for the files they stand for. None when one is no file, or twice one, or may
    be words: a text that is all of a mail is read as its words, too."""
    if message.content_type.startswith("text/"):
        return None
    numbers = {token(number, file.sha256): number for number, file in enumerate(files)}
    found = []
    attachments = []
    for attachment in message.attachments:
        number = numbers.get(attachment.content)
        if number is not None and not is_tnef(attachment.content_type, attachment.file_name):
            found.append(number)
            attachment = replace(attachment, content=b"", detached=(number, files[number].size_bytes))
        attachments.append(attachment)
    return replace(message, attachments=tuple(attachments)) if sorted(found) == list(range(len(files))) else None


def note(files: Sequence[File], whole: Identity) -> bytes:
    """What has to be known beside the remains, for `read_note`."""
    places = [[file.at, file.crlf, file.size_bytes, file.sha256.hex()] for file in files]
    return json.dumps([places, whole.content_hash, whole.synthetic_message_id], separators=(",", ":")).encode()


def read_note(content: bytes) -> tuple[list[File], Identity]:
    places, content_hash, synthetic_message_id = json.loads(content)
    files = [File(at, crlf, size, bytes.fromhex(sha256)) for at, crlf, size, sha256 in places]
    return files, Identity(content_hash, synthetic_message_id)


def _bodies(raw: bytes) -> Iterator[tuple[int, int]]:
    """(where it begins, where it ends, without its last line end) of each body that looks like a large file in base64."""
    at = 0
    for _ in range(_MOST_LOOKS):
        hit = raw.find(b"base64", at)
        if hit < 0 or len(raw) - hit < LEAST_BYTES:
            return
        at = hit + 6
        blank = _BLANK.search(raw, hit, hit + _HEAD_BYTES)
        if blank is None or not _is_kept_only(_head(raw, hit, blank.start() + 1)):
            continue
        start = blank.end()
        hyphen = raw.find(b"-", start)  # base64 has none, a delimiter begins with two
        end = at = len(raw) if hyphen < 0 else hyphen
        tail = raw[max(start, end - _MOST_LINE_ENDS) : end]
        end -= len(tail) - len(tail.rstrip(b"\r\n"))
        if end - start >= LEAST_BYTES:
            yield start, end


def _head(raw: bytes, hit: int, end: int) -> bytes:
    """The headers around `hit`, up to `end`: from the delimiter or the blank line before them, or from the mail's begin."""
    low = max(hit - _HEAD_BYTES, 0)
    marks = (raw.rfind(mark, low, hit) for mark in (b"\n--", b"\n\n", b"\n\r\n"))
    return raw[max(*marks, low - 1) + 1 : end]


def _is_kept_only(head: bytes) -> bool:
    """Whether the headers are those of a file that nobody looks into."""
    if len(_ENCODING.findall(head)) != 1 or _TNEF_NAME.search(head) or not (found := _TYPE.search(head)):
        return False
    is_text = found[1][:5].lower() == b"text/"
    return not _READ_FURTHER.match(found[1]) and (not is_text or _ATTACHED.search(head) is not None)


def _decoded(raw: bytes, start: int, end: int, line_end: bytes) -> bytes | None:
    """What `raw[start:end]` encodes, if `_encoded` gives the same bytes.

    A decoder passes over what is no base64. Here nothing was passed over if all lines end where they should and the bytes behind
    the full lines encode into the last line: each byte passed over would have moved it.
    """
    width = _CHARACTERS + len(line_end)
    full = (end - start - 1) // width
    last = start + full * width
    for column, byte in enumerate(line_end, start=_CHARACTERS):
        if raw[start + column : last : width] != bytes([byte]) * full:
            return None
    try:
        content = pybase64.b64decode(memoryview(raw)[start:end])
    except binascii.Error:
        return None
    return content if pybase64.b64encode(content[full * _LINE :]) == raw[last:end] else None


def _encoded(content: bytes, line_end: bytes) -> Iterator[bytes]:
    """Base64 in lines of 76 characters, the last without its line end, in pieces: a copy of a large file costs as much again."""
    step = _LINE * _LINES_AT_ONCE
    for begin in range(0, len(content), step):
        lines = pybase64.encodebytes(memoryview(content)[begin : begin + step])
        if begin + step >= len(content):
            lines = lines[:-1]
        yield lines.replace(b"\n", line_end) if line_end != b"\n" else lines
