"""The tree of a message's parts read once, without recursion: text, HTML, files, reports, what was returned.

The standard library (policy compat32) makes the tree. mail-parser's own walk is not used here: it descends into attached
messages, so that their text becomes the text of the mail around them, leaves ISO-2022-JP in 7-bit parts undecoded, and gives
nameless parts random names.
"""

from __future__ import annotations

import binascii
import io
import re
from contextlib import suppress
from dataclasses import dataclass, field
from email.errors import MessageError
from email.generator import BytesGenerator
from email.message import Message
from email.parser import BytesFeedParser, Parser
from email.policy import compat32

from inboxops.core import html as html_text
from inboxops.core import tnef, uuencode
from inboxops.core.headers import Raw, parameters
from inboxops.core.model import Attachment
from inboxops.core.text import clean, decode, decode_words, raw_bytes

MOST_PARTS = 1_000
MOST_FILES = 200
TEXT_BOUND = 1_000_000  # characters of text, and of HTML, that are kept
_BLOCK_BOUND = 200_000  # characters of a delivery report that are read
_MOST_BLOCKS = 500
_MOST_RETURNED = 20
_SLICE = 1 << 20  # bytes
_TAIL = 100  # characters: the last line of a body in base64, and what follows it

FAILURES = (
    MessageError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, AssertionError, RecursionError,
)  # fmt: skip
"""What the standard library is known to raise on mail that breaks the rules."""

_MOST_RECOVERED = 5
_PREAMBLE = 200  # characters, "This is a MIME-encapsulated message" and the like
_DELIMITER = re.compile(r'^--([^\s"][^\r\n"]{0,199}?)[ \t]*\r?$', re.MULTILINE)
_PART_START = re.compile(r'^--([^\s"][^\r\n"]{0,199}?)[ \t]*\r?\nContent-[A-Za-z-]{1,40}:', re.MULTILINE)
_FIELD = re.compile(r"^([!-9;-~]{1,80})[ \t]*:[ \t]*(.*)$")
_EMBEDDED = frozenset({"message/rfc822", "message/global", "message/news", "message/x-rfc822"})
_RETURNED_HEADERS = frozenset({"text/rfc822-headers", "message/rfc822-headers", "message/global-headers"})
_STATUS = frozenset({"message/delivery-status", "message/global-delivery-status"})
_FIELDS = frozenset({
    "message/disposition-notification", "message/global-disposition-notification", "message/feedback-report",
})  # fmt: skip


@dataclass(slots=True)
class Contents:
    """What the parts of one message hold, collected in their order."""

    text: list[str] = field(default_factory=list)
    html: list[str] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    delivery_status: list[dict[str, str]] = field(default_factory=list)
    report_fields: dict[str, str] = field(default_factory=dict)
    returned: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    marks: set[str] = field(default_factory=set)
    defects: list[str] = field(default_factory=list)
    charset: str | None = None
    """What the message declares for its text, the first time."""
    recovered: int = 0


@dataclass(frozen=True, slots=True)
class _Part:
    """One part with its own headers read once: the first value of each by its lower-cased name."""

    message: Message
    headers: dict[str, str]
    content_type: str
    parameters: dict[str, str]
    disposition: str
    name: str

    @property
    def placement(self) -> tuple[str, bool]:
        """(Content-ID without brackets, whether the part is shown within the text)."""
        content_id = "".join(decode_words(self.headers.get("content-id", "")).split()).strip("<>")
        return content_id, self.disposition == "inline" or bool(content_id and self.disposition != "attachment")


def tree(raw: bytes) -> Message:
    """The standard library's tree. Raises one of FAILURES.

    Fed in slices: its own `parsebytes` goes through a text buffer of four bytes a character.
    """
    parser = BytesFeedParser(policy=compat32)
    for start in range(0, len(raw), _SLICE):
        parser.feed(raw[start : start + _SLICE])
    return parser.close()


def read(root: Message) -> Contents:
    """Every part of the message itself. Embedded messages are kept whole and not entered."""
    contents = Contents()
    attached: list[tuple[_Part, Message]] = []
    waiting: list[tuple[Message, str]] = [(root, "")]
    while waiting:
        message, parent = waiting.pop()
        if len(contents.types) >= MOST_PARTS:
            contents.marks.add("truncated")
            contents.defects.append(f"more than {MOST_PARTS} parts")
            break
        part = _part(message, parent, contents.charset)
        contents.types.append(part.content_type)
        _mark(contents, part)
        declared = part.content_type.startswith("multipart/")
        undeclared = message is root and "content-type" not in part.headers
        if (declared or undeclared) and (children := _children(contents, message, declared)):
            waiting.extend((child, part.content_type) for child in reversed(children))
        elif part.content_type.startswith("message/") or part.content_type in _RETURNED_HEADERS:
            attached += _read_message(contents, part)
        else:
            _read_leaf(contents, part)
    if "multipart/report" not in contents.types[:1] and not contents.delivery_status:
        for part, inner in attached:
            subject = " ".join(decode_words(str(inner.get("subject", ""))).split()) or "message"
            content = _flattened(inner)
            _keep(
                contents,
                Attachment(f"{subject}.eml", part.content_type, content, *part.placement, named_by_subject=True),
            )
    return contents


