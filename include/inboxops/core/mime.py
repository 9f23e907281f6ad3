"""Bytes in, a ParsedMessage out. Never raises, whatever the bytes.

Who does what: the standard library's parser with policy compat32 (the one that does not raise on real mail) makes the tree of
parts; mail-parser reads addresses and dates out of the headers (`core.headers`); charsets, encoded words, parameters, parts and
their files are read here (`core.text`, `core.parts`), because there mail-parser loses text that real mail brings. What the
standard library can't read (endless nesting, boundaries in no charset) goes a tolerant path: containers below the depth limit
are read as plain parts, and at last the message is its headers and one text.
"""

from __future__ import annotations

import re
from datetime import datetime
from email.message import Message
from email.parser import HeaderParser
from email.policy import compat32

from inboxops.core import bulk, ids, parts, quote
from inboxops.core import headers as header
from inboxops.core import html as html_text
from inboxops.core.model import Address, ParsedMessage
from inboxops.core.text import clean, decode_words

MOST_DEPTH = 50
"""Containers within containers. Deeper ones are kept as plain parts."""
MOST_LINES = 1_000_000
MOST_DELIMITERS = 10_000

_LINE_END = b"\n"
_SLICE = 1 << 20  # bytes
_HEAD = 65_536  # bytes in which a root that is a multipart says so

