"""The tree of a message's parts read once, without recursion: text, HTML, files, reports, what was returned.

The standard library (policy compat32) makes the tree. mail-parser's own walk is not used here: it descends into attached
messages, so that their text becomes the text of the mail around them, leaves ISO-2022-JP in 7-bit parts undecoded, and gives
nameless parts random names.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from email.generator import BytesGenerator
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32

from inboxops.core import html as html_text
from inboxops.core import tnef, uuencode
from inboxops.core.headers import Raw, first, parameters
from inboxops.core.model import Attachment
from inboxops.core.text import clean, decode, decode_words

MOST_PARTS = 1_000
MOST_FILES = 200
TEXT_BOUND = 1_000_000  # characters of text, and of HTML, that are kept
_BLOCK_BOUND = 200_000  # characters of a delivery report that are read
_MOST_BLOCKS = 500
_MOST_RETURNED = 20

FAILURES = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, AssertionError, RecursionError)
"""What the standard library is known to raise on mail that breaks the rules."""

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


def read(root: Message) -> Contents:
    """Every part of the message itself. Embedded messages are kept whole and not entered."""
    contents = Contents()
    in_report = "multipart/report" in str(root.get("content-type", "")).lower()
    waiting: list[tuple[Message, str]] = [(root, "")]
    while waiting:
        part, parent = waiting.pop()
        if len(contents.types) >= MOST_PARTS:
            contents.marks.add("truncated")
            contents.defects.append(f"more than {MOST_PARTS} parts")
            break
        raw = tuple(part.raw_items())
        content_type, content_parameters = parameters(first(raw, "content-type") or "")
        if "/" not in content_type:
            content_type = "message/rfc822" if parent == "multipart/digest" else "text/plain"
        contents.types.append(content_type)
        _mark(contents, content_type, content_parameters)
        children = part.get_payload()
        if isinstance(children, list) and content_type.startswith("multipart/"):
            waiting.extend((child, content_type) for child in reversed(children) if isinstance(child, Message))
        elif content_type.startswith("message/") or content_type in _RETURNED_HEADERS:
            _read_message(contents, part, content_type, raw, in_report)
        else:
            _read_leaf(contents, part, content_type, content_parameters, raw, parent)
    return contents


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
    """The bytes of a leaf with its transfer encoding undone; broken base64 gives what can be read."""
    try:
        content = part.get_payload(decode=True)
    except FAILURES:
        content = None
    if isinstance(content, bytes):
        return content
    plain = part.get_payload()
    return plain.encode("utf-8", "surrogateescape") if isinstance(plain, str) else b""


def _read_message(contents: Contents, part: Message, content_type: str, raw: Raw, in_report: bool) -> None:
    """A part of type message/*, or the headers of one."""
    embedded = _embedded(part)
    if content_type in _STATUS:
        contents.delivery_status += blocks(_source(part, embedded))
    elif content_type in _FIELDS:
        for block in blocks(_source(part, embedded)):
            contents.report_fields = block | contents.report_fields
    elif content_type in _RETURNED_HEADERS:
        if len(contents.returned) < _MOST_RETURNED:
            contents.returned.append(
                decode(_source(part, embedded).encode("utf-8", "surrogateescape"), None)[0][:_BLOCK_BOUND]
            )
    else:
        inner = embedded[0] if embedded else part
        inner_headers = tuple(inner.raw_items())
        if content_type in _EMBEDDED and len(contents.returned) < _MOST_RETURNED:
            contents.returned.append(header_block(inner_headers))
        if not in_report:
            _keep(contents, _message_file(part, inner, content_type, raw))


def _message_file(part: Message, inner: Message, content_type: str, raw: Raw) -> Attachment:
    """An attached message as a file under its subject."""
    subject = decode_words(first(tuple(inner.raw_items()), "subject") or "").strip()
    name = _file_name(raw) or (f"{subject or 'message'}.eml" if content_type in _EMBEDDED else "")
    content_id, inline = _placement(raw)
    return Attachment(name, content_type, _flattened(inner), content_id, inline)


def _read_leaf(
    contents: Contents, part: Message, content_type: str, content_parameters: dict[str, str], raw: Raw, parent: str
) -> None:
    name = _file_name(raw)
    disposition = parameters(first(raw, "content-disposition") or "")[0]
    content_id, inline = _placement(raw)
    is_text = content_type.startswith("text/") and content_type != "text/calendar"
    data = payload(part)
    if is_text and not name and disposition != "attachment":
        text, defect = decode(data, content_parameters.get("charset"))
        if defect and not data.isascii():
            contents.defects.append(defect)
        _read_text(contents, text, content_type)
    elif tnef.is_tnef(content_type, name) and (opened := tnef.opened(data)) is not None:
        contents.marks.add("tnef")
        for file in opened.attachments:
            _keep(contents, file)
        if opened.text:
            contents.text.append(opened.text[:TEXT_BOUND])
        if opened.html:
            contents.html.append(opened.html[:TEXT_BOUND])
    else:
        if tnef.is_tnef(content_type, name):
            contents.defects.append("winmail.dat can't be read")
        _keep(contents, Attachment(name, content_type, data, content_id, inline))


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


def _mark(contents: Contents, content_type: str, content_parameters: dict[str, str]) -> None:
    protocol = content_parameters.get("protocol", "").lower()
    if content_type == "text/calendar" or content_type == "application/ics":
        contents.marks.add("calendar")
    elif content_type == "multipart/signed":
        contents.marks.add("pgp-signed" if "pgp" in protocol else "smime-signed")
    elif content_type == "multipart/encrypted":
        contents.marks.add("pgp-encrypted")
    elif content_type in {"application/pkcs7-mime", "application/x-pkcs7-mime"}:
        signed = content_parameters.get("smime-type", "").lower() == "signed-data"
        contents.marks.add("smime-signed" if signed else "smime-encrypted")


def _keep(contents: Contents, attachment: Attachment) -> None:
    if len(contents.attachments) < MOST_FILES:
        contents.attachments.append(attachment)
    elif "truncated" not in contents.marks:
        contents.marks.add("truncated")
        contents.defects.append(f"more than {MOST_FILES} attachments")


def _file_name(raw: Raw) -> str:
    disposition = parameters(first(raw, "content-disposition") or "")[1]
    content = parameters(first(raw, "content-type") or "")[1]
    return clean(disposition.get("filename") or content.get("name") or disposition.get("name") or "").strip()


def _placement(raw: Raw) -> tuple[str, bool]:
    """(Content-ID without brackets, whether the part is shown within the text)."""
    content_id = "".join(decode_words(first(raw, "content-id") or "").split()).strip("<>")
    disposition = parameters(first(raw, "content-disposition") or "")[0]
    return content_id, disposition == "inline" or bool(content_id and disposition != "attachment")


def _embedded(part: Message) -> list[Message]:
    """The messages within a message/* part, also when it is encoded, which RFC 2046, 5.2.1 forbids and Exchange does."""
    inner = part.get_payload()
    if not isinstance(inner, list):
        return []
    found = [one for one in inner if isinstance(one, Message)]
    encoding = str(part.get("content-transfer-encoding", "")).strip().lower()
    if encoding not in {"base64", "quoted-printable"} or not found:
        return found
    wrapper = Message(compat32)
    wrapper["Content-Transfer-Encoding"] = encoding
    wrapper.set_payload(_source(part, found))
    try:
        return [BytesParser(policy=compat32).parsebytes(payload(wrapper))]
    except FAILURES:
        return found


def _source(part: Message, embedded: list[Message]) -> str:
    """The text of a message/* part as it was before the standard library took it for a message."""
    if not embedded:
        plain = part.get_payload()
        return decode(payload(part), None)[0] if isinstance(plain, str) else ""
    pieces = []
    for one in embedded:
        head = "\n".join(f"{name}: {value}" for name, value in one.raw_items())
        body = one.get_payload()
        pieces.append(f"{head}\n\n{body}" if isinstance(body, str) and body else head)
    return "\n\n".join(pieces).lstrip("\n")


def _flattened(message: Message) -> bytes:
    """A message as bytes again; when its charset labels make that impossible, its headers and text."""
    target = io.BytesIO()
    try:
        BytesGenerator(target, mangle_from_=False, maxheaderlen=0, policy=compat32).flatten(message)
    except FAILURES:
        body = message.get_payload()
        text = header_block(tuple(message.raw_items())) + "\n\n" + (body if isinstance(body, str) else "")
        return text.encode("utf-8", "surrogateescape")
    return target.getvalue()