def _part(message: Message, parent: str, charset: str | None) -> _Part:
    headers: dict[str, str] = {}
    for key, value in message.raw_items():
        headers.setdefault(key.lower(), str(value))
    content_type, content = parameters(headers.get("content-type", ""), charset)
    disposition, placed = parameters(headers.get("content-disposition", ""), content.get("charset") or charset)
    if "/" not in content_type:
        content_type = "message/rfc822" if parent == "multipart/digest" else "text/plain"
    name = placed.get("filename") or content.get("name") or placed.get("name") or ""
    return _Part(message, headers, content_type, content, disposition, clean(name).strip())


def _children(contents: Contents, part: Message, declared: bool) -> list[Message]:
    """The parts of a multipart; when its boundary is missing or broken, those between the delimiters that the body shows.

    Without any declaration (a gateway dropped the header) the delimiter must open the body, be repeated, and have a part's header
    behind it: a returned message further below has delimiters too.
    """
    if part.is_multipart():
        return messages(part)
    if contents.recovered >= _MOST_RECOVERED:
        return []
    inner = plain(part)
    delimiter = (_DELIMITER if declared else _PART_START).search(inner)
    if delimiter is None:
        return []
    if not declared and (delimiter.start() > _PREAMBLE or inner.count(f"\n--{delimiter[1]}") < 2):
        return []
    contents.recovered += 1
    contents.defects.append("a multipart without its boundary")
    mended = f'Content-Type: multipart/mixed; boundary="{delimiter[1]}"\n\n{inner}'
    try:
        return messages(Parser(policy=compat32).parsestr(mended))
    except FAILURES:
        return []


def messages(part: Message) -> list[Message]:
    """The parts of a part that has some."""
    inner = part.get_payload() if part.is_multipart() else []
    return [one for one in inner if isinstance(one, Message)]


def blocks(text: str) -> list[dict[str, str]]:
    """Groups of fields that blank lines part (RFC 3464, 2.1). A line that is no field is skipped and hides nothing."""
    found: list[dict[str, str]] = [{}]
    name = ""
    for line in text[:_BLOCK_BOUND].splitlines():
        if not line.strip():
            if found[-1] and len(found) < _MOST_BLOCKS:
                found.append({})
            name = ""
        elif line[0] in " \t" and name:
            found[-1][name] += " " + line.strip()
        elif (split := _FIELD.match(line)) is not None:
            name = split[1].lower()
            found[-1][name] = f"{found[-1][name]} {split[2]}".strip() if name in found[-1] else split[2].strip()
    return [{key: decode_words(value) for key, value in block.items()} for block in found if block]


def header_block(headers: Raw) -> str:
    """Headers as text, one a line, unfolded and decoded."""
    return "\n".join(f"{name}: {decode_words(value)}" for name, value in headers[:500])


def payload(part: Message) -> bytes:
    """The bytes of a leaf with its transfer encoding undone; broken base64 gives what can be read.

    Sound base64 needs no more than binascii: the standard library cuts it into lines first, which takes twice its size in memory.
    """
    if (text := _sound_base64(part)) is not None:
        with suppress(binascii.Error):
            return binascii.a2b_base64(text)
    try:
        content = part.get_payload(decode=True)
    except FAILURES:
        content = None
    if isinstance(content, bytes):
        return content
    return raw_bytes(plain(part))


def _sound_base64(part: Message) -> str | None:
    """The text of a leaf in base64 that is padded nowhere but at its end."""
    if str(part.get("content-transfer-encoding", "")).lower() != "base64":
        return None
    text = plain(part)
    is_sound = text.isascii() and text.find("=", 0, -_TAIL) < 0 and "=" not in text[-_TAIL:].rstrip("=\r\n")
    return text if is_sound else None


def plain(part: Message) -> str:
    """The text of a leaf as the standard library gives it, transfer encoding and all; it raises on some mixtures of bytes."""
    try:
        plain = part.get_payload()
    except FAILURES:
        return ""
    return plain if isinstance(plain, str) else ""


def _read_message(contents: Contents, part: _Part) -> list[tuple[_Part, Message]]:
    """A part of type message/*, or the headers of one. Gives back a message without a name of its own: no file in a report."""
    embedded = _embedded(part)
    content_type = part.content_type
    if content_type in _EMBEDDED or content_type not in _STATUS | _FIELDS | _RETURNED_HEADERS:
        inner = embedded[0] if embedded else part.message
        if content_type in _EMBEDDED and len(contents.returned) < _MOST_RETURNED:
            contents.returned.append(header_block(tuple((key, str(value)) for key, value in inner.raw_items())))
        if not part.name and content_type in _EMBEDDED:
            return [(part, inner)]
        _keep(contents, Attachment(part.name, content_type, _flattened(inner), *part.placement))
        return []
    source = _source(part.message, embedded)
    if content_type in _STATUS:
        contents.delivery_status += blocks(source)
    elif content_type in _FIELDS:
        for block in blocks(source):
            contents.report_fields = block | contents.report_fields
    elif len(contents.returned) < _MOST_RETURNED:
        contents.returned.append(decode(raw_bytes(source), None)[0][:_BLOCK_BOUND])
    if part.name and (content_type in _RETURNED_HEADERS or part.disposition == "attachment"):
        _keep(contents, Attachment(part.name, content_type, raw_bytes(source), *part.placement))
    return []


