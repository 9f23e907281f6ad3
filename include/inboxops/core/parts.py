"""The tree of a message's parts read once, without recursion: text, HTML, files, reports, what was returned.

`core.structure` makes the tree. mail-parser's own walk is not used here: it descends into attached messages, so that their text
becomes the text of the mail around them, leaves ISO-2022-JP in 7-bit parts undecoded, and gives nameless parts random names.
"""

from __future__ import annotations

import binascii
import html
import re
from contextlib import suppress
from dataclasses import dataclass, field
from email.errors import MessageError
from email.message import Message
from email.policy import compat32

import pybase64

from inboxops.core import html as html_text
from inboxops.core import structure, tnef, uuencode
from inboxops.core.attachments import unnamed
from inboxops.core.headers import Raw, parameters
from inboxops.core.model import Attachment
from inboxops.core.returned import begins_with_header_block, is_message_head
from inboxops.core.structure import MOST_PARTS, Part, divide, message
from inboxops.core.text import NO_HINT, Hint, clean, decode, decode_words, raw_bytes

MOST_FILES = 200
TEXT_BOUND = 1_000_000  # characters of text, and of HTML, that are kept
_BLOCK_BOUND = 200_000  # characters of a delivery report that are read
_MOST_BLOCKS = 500
_MOST_RETURNED = 20
_COMPARED = 50_000  # characters of a text that are looked for in another
_LINES_COMPARED = 64
_PIECES_COMPARED = 20
_TELLING = 20  # letters of a line that stand in another text by no chance
_TAIL = 100  # bytes: the last line of a body in base64, and what follows it

