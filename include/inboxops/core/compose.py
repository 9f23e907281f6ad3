"""Our own mail as bytes: headers safe in every script, bodies in seven bits, the same bytes each time it is composed.

Headers are written here rather than by the standard library's folding, which turns long Message-IDs into encoded words.
What is read back by `core.mime.parse` is what was put in.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime
from urllib.parse import quote

import idna
import nh3

from inboxops.core.html import to_text
from inboxops.core.ids import normalise_message_id
from inboxops.core.model import Address, Attachment
from inboxops.core.rules.own_loop import CANARY_HEADER, LOOP_HEADER, loop_mark
from inboxops.errors import InvalidInput

CRLF = b"\r\n"
REFERENCES = 20  # the newest ones, besides the root
SUBJECT_CHARACTERS = 400
NAME_CHARACTERS = 150
_ID_CHARACTERS = 900  # a line ends at 998 (RFC 5322, 2.1.1)
_LINE = 76

_LOCAL = re.compile(r'[^\s<>()\[\]\\,;:"@\x00-\x1f\x7f]+|"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])+"')
_DOMAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*")
_LITERAL = re.compile(r"\[(?:IPv6:[0-9A-Fa-f:.]+|[0-9.]+)\]")
_SPECIALS = re.compile(r'[()<>\[\]:;@\\,."]')
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,100}")
_REPLY = re.compile(r"((?:\[#[0-9]{1,18}\]\s*)?)re\s*:\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message of ours before it is bytes. Texts are final; `html` is sanitised already, and empty when there is none.

    message_id, in_reply_to and references without brackets. automatic: an auto-response (RFC 3834, section 3.1).
    canary: the token of a mail that only looks whether mail arrives.
    """

    message_id: str
    sender: Address
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    subject: str
    text: str
    html: str
    date: datetime
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    automatic: bool = False
    attachments: tuple[Attachment, ...] = ()
    canary: str = ""


def compose(message: Outgoing) -> bytes:
    """RFC 5322 bytes with CRLF; all ASCII unless an address has a non-ASCII local part (RFC 6532, then SMTPUTF8 is needed).

    Raises InvalidInput for an address that is none.
    """
    headers = [
        _raw("Date", format_datetime(message.date)),
        _raw("Message-ID", f"<{message.message_id}>"),
        _mailboxes("From", (message.sender,)),
        _mailboxes("To", message.to),
        *([_mailboxes("Cc", message.cc)] if message.cc else []),
        _text("Subject", message.subject),
        *_ids("In-Reply-To", (message.in_reply_to,)),
        *_ids("References", message.references),
        _raw(LOOP_HEADER, loop_mark(message.message_id)),
    ]
    if message.automatic:
        headers += [_raw("Auto-Submitted", "auto-replied"), _raw("X-Auto-Response-Suppress", "All")]
    if message.canary:
        headers += [_raw(CANARY_HEADER, message.canary), _raw("Auto-Submitted", "auto-generated")]
        headers.append(_raw("X-Auto-Response-Suppress", "All"))
    headers.append(b"MIME-Version: 1.0")
    return CRLF.join(headers) + CRLF + _body(message)


def reply_subject(subject: str, ticket_number: int) -> str:
    """`Re: subject [#N]`: one `Re:` (RFC 5322, 3.6.5), our number once and last. Another desk's number is that desk's: it stays."""
    bare = " ".join(_visible(subject).replace(f"[#{ticket_number}]", " ").split())[:SUBJECT_CHARACTERS].strip()
    while found := _REPLY.match(bare):
        bare = found[1] + bare[found.end() :]
    return " ".join(filter(None, ("Re:", bare, f"[#{ticket_number}]")))


def references(parent_references: Sequence[str], parent_id: str) -> tuple[str, ...]:
    """What a reply refers to (RFC 5322, 3.6.4): the parent's references and the parent; the root and the last 20 of them."""
    ids = tuple(dict.fromkeys(filter(is_id, (*parent_references, parent_id))))
    return ids if len(ids) <= REFERENCES + 1 else (ids[0], *ids[-REFERENCES:])


def is_id(text: str) -> bool:
    """Whether a text can stand between brackets in an id header: printable ASCII with an @, no spaces, of a line's length."""
    return (
        "@" in text
        and len(text) <= _ID_CHARACTERS
        and all("!" <= char <= "~" and char not in "<>" for char in text)
        and normalise_message_id(text) == text
    )


def wire_address(address: str) -> str:
    """The address as SMTP takes it: the domain in ASCII (RFC 5891). Raises InvalidInput when it is no address."""
    local, at, domain = address.rpartition("@")
    if at and _LOCAL.fullmatch(local) and len(local.encode("utf-8", "replace")) <= 64 and local.isprintable():
        if not domain.isascii():
            try:
                domain = idna.encode(domain, uts46=True).decode("ascii")
            except idna.IDNAError:
                domain = ""
        if len(domain) <= 255 and (_DOMAIN.fullmatch(domain) or _LITERAL.fullmatch(domain)):
            return f"{local}@{domain.lower()}"
    raise InvalidInput(f"{address[:100]!r} is no e-mail address")


def is_address(address: str) -> bool:
    try:
        wire_address(address)
    except InvalidInput:
        return False
    return True


def recipients(
    wanted: Iterable[Address], *, own_addresses: frozenset[str], taken: Iterable[Address] = ()
) -> tuple[Address, ...]:
    """Each address once, without our own mailboxes and those in `taken`. Raises InvalidInput for one that is no address."""
    seen = {*own_addresses, *(one.address.lower() for one in taken)}
    found = []
    for one in wanted:
        address = wire_address(one.address)
        if one.address.lower() not in seen and address.lower() not in seen:
            seen |= {one.address.lower(), address.lower()}
            found.append(Address(one.name, address))
    return tuple(found)