def _read_leaf(contents: Contents, part: _Part) -> None:
    data = payload(part.message)
    if part.content_type.startswith(("text/", "multipart/")) and part.content_type != "text/calendar":
        charset = part.parameters.get("charset")
        contents.charset = contents.charset or charset
        if not part.name and part.disposition != "attachment":
            text, defect = decode(data, charset)
            if defect:
                contents.defects.append(defect)
            _read_text(contents, text, part.content_type)
            return
    if tnef.is_tnef(part.content_type, part.name) and _open_tnef(contents, data):
        return
    _keep(contents, Attachment(part.name, part.content_type, data, *part.placement))


def _open_tnef(contents: Contents, data: bytes) -> bool:
    """Whether winmail.dat was opened and held files: then it is not one itself."""
    opened = tnef.opened(data)
    if opened is None:
        contents.defects.append("winmail.dat can't be read")
        return False
    contents.marks.add("tnef")
    if opened.text:
        contents.text.append(opened.text[:TEXT_BOUND])
    if opened.html:
        contents.html.append(opened.html[:TEXT_BOUND])
    for file in opened.attachments:
        _keep(contents, file)
    return bool(opened.attachments)


def _read_text(contents: Contents, text: str, content_type: str) -> None:
    if content_type == "text/html":
        contents.html.append(text)
        return
    if content_type in {"text/x-amp-html", "text/watch-html"}:
        return  # another form of the same words
    if content_type in {"text/enriched", "text/richtext"}:
        text = html_text.to_text(text)
    text, files = uuencode.split(text)
    if files:
        contents.marks.add("uuencode")
    for file in files:
        _keep(contents, file)
    if "-----BEGIN PGP MESSAGE-----" in text:
        contents.marks.add("pgp-encrypted")
    if "-----BEGIN PGP SIGNED MESSAGE-----" in text:
        contents.marks.add("pgp-signed")
    contents.text.append(text)


def _mark(contents: Contents, part: _Part) -> None:
    content_type, protocol = part.content_type, part.parameters.get("protocol", "").lower()
    if content_type in {"text/calendar", "application/ics"}:
        contents.marks.add("calendar")
    elif content_type == "multipart/signed":
        contents.marks.add("pgp-signed" if "pgp" in protocol else "smime-signed")
    elif content_type == "multipart/encrypted":
        contents.marks.add("pgp-encrypted")
    elif content_type in {"application/pkcs7-mime", "application/x-pkcs7-mime"}:
        signed = part.parameters.get("smime-type", "").lower() == "signed-data"
        contents.marks.add("smime-signed" if signed else "smime-encrypted")


def _keep(contents: Contents, attachment: Attachment) -> None:
    if len(contents.attachments) < MOST_FILES:
        contents.attachments.append(attachment)
    elif "truncated" not in contents.marks:
        contents.marks.add("truncated")
        contents.defects.append(f"more than {MOST_FILES} attachments")


def _embedded(part: _Part) -> list[Message]:
    """The messages within a message/* part, also when it is encoded, which RFC 2046, 5.2.1 forbids and Exchange does, and when
    blank lines stand before its headers."""
    found = messages(part.message)
    encoding = part.headers.get("content-transfer-encoding", "").strip().lower()
    encoded = encoding in {"base64", "quoted-printable"}
    if not found or (found[0].keys() and not (encoded and len(found) == 1 and not found[0].get("subject"))):
        return found
    source = _source(part.message, found)
    if encoded:
        wrapper = Message(compat32)
        wrapper["Content-Transfer-Encoding"] = encoding
        wrapper.set_payload(raw_bytes(source).decode("ascii", "surrogateescape"))
        data = payload(wrapper)
    else:
        data = raw_bytes(source)
    try:
        return [tree(data.lstrip(b"\r\n"))]
    except FAILURES:
        return found


def _source(part: Message, embedded: list[Message]) -> str:
    """The text of a message/* part as it was before the standard library took it for a message."""
    if not embedded:
        return decode(payload(part), None)[0]
    pieces = []
    for one in embedded[:_MOST_BLOCKS]:
        head = "\n".join(f"{name}: {value}" for name, value in one.raw_items())
        body = plain(one)
        pieces.append(f"{head}\n\n{body}" if body else head)
    return "\n\n".join(pieces).lstrip("\n")


def _flattened(message: Message) -> bytes:
    """A message as bytes again; when its charset labels make that impossible, its headers and text."""
    target = io.BytesIO()
    try:
        BytesGenerator(target, mangle_from_=False, maxheaderlen=0, policy=compat32).flatten(message)
    except FAILURES:
        return raw_bytes(f"{header_block(tuple(message.raw_items()))}\n\n{plain(message)}")
    return target.getvalue()