_MOST_RECOVERED = 5
_PREAMBLE = 200  # bytes, "This is a MIME-encapsulated message" and the like
_DELIMITER = re.compile(rb'^--([^\s"][^\r\n"]{0,199}?)[ \t]*\r?$', re.MULTILINE)
_PART_START = re.compile(rb'^--([^\s"][^\r\n"]{0,199}?)[ \t]*\r?\nContent-[A-Za-z-]{1,40}:', re.MULTILINE)
_FIELD = re.compile(r"^([!-9;-~]{1,80})[ \t]*:[ \t]*(.*)$")
_EMBEDDED = frozenset({"message/rfc822", "message/global", "message/news", "message/x-rfc822"})
_RETURNED_HEADERS = frozenset({"text/rfc822-headers", "message/rfc822-headers", "message/global-headers"})
_STATUS = frozenset({"message/delivery-status", "message/global-delivery-status"})
_ASCII = frozenset({"us-ascii", "ascii"})
_SAMPLE = 4_096  # bytes of a text without a declaration that help to detect its charset
_WORDS = frozenset({"text/plain", "text/html", "text/enriched", "text/richtext"})
"""Text that a mailer shows as the mail's words. Of another type, one with a name is a file as well when it is all of a mail."""
_META_CHARSET = re.compile(rb"""<meta\s[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""", re.IGNORECASE)
_CALENDARS = frozenset({"text/calendar", "application/ics"})
_SIGNATURES = frozenset({
    "application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-encrypted",
})  # fmt: skip
_TEXT_UNDER_ANOTHER_NAME = {"application/plain": "text/plain"}
_ANSWERS = frozenset({"reply", "counter", "declinecounter", "refresh"})
_METHOD = re.compile(rb"^METHOD[ \t]*:[ \t]*([A-Za-z]{1,20})", re.MULTILINE | re.IGNORECASE)
_FORGIVING = frozenset({"base64", "uuencode", "x-uuencode", "uue", "x-uue"})
"""What the standard library decodes and where it forgives much."""
_FIELDS = frozenset({
    "message/disposition-notification", "message/global-disposition-notification", "message/feedback-report",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Piece:
    """Words of a mail. alternative: which of its multipart/alternatives holds them, 0 where none does."""

    words: str
    is_html: bool
    alternative: int


@dataclass(slots=True)
class Contents:
    """What the parts of one message hold, collected in their order."""

    text: list[str] = field(default_factory=list)
    html: list[str] = field(default_factory=list)
    pieces: list[_Piece] = field(default_factory=list)
    """What `text` and `html` are made of."""
    attachments: list[Attachment] = field(default_factory=list)
    delivery_status: list[dict[str, str]] = field(default_factory=list)
    report_fields: dict[str, str] = field(default_factory=dict)
    returned: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    marks: set[str] = field(default_factory=set)
    defects: list[str] = field(default_factory=list)
    charset: str | None = None
    """What the message declares for its text, the first time; ASCII is taken for an answer only when there is no other."""
    undeclared: list[bytes] = field(default_factory=list)
    """8-bit text without a declaration, each piece cut."""
    hint: Hint = NO_HINT
    recovered: int = 0
    is_embedded: bool = False
    wrapped_status: list[dict[str, str]] = field(default_factory=list)
    wrapped_returned: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Item:
    """A part and what its headers say of it. alternative: as a piece of its words has it."""

    part: Part
    alternative: int
    content_type: str
    parameters: dict[str, str]
    disposition: str
    name: str

    @property
    def placement(self) -> tuple[str, bool]:
        """(Content-ID without brackets, whether the part is shown within the text)."""
        content_id = "".join(decode_words(self.part.first("content-id") or "").split()).strip("<>")
        return content_id, self.disposition == "inline" or bool(content_id and self.disposition != "attachment")


def read(root: Part, hint: Hint = NO_HINT, *, is_embedded: bool = False) -> Contents:
    """Every part of the message itself. Embedded messages are kept whole and not entered, but for what an embedded report tells.

    hint: for text that declares no charset, or a wrong one.
    """
    contents = Contents(hint=hint, is_embedded=is_embedded)
    attached: list[tuple[_Item, bytes]] = []
    waiting: list[tuple[Part, str, int]] = [(root, "", 0)]
    while waiting:
        part, parent, alternative = waiting.pop()
        if len(contents.types) >= MOST_PARTS:
            contents.marks.add("truncated")
            contents.defects.append(f"more than {MOST_PARTS} parts")
            break
        item = _item(part, parent, alternative, contents.charset)
        contents.types.append(item.content_type)
        if item.content_type == "multipart/alternative":
            alternative = alternative or len(contents.types)
        _mark(contents, item)
        undeclared = part is root and part.first("content-type") is None
        if (part.is_multipart or undeclared) and (children := _children(contents, part)):
            waiting.extend((child, item.content_type, alternative) for child in reversed(children))
        elif part is not root and is_message_head(name for name, _ in part.headers):
            attached += _read_headless(contents, item)
        elif item.content_type.startswith("message/") or item.content_type in _RETURNED_HEADERS:
            attached += _read_message(contents, item)
        else:
            _read_leaf(contents, item, is_whole=part is root)
    contents.text, contents.html = _bodies(contents.pieces)
    is_report = bool(contents.delivery_status) and "attached-report" not in contents.marks
    if "multipart/report" not in contents.types[:1] and not is_report:
        for item, content in attached:
            subject = " ".join(decode_words(message(content).first("subject") or "").split()) or "message"
            _keep(
                contents,
                Attachment(f"{subject}.eml", item.content_type, content, *item.placement, named_by_subject=True),
            )
    return contents


def _item(part: Part, parent: str, alternative: int, charset: str | None) -> _Item:
    content_type, content = part.content_type, part.parameters_in(charset)
    disposition, placed = "", dict[str, str]()
    if (wanted := part.first("content-disposition")) is not None:
        disposition, placed = parameters(wanted, content.get("charset") or charset)
    content_type = _TEXT_UNDER_ANOTHER_NAME.get(content_type, content_type)
    if "/" not in content_type:
        content_type = "message/rfc822" if parent == "multipart/digest" else "text/plain"
    name = placed.get("filename") or content.get("name") or placed.get("name") or ""
    return _Item(part, alternative, content_type, content, disposition, clean(name).strip())


def _bodies(pieces: list[_Piece]) -> tuple[list[str], list[str]]:
    """(text, HTML). Forms of the same words stand in one multipart/alternative (RFC 2046, 5.1.4); what else has both, as mail to
    which a list or a scanner added a part of the other kind, has each piece in either, so that neither body is a footer alone.
    Some mailers put the two forms side by side: a piece whose words the other body has is not put there again."""
    said = [one for one in pieces if one.words.strip()]
    kinds = {(one.alternative, one.is_html) for one in said}
    alone = [not one.alternative or (one.alternative, not one.is_html) not in kinds for one in said]
    if not any(alone) or len({is_html for _, is_html in kinds}) < 2:
        return [one.words for one in pieces if not one.is_html], [one.words for one in pieces if one.is_html]
    texts = [html_text.to_text(one.words) if one.is_html else one.words for one in said]
    compared = list(zip(said, texts, strict=True))[:_PIECES_COMPARED]
    there = {kind: _Said("\n".join(text for one, text in compared if one.is_html is kind)) for kind in (True, False)}
    bodies: dict[bool, list[str]] = {True: [], False: []}
    for number, (one, text, is_alone) in enumerate(zip(said, texts, alone, strict=True)):
        bodies[one.is_html].append(one.words)
        if is_alone and (number >= _PIECES_COMPARED or not there[not one.is_html].holds(text)):
            bodies[not one.is_html].append(text if one.is_html else f"<pre>{html.escape(text)}</pre>")
    return bodies[False], bodies[True]


class _Said:
    """What one body says, letters and digits alone, so that line ends, marks of quotation and emphasis make no difference."""

    def __init__(self, text: str) -> None:
        lines = _bare_lines(text)
        self._lines, self._all = frozenset(lines), "".join(lines)

    def holds(self, text: str) -> bool:
        """Whether most of a text is there. A short line counts as a line alone: it may be in other words by chance."""
        lines = _bare_lines(text)[:_LINES_COMPARED]
        whole = "".join(lines)
        if len(whole) >= _TELLING and whole in self._all:
            return True
        there = [one for one in lines if one in self._lines or (len(one) >= _TELLING and one in self._all)]
        return 2 * sum(map(len, there)) >= len(whole)


def _bare_lines(text: str) -> list[str]:
    bare = ("".join(filter(str.isalnum, line)) for line in text[:_COMPARED].casefold().splitlines())
    return [line for line in bare if line]


def _children(contents: Contents, part: Part) -> list[Part]:
    """The parts of a multipart; when its boundary is missing or broken, those between the delimiters that the body shows.

    Without any declaration (a gateway dropped the header) the delimiter must open the body, be repeated, and have a part's header
    behind it: a returned message further below has delimiters too.
    """
    if part.parts or contents.recovered >= _MOST_RECOVERED:
        return part.parts
    delimiter = (_DELIMITER if part.is_multipart else _PART_START).search(part.source, part.start, part.end)
    if delimiter is None:
        return []
    is_repeated = part.source.count(b"\n--" + delimiter[1], part.start, part.end) >= 2
    if not part.is_multipart and (delimiter.start() - part.start > _PREAMBLE or not is_repeated):
        return []
    contents.recovered += 1
    contents.defects.append("a multipart without its boundary")
    divide(part, delimiter[1])
    return part.parts


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


def payload(part: Part) -> bytes:
    """The body with its transfer encoding undone (RFC 2045, 6); of a broken one, what can be read."""
    encoding = _encoding(part)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(part.body)
    if encoding == "base64" and _is_padded_at_its_end(part):
        with suppress(binascii.Error):  # without a copy of a large body
            return pybase64.b64decode(memoryview(part.source)[part.start : part.end])
    if encoding in _FORGIVING:
        wrapper = Message(compat32)
        wrapper["Content-Transfer-Encoding"] = encoding
        wrapper.set_payload(part.body.decode("ascii", "surrogateescape"))
        with suppress(ValueError, LookupError, TypeError, MessageError):
            content = wrapper.get_payload(decode=True)
            if isinstance(content, bytes):
                return content
    return part.body


def _is_padded_at_its_end(part: Part) -> bool:
    """And nowhere else, which is how base64 looks that nobody put together out of pieces."""
    tail = max(part.start, part.end - _TAIL)
    return part.source.find(b"=", part.start, tail) < 0 and b"=" not in part.source[tail : part.end].rstrip(b"=\r\n")


def _encoding(part: Part) -> str:
    return (part.first("content-transfer-encoding") or "").strip().lower()


def _read_message(contents: Contents, item: _Item) -> list[tuple[_Item, bytes]]:
    """A part of type message/*, or the headers of one. Gives back a message without a name of its own: no file in a report."""
    content_type = item.content_type
    if content_type not in _STATUS | _FIELDS | _RETURNED_HEADERS:
        content = _embedded(item.part)
        if content_type in _EMBEDDED and len(contents.returned) < _MOST_RETURNED:
            contents.returned.append(header_block(message(content).headers))
            _read_wrapped(contents, content)
        if not item.name and content_type in _EMBEDDED:
            return [(item, content)]
        _keep(contents, Attachment(item.name, content_type, content, *item.placement))
        return []
    content = payload(item.part)
    is_report, is_file = content_type in _STATUS | _FIELDS, item.disposition == "attachment"
    if is_report and is_file:
        contents.marks.add("attached-report")
    if content_type in _STATUS:
        contents.delivery_status += blocks(content[:_BLOCK_BOUND].decode("ascii", "surrogateescape"))
    elif content_type in _FIELDS:
        for block in blocks(content[:_BLOCK_BOUND].decode("ascii", "surrogateescape")):
            contents.report_fields = block | contents.report_fields
    elif len(contents.returned) < _MOST_RETURNED:
        contents.returned.append(decode(content, None)[0][:_BLOCK_BOUND])
    if item.name and (content_type in _RETURNED_HEADERS or is_file):
        _keep(contents, Attachment(item.name, content_type, content, *item.placement))
    return []


def _read_wrapped(contents: Contents, content: bytes) -> None:
    """What the first report tells that a scanner or a person has put whole into this mail: whose it is, the rules say."""
    if contents.is_embedded or contents.wrapped_status or message(content).content_type != "multipart/report":
        return
    report = read(structure.read(content)[0], is_embedded=True)
    contents.wrapped_status, contents.wrapped_returned = report.delivery_status, report.returned


def _read_headless(contents: Contents, item: _Item) -> list[tuple[_Item, bytes]]:
    """A returned message whose header stands where the part's own should: some gateways leave out the blank line between the two,
    or the part's own header altogether."""
    part = item.part
    if len(contents.returned) < _MOST_RETURNED:
        contents.returned.append(header_block(part.headers))
    head = b"".join(raw_bytes(f"{name}: {value}\r\n") for name, value in part.headers)
    return [(item, head + b"\r\n" + part.body)] if item.content_type in _EMBEDDED | {"text/plain"} else []


def _embedded(part: Part) -> bytes:
    """The message within a message/* part, byte for byte from its first header on; also when it is encoded, which RFC 2046, 5.2.1
    forbids and Exchange does."""
    content = part.body.lstrip(b"\r\n")
    if _encoding(part) in {"base64", "quoted-printable"} and message(content).first("subject") is None:
        decoded = payload(part).lstrip(b"\r\n")
        return decoded if message(decoded).headers else content
    return content


def _read_leaf(contents: Contents, item: _Item, *, is_whole: bool) -> None:
    """is_whole: the part is all of the message, and so its words, whatever name and disposition it bears."""
    data = payload(item.part)
    if item.content_type.startswith(("text/", "multipart/")) and item.content_type != "text/calendar":
        charset = _declared(item, data)
        if charset and (not contents.charset or contents.charset.lower() in _ASCII):
            contents.charset = charset
        if is_whole or (not item.name and item.disposition != "attachment"):
            if not charset and not data.isascii() and len(contents.undeclared) < _MOST_RETURNED:
                contents.undeclared.append(data[:_SAMPLE])
            text, defect = decode(data, charset, contents.hint)
            if defect:
                contents.defects.append(defect)
            _read_text(contents, text, item)
            is_named_file = item.name and item.content_type not in _WORDS
            if not is_named_file:
                return
    if tnef.is_tnef(item.content_type, item.name) and _open_tnef(contents, item, data):
        return
    if _may_be_headers(item) and len(contents.returned) < _MOST_RETURNED:
        text = decode(data[:_BLOCK_BOUND], item.parameters.get("charset"))[0]
        if begins_with_header_block(text):
            contents.returned.append(text)
    _keep(contents, Attachment(item.name or _made_name(item), item.content_type, data, *item.placement))


def _made_name(item: _Item) -> str:
    """For a file without a name; "" for what is none to a person: a signature, a picture that only the HTML shows, the calendar
    form of a mail's own words."""
    content_id, _ = item.placement
    is_shown = (bool(content_id) and item.content_type.startswith("image/")) or item.content_type == "text/calendar"
    is_no_file = (is_shown and not item.disposition) or item.content_type in _SIGNATURES
    return "" if is_no_file else unnamed(item.content_type)


def _may_be_headers(item: _Item) -> bool:
    """A file in which a server may return a message: text, or one whose name says that it is a mail."""
    is_text = item.content_type.startswith("text/") and item.content_type not in {"text/html", "text/calendar"}
    return is_text or item.name.lower().endswith((".eml", ".txt", ".hdr", ".msg"))


def _open_tnef(contents: Contents, item: _Item, data: bytes) -> bool:
    """Whether winmail.dat was opened and held files: then it is not one itself."""
    opened = tnef.opened(data)
    if opened is None:
        contents.defects.append("winmail.dat can't be read")
        return False
    contents.marks.add("tnef")
    if opened.text:
        contents.pieces.append(_Piece(opened.text[:TEXT_BOUND], is_html=False, alternative=item.alternative))
    if opened.html:
        contents.pieces.append(_Piece(opened.html[:TEXT_BOUND], is_html=True, alternative=item.alternative))
    for file in opened.attachments:
        _keep(contents, file)
    return bool(opened.attachments)


def _declared(item: _Item, data: bytes) -> str | None:
    """The charset that a text declares, a page's own declaration (HTML 4.01, 5.2.2) where its header names none but ASCII."""
    charset = item.parameters.get("charset")
    if item.content_type != "text/html" or (charset and charset.lower() not in _ASCII):
        return charset
    found = _META_CHARSET.search(data, 0, _SAMPLE)
    return found[1].decode("ascii") if found else charset


def _read_text(contents: Contents, text: str, item: _Item) -> None:
    content_type = item.content_type
    if content_type == "text/html":
        contents.pieces.append(_Piece(text, is_html=True, alternative=item.alternative))
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
    contents.pieces.append(_Piece(text, is_html=False, alternative=item.alternative))


def _mark(contents: Contents, item: _Item) -> None:
    content_type, protocol = item.content_type, item.parameters.get("protocol", "").lower()
    if content_type in _CALENDARS:
        contents.marks.add("calendar")
        method = item.parameters.get("method", "")
        if not method and (told := _METHOD.search(payload(item.part)[:_BLOCK_BOUND])):
            method = told[1].decode("ascii")
        is_file = item.disposition == "attachment" and (
            content_type != "text/calendar" or "method" not in item.parameters
        )
        if method.lower() in _ANSWERS and not is_file:
            contents.marks.add("calendar-answer")
    elif content_type == "multipart/signed":
        contents.marks.add("pgp-signed" if "pgp" in protocol else "smime-signed")
    elif content_type == "multipart/encrypted":
        contents.marks.add("pgp-encrypted")
    elif content_type in {"application/pkcs7-mime", "application/x-pkcs7-mime"}:
        signed = item.parameters.get("smime-type", "").lower() == "signed-data"
        contents.marks.add("smime-signed" if signed else "smime-encrypted")


def _keep(contents: Contents, attachment: Attachment) -> None:
    if len(contents.attachments) < MOST_FILES:
        contents.attachments.append(attachment)
    elif "truncated" not in contents.marks:
        contents.marks.add("truncated")
        contents.defects.append(f"more than {MOST_FILES} attachments")