def bodies(text: str, html: str, *, marker: str = "") -> tuple[str, str]:
    """(text, sanitised HTML) as they go out: the text is derived from the HTML when it is missing, both end in `marker`."""
    clean = nh3.clean(_printable(html), url_schemes={"http", "https", "mailto", "tel"}) if html.strip() else ""
    plain = _printable(text).replace("\r\n", "\n").replace("\r", "\n").strip("\n") or to_text(clean)
    if marker:
        plain = f"{plain}\n\n{marker}"
        clean = clean and f'{clean}\n<p style="color:#999999;font-size:11px">{marker}</p>'
    return plain, clean


def sendable_type(content_type: str) -> str:
    """A media type an attachment may carry in base64: no composite one (RFC 2046, 5.2.1), no parameters."""
    bare = content_type.partition(";")[0].strip().lower()
    if not _MEDIA_TYPE.fullmatch(bare) or bare.startswith(("message/", "multipart/")):
        return "application/octet-stream"
    return bare


def _body(message: Outgoing) -> bytes:
    # `=_` is in no base64 and no quoted-printable text (RFC 2045, 6.7), so a boundary can't stand in a part.
    mark = hashlib.sha256(message.message_id.encode()).hexdigest()[:24]
    part = _text_part("plain", message.text)
    if message.html:
        part = _multipart("alternative", f"=_a{mark}", [part, _text_part("html", message.html)])
    if message.attachments:
        part = _multipart("mixed", f"=_m{mark}", [part, *map(_file_part, message.attachments)])
    return part


def _multipart(kind: str, boundary: str, parts: Sequence[bytes]) -> bytes:
    limit = f"--{boundary}".encode()
    pieces = [f'Content-Type: multipart/{kind}; boundary="{boundary}"'.encode(), b""]
    for part in parts:
        pieces += [limit, part]
    return CRLF.join([*pieces, limit + b"--", b""])


def _text_part(kind: str, text: str) -> bytes:
    data = (text.rstrip("\n") + "\n").encode("utf-8", "replace")
    head = f"Content-Type: text/{kind}; charset=utf-8".encode()
    if sum(byte > 127 for byte in data) * 4 > len(data):  # three characters for a byte would be more than base64
        return CRLF.join([head, b"Content-Transfer-Encoding: base64", b"", _base64(data.replace(b"\n", CRLF))])
    encoded = binascii.b2a_qp(data.replace(b"\n", CRLF), istext=True)
    return CRLF.join([head, b"Content-Transfer-Encoding: quoted-printable", b"", encoded])


def _file_part(attachment: Attachment) -> bytes:
    name = _visible(attachment.file_name)
    if name.isascii():
        quoted = 'filename="' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    else:
        quoted = f"filename*=utf-8''{quote(name, safe='')}"  # RFC 2231, section 4
    return CRLF.join(
        [
            f"Content-Type: {sendable_type(attachment.content_type)}".encode(),
            f"Content-Disposition: attachment;{CRLF.decode()} {quoted}".encode(),
            b"Content-Transfer-Encoding: base64",
            b"",
            _base64(attachment.content),
        ]
    )


def _base64(data: bytes) -> bytes:
    encoded = base64.b64encode(data)
    return CRLF.join(encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE)) + CRLF


def _raw(name: str, value: str) -> bytes:
    return f"{name}: {value}".encode("ascii")


def _text(name: str, value: str) -> bytes:
    """An unstructured header: as it is while it is plain ASCII of bearable words, else encoded words (RFC 2047)."""
    value = " ".join(_visible(value).split())
    plain = value.isascii() and "=?" not in value and max(map(len, value.split()), default=0) < _ID_CHARACTERS
    return f"{name}: {_encoded(value, 'us-ascii' if plain else 'utf-8', name)}".encode("ascii")


def _encoded(value: str, charset: str, name: str) -> str:
    return Header(value, charset, maxlinelen=_LINE, header_name=name).encode(linesep="\r\n")


def _mailboxes(name: str, addresses: Sequence[Address]) -> bytes:
    return f"{name}: ".encode() + ",\r\n ".join(map(_mailbox, addresses)).encode()


def _mailbox(address: Address) -> str:
    spec = wire_address(address.address)
    name = " ".join(_visible(address.name).split())[:NAME_CHARACTERS]
    if not name:
        return spec
    if not name.isascii() or "=?" in name or '"' in name or "\\" in name:  # many readers stumble over quoted pairs
        phrase = _encoded(name, "utf-8", "Resent-From")
    elif _SPECIALS.search(name):
        phrase = f'"{name}"'
    else:
        phrase = name
    return f"{phrase} <{spec}>"


def _ids(name: str, ids: Iterable[str]) -> list[bytes]:
    """One id a line, so that none is ever cut. Nothing when there is none."""
    usable = [f"<{one}>" for one in ids if is_id(one)]
    return [_raw(name, "\r\n ".join(usable))] if usable else []


def _visible(text: str) -> str:
    """Without what would end a header or hide in one: controls become spaces, lone surrogates go."""
    return "".join(" " if unicodedata.category(char) == "Cc" else char for char in text if not _surrogate(char))


def _printable(text: str) -> str:
    return "".join(char for char in text if char in "\n\r\t" or not (_surrogate(char) or char < " " or char == "\x7f"))


def _surrogate(char: str) -> bool:
    return "\ud800" <= char <= "\udfff"
