"""Bytes in, a ParsedMessage out. Never raises, whatever the bytes.

Who does what: `core.structure` makes the tree of parts, `core.parts` reads them and their files, mail-parser reads addresses and
dates out of the headers (`core.headers`). Charsets, encoded words and parameters are read here too (`core.text`), because there
mail-parser and the standard library lose text that real mail brings, or raise.
"""

from __future__ import annotations

import re
from datetime import datetime

from inboxops.core import authentication, ids, parts, quote, structure
from inboxops.core import headers as header
from inboxops.core import html as html_text
from inboxops.core.model import Address, Identity, ParsedMessage
from inboxops.core.structure import Part
from inboxops.core.text import Hint, clean, decode_words, detected_charset, raw_bytes

_BLANK = re.compile(rb"\n\r?\n")
_LEADING = b"\r\n\xef\xbb\xbf\0"
_NO_HEADER = re.compile(rb"^(?![A-Za-z0-9_][!-9;-~]*:|[ \t]|\r?$)", re.MULTILINE)
_GARBAGE = re.compile(rb"^[^A-Za-z0-9\s]{1,4}(?=[A-Za-z-]{2,30}:)")
_SPACED_COLON = re.compile(rb"^([!-9;-~]{1,40})[ \t]+:")
_KNOWN_HEADER = re.compile(
    rb"(?:from|to|cc|subject|date|message-id|mime-version|content-[a-z-]+|received|reply-to|return-path|references"
    rb"|in-reply-to)[ \t]*:",
    re.IGNORECASE,
)
_TLD = re.compile(r"@[A-Za-z0-9.-]{1,200}\.([A-Za-z]{2,20})(?![A-Za-z0-9.-])")
_HEADER_BOUND = 2_000  # header lines that are decoded


def parse(
    raw: bytes,
    *,
    received_at: datetime | None = None,
    trusted_authserv_ids: frozenset[str] = frozenset(),
    whole: Identity | None = None,
) -> ParsedMessage:
    """What a message says.

    received_at: when the provider took it in; the date is never later. trusted_authserv_ids: whose Authentication-Results count.
    whole: identity of the mail that these bytes remain of, None when they are all of it.
    """
    defects: list[str] = []
    start, end, body = _bounds(raw)
    message, is_too_deep = structure.read(_source(raw, start, end, defects))
    if is_too_deep:
        defects.append(f"more than {structure.MOST_DEPTH} parts within parts")
    raw_headers = message.headers[:_HEADER_BOUND]
    contents = parts.read(message, _hint(message))
    charset = contents.charset
    if (not charset or (charset.isascii() and charset.lower() in ("us-ascii", "ascii"))) and contents.hint.beside:
        beside = b"\n".join((contents.hint.beside, *contents.undeclared))
        charset = detected_charset(beside, contents.hint.tld) or charset
    html = clean("\n".join(contents.html))[: parts.TEXT_BOUND]
    text = clean("\n".join(contents.text)).replace("\r\n", "\n")[: parts.TEXT_BOUND]
    if not text.strip() and html:
        text = html_text.to_text(html)
    sent_at, defect = header.date(message.first("date"), received_at)
    message_id = _message_id(message)
    if len(message.all("message-id")) > 1:
        defects.append("more than one Message-ID")
    whole = whole or _identity(raw, body, message)
    return ParsedMessage(
        message_id=message_id or whole.synthetic_message_id,
        sender=_sender(message, charset),
        reply_to=_addresses(message, "reply-to", charset),
        to=_addresses(message, "to", charset),
        cc=_addresses(message, "cc", charset),
        return_path=_return_path(message),
        subject=" ".join(decode_words(message.first("subject") or "", charset).split()),
        date=sent_at,
        in_reply_to=ids.message_ids(_id_text(" ".join(message.all("in-reply-to")))),
        references=ids.message_ids(_id_text(" ".join(message.all("references")))),
        text=text,
        text_new=text if contents.delivery_status else quote.new_part(text),
        html=html,
        attachments=tuple(contents.attachments),
        headers=tuple((name, decode_words(value, charset).strip()) for name, value in raw_headers),
        content_type=message.content_type or "text/plain",
        content_type_parameters=message.parameters_in(charset),
        delivery_status=tuple(contents.delivery_status),
        returned=tuple(contents.returned),
        authentication=authentication.results(raw_headers, trusted_authserv_ids),
        marks=frozenset(contents.marks),
        defects=tuple(dict.fromkeys(filter(None, (*defects, defect, *contents.defects)))),
        content_hash=whole.content_hash,
        report_fields=contents.report_fields,
        part_types=tuple(contents.types),
        wrapped_status=tuple(contents.wrapped_status),
        wrapped_returned=tuple(contents.wrapped_returned),
    )