_LEVEL = re.compile(
    rb"""(?P<declared>content-type:[^;\w]{0,200}(?:multipart|message)/) | ^--(?P<line>[^\r\n]{1,200}) """
    rb"""| boundary[ ]*=[ ]*(?:"(?P<quoted>[^"\r\n]{1,200})"|(?P<bare>[^\s;"]{1,200}))""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_BLANK = re.compile(rb"\r?\n\r?\n|\r\r")
_LEADING = b"\r\n\xef\xbb\xbf\0"
_NO_HEADER = re.compile(rb"^(?![A-Za-z0-9_][!-9;-~]*:|[ \t]|\r?$)", re.MULTILINE)
_GARBAGE = re.compile(rb"^[^A-Za-z0-9\s]{1,4}(?=[A-Za-z-]{2,30}:)")
_SPACED_COLON = re.compile(rb"^([!-9;-~]{1,40})[ \t]+:")
_KNOWN_HEADER = re.compile(
    rb"(?:from|to|cc|subject|date|message-id|mime-version|content-[a-z-]+|received|reply-to|return-path|references"
    rb"|in-reply-to)[ \t]*:",
    re.IGNORECASE,
)
_HEADER_BOUND = 2_000  # header lines that are decoded


def parse(
    raw: bytes, *, received_at: datetime | None = None, trusted_authserv_ids: frozenset[str] = frozenset()
) -> ParsedMessage:
    """What a message says.

    received_at: when the provider took it in; the date is never later. trusted_authserv_ids: whose Authentication-Results count.
    """
    message, defects = _structure(raw)
    raw_headers: header.Raw = tuple((name, str(value)) for name, value in message.raw_items())[:_HEADER_BOUND]
    contents = parts.read(message)
    charset = contents.charset
    content_type, content_parameters = header.parameters(header.first(raw_headers, "content-type") or "", charset)
    html = clean("\n".join(contents.html))[: parts.TEXT_BOUND]
    text = clean("\n".join(contents.text)).replace("\r\n", "\n")[: parts.TEXT_BOUND]
    if not text.strip() and html:
        text = html_text.to_text(html)
    sent_at, defect = header.date(header.first(raw_headers, "date"), received_at)
    message_id = next(filter(None, map(ids.normalise_message_id, map(clean, _values(raw_headers, "message-id")))), "")
    if len(_values(raw_headers, "message-id")) > 1:
        defects.append("more than one Message-ID")
    return ParsedMessage(
        message_id=message_id or ids.synthetic_message_id(raw),
        message_id_is_synthetic=not message_id,
        sender=_sender(raw_headers, charset),
        reply_to=_addresses(raw_headers, "reply-to", charset),
        to=_addresses(raw_headers, "to", charset),
        cc=_addresses(raw_headers, "cc", charset),
        return_path=_return_path(raw_headers),
        subject=" ".join(decode_words(header.first(raw_headers, "subject") or "", charset).split()),
        date=sent_at,
        in_reply_to=ids.message_ids(clean(" ".join(_values(raw_headers, "in-reply-to")))),
        references=ids.message_ids(clean(" ".join(_values(raw_headers, "references")))),
        text=text,
        text_new=text if contents.delivery_status else quote.new_part(text),
        html=html,
        attachments=tuple(contents.attachments),
        headers=tuple((clean(name), decode_words(value, charset).strip()) for name, value in raw_headers),
        content_type=content_type or "text/plain",
        content_type_parameters=content_parameters,
        delivery_status=tuple(contents.delivery_status),
        returned=tuple(contents.returned),
        authentication=header.authentication(_values(raw_headers, "authentication-results"), trusted_authserv_ids),
        marks=frozenset(contents.marks | ({"truncated"} if any(one.startswith("cut ") for one in defects) else set())),
        defects=tuple(dict.fromkeys(filter(None, (*defects, defect, *contents.defects)))),
        content_hash=header.content_hash(raw_headers, raw, _body_start(raw)),
        report_fields=contents.report_fields,
        part_types=tuple(contents.types),
    )


def _structure(raw: bytes) -> tuple[Message, list[str]]:
    """The tree of parts and what had to be forgiven for it."""
    light, runs = bulk.set_aside(raw)
    defects: list[str] = []
    message = _tree(_prepared(light, defects), defects)
    if not bulk.put_back(message, runs):
        defects = []
        message = _tree(_prepared(raw, defects), defects)
    return message, defects


def _prepared(raw: bytes, defects: list[str]) -> bytes:
    """Without what stands in front of the first header, with broken header lines mended, without containers too deep to read."""
    start = len(raw) - len(raw.lstrip(_LEADING))
    end = _BLANK.search(raw, start)
    head = raw[start : end.start() if end else len(raw)]
    mended = _mended(head)
    if mended is not head:
        defects.append("a header line without a name or with space before its colon")
    raw = mended + raw[start + len(head) :] if start or mended is not head else raw
    raw = _bounded(raw, defects)
    if _containers(raw) <= MOST_DEPTH:
        return raw
    deep = _too_deep(raw)
    if deep:
        defects.append(f"more than {MOST_DEPTH} parts within parts")
        flat = bytearray(raw)
        for offset in deep:
            flat[offset : offset + 1] = b"x"  # `xultipart/` is a type nobody descends into
        raw = bytes(flat)
    return raw


def _bounded(raw: bytes, defects: list[str]) -> bytes:
    """As many lines and parts as can be read in well under a second. The largest mail that is taken in, in base64, stays below."""
    for mark, most in ((_LINE_END, MOST_LINES), (b"\n--", MOST_DELIMITERS)):
        if raw.count(mark) > most and (mark == _LINE_END or b"multipart/" in raw[:_HEAD].lower()):
            position = -1
            for _ in range(most):
                position = raw.find(mark, position + 1)
            defects.append(f"cut behind {most} {'lines' if mark == _LINE_END else 'delimiters'}")
            raw = raw[:position]
    return raw


def _mended(head: bytes) -> bytes:
    """A line that is no header but has headers behind it continues the one before; rubbish before a name, space before a colon go.

    The standard library takes such a line for the end of the headers, and with it Subject and From for the body.
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


def _containers(raw: bytes) -> int:
    """How often a container's type is named, slice by slice: a lower-cased copy of a large mail would double its memory."""
    slices = (raw[start : start + _SLICE].lower() for start in range(0, len(raw), _SLICE))
    return sum(one.count(b"multipart/") + one.count(b"message/") for one in slices)


def _too_deep(raw: bytes) -> list[int]:
    """Where the types of those containers stand that are nested too deep.

    A container is open from its boundary's declaration until a delimiter of one further out shows up. One pass, no recursion.
    """
    opened: list[bytes] = []
    level: dict[bytes, int] = {}
    deep: list[int] = []
    for found in _LEVEL.finditer(raw):
        if found["declared"]:
            if len(opened) >= MOST_DEPTH:
                deep.append(found.end() - (10 if raw[found.end() - 10 : found.end()].lower() == b"multipart/" else 8))
            else:
                opened.append(b"")
        elif found["line"]:
            line = found["line"].rstrip()
            at = level.get(line, level.get(line.removesuffix(b"--"), -1))
            if at >= 0:
                for name in opened[at + 1 :]:
                    level.pop(name, None)
                del opened[at + 1 :]
        elif opened and not opened[-1]:
            opened[-1] = (found["quoted"] or found["bare"]).rstrip()
            level.setdefault(opened[-1], len(opened) - 1)
    return deep


def _tree(raw: bytes, defects: list[str]) -> Message:
    """The standard library's tree; where it raises, the headers and the rest as one text.

    A message without parts is its headers and its body: no need to have the standard library read that line by line.
    """
    end = _BLANK.search(raw)
    head, body = (raw[: end.start()], raw[end.end() :]) if end else (raw, b"")
    top = HeaderParser(policy=compat32).parsestr(head.decode("ascii", "surrogateescape") + "\n\n")
    try:
        if top.defects or top.get_content_maintype() in {"multipart", "message"}:
            return parts.tree(raw)
    except parts.FAILURES as exc:
        defects.append(f"structure can't be read: {type(exc).__name__}")
        kept = [(name, value) for name, value in top.raw_items() if not name.lower().startswith("content-")]
        top = Message(compat32)
        for name, value in kept:
            top[name] = value
    top.set_payload(body.decode("ascii", "surrogateescape"))
    return top


def _body_start(raw: bytes) -> int:
    end = _BLANK.search(raw, len(raw) - len(raw.lstrip(_LEADING)))
    return end.end() if end else len(raw)


def _values(raw_headers: header.Raw, name: str) -> list[str]:
    return [value for key, value in raw_headers if key.lower() == name]


def _addresses(raw_headers: header.Raw, name: str, charset: str | None) -> tuple[Address, ...]:
    """All mailboxes of a header that stands several times, which only broken mail has, as far as one header may go."""
    values = _values(raw_headers, name)
    return header.addresses(", ".join(values) if len(values) > 1 else "".join(values), charset)


def _sender(raw_headers: header.Raw, charset: str | None) -> Address:
    """The first From that holds an address; else a From that holds a name; else Sender."""
    found = _addresses(raw_headers, "from", charset)
    named = next((one for one in found if one.address), found[0] if found else None)
    return named or next(iter(_addresses(raw_headers, "sender", charset)), Address("", ""))


def _return_path(raw_headers: header.Raw) -> str | None:
    value = header.first(raw_headers, "return-path")
    if value is None:
        return None
    found = header.addresses(value)
    return (found[0].address or found[0].name) if found else ""