def _hint(message: Part) -> Hint:
    """What the headers tell of a charset that nobody declared."""
    eight_bit = [value for _, value in message.headers[:_HEADER_BOUND] if not value.isascii()]
    tld = _TLD.search(message.first("from") or "")
    return Hint(b"\n".join(map(raw_bytes, eight_bit)), tld[1].lower().encode("ascii") if tld else None)


def identity(raw: bytes) -> Identity:
    """What `parse` would make of all bytes."""
    start, end, body = _bounds(raw)
    return _identity(raw, body, structure.message(_source(raw, start, end, [])))


def _identity(raw: bytes, body: int, message: Part) -> Identity:
    """message: the raw mail with at least its headers read. Its body begins at `body`."""
    return Identity(
        content_hash=header.content_hash(message.headers[:_HEADER_BOUND], raw, body),
        synthetic_message_id="" if _message_id(message) else ids.synthetic_message_id(raw),
    )


def _message_id(message: Part) -> str:
    return next(filter(None, map(ids.normalise_message_id, map(_id_text, message.all("message-id")))), "")


def _id_text(value: str) -> str:
    """An id header's value, out of encoded words, which no RFC allows there and Python's EmailMessage makes of a long id."""
    return decode_words(value) if "=?" in value else clean(value)


def _bounds(raw: bytes) -> tuple[int, int, int]:
    """Where the head begins, where it ends, where the body begins."""
    start = len(raw) - len(raw.lstrip(_LEADING))
    blank = _BLANK.search(raw, start)
    end, body = blank.span() if blank else (len(raw), len(raw))
    if (mac_os_9 := raw.find(b"\r\r", start, end)) >= 0:
        return start, mac_os_9, mac_os_9 + 2
    return start, end, body


def _source(raw: bytes, start: int, end: int, defects: list[str]) -> bytes:
    """What is to be divided into parts and, in `defects`, what had to be forgiven for it. The head stands from `start` to `end`."""
    head = raw[start:end]
    mended = _mended(head)
    if mended is not head:
        defects.append("a header line without a name or with space before its colon")
    if start or mended is not head:
        raw = mended + raw[end:]
    return raw if b"\n" in raw else raw.replace(b"\r", b"\n")


def _mended(head: bytes) -> bytes:
    """A line that is no header but has headers behind it continues the one before; rubbish before a name, space before a colon go.

    Such a line would be taken for the end of the headers, and with it Subject and From for the body.
    """
    if not _NO_HEADER.search(head):
        return head
    lines = head.splitlines(keepends=True)
    last = max((number for number, line in enumerate(lines) if _KNOWN_HEADER.match(line.lstrip(b"=\"'"))), default=-1)
    for number, line in enumerate(lines[: last + 1]):
        line = lines[number] = _GARBAGE.sub(b"", line)
        if _SPACED_COLON.match(line):
            lines[number] = _SPACED_COLON.sub(rb"\1:", line, count=1)
        elif number and _NO_HEADER.match(line) and line.strip():
            lines[number] = b" " + line
    mended = b"".join(lines)
    return head if mended == head else mended


def _addresses(message: Part, name: str, charset: str | None) -> tuple[Address, ...]:
    """All mailboxes of a header that stands several times, which only broken mail has, as far as one header may go."""
    return header.addresses(", ".join(message.all(name)), charset)


def _sender(message: Part, charset: str | None) -> Address:
    """The first From that holds an address; else a From that holds a name; else Sender."""
    found = _addresses(message, "from", charset)
    named = next((one for one in found if one.address), found[0] if found else None)
    return named or next(iter(_addresses(message, "sender", charset)), Address("", ""))


def _return_path(message: Part) -> str | None:
    value = message.first("return-path")
    if value is None:
        return None
    found = header.addresses(value)
    return (found[0].address or found[0].name) if found else ""
