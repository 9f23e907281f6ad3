"""Header values: parameters (RFC 2045, 2231), addresses and dates (mail-parser), the content hash."""

from __future__ import annotations

import functools
import hashlib
import re
import urllib.parse
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.errors import MessageError

from mailparser.dates import parse_mail_date
from mailparser.utils import get_addresses

from inboxops.core.model import Address
from inboxops.core.text import clean, codec_for, decode, decode_words, plain, raw_bytes

Raw = tuple[tuple[str, str], ...]
"""A header block as it stands in the message: in order, folded, 8-bit bytes as surrogates."""

_SLICE = 1 << 20  # bytes of a body that are hashed at once
_TAIL = 65_536  # bytes at its end among which blank lines do not count
_SHORT = 200  # characters of an address header that is remembered
_BOUND = 32_768  # characters of one value that are looked at
_LONGEST_ADDRESS = 512
_PARAMETER = re.compile(r""";\s*([^\s=;"]{1,80})\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;]*))""", re.DOTALL)
_CONTINUED = re.compile(r"([^*]+)\*(?:([0-9]{1,3})(\*?))?")
_ANGLE_ADDRESS = re.compile(r"<[\s\"]*([^\s<>\"]{1,250}@[^\s<>\"]{1,250})[\s\"]*>")
_BARE_ADDRESS = re.compile(r"([^\s<>(),;:\"]{1,250}@[^\s<>(),;:\"]{1,250})")
_LONE_CR = re.compile(rb"\r(?!\n)")
_CLOCK_SKEW = timedelta(minutes=5)

_TRACE = frozenset({
    "received", "delivered-to", "return-path", "x-received", "x-original-to", "envelope-to", "x-envelope-to",
    "x-envelope-from", "x-forwarded-to", "x-forwarded-for", "delivery-date", "dkim-signature",
    "domainkey-signature", "dkim-filter", "authentication-results", "x-authentication-results", "received-spf",
    "x-originating-ip", "x-virus-scanned", "x-virus-status", "x-uidl", "x-uid", "x-keywords", "status", "x-status",
    "content-length", "lines", "x-ses-receipt", "x-ses-dkim-signature", "x-ses-virus-verdict", "x-ses-spam-verdict",
    "x-pm-spamscore", "x-gmail-labels", "x-gm-thrid", "x-gmail-fetch-info", "x-originatororg", "x-scanned-by",
    "x-bogosity", "x-auth-result", "x-sid-result",
})  # fmt: skip
_TRACE_PREFIXES = (
    "arc-", "x-spam", "x-ms-exchange-", "x-microsoft-antispam", "x-forefront-", "x-barracuda-", "x-mailscanner", "x-amavis",
    "x-rspam", "x-eop", "x-cloudmark", "x-ironport", "x-mozilla-", "x-google-", "x-gm-", "x-proofpoint-", "x-dspam",
)  # fmt: skip


def parameters(value: str, message_charset: str | None = None) -> tuple[str, dict[str, str]]:
    """("text/plain", {"charset": ...}) of a Content-Type or Content-Disposition value: lower-cased names, decoded values.

    Continuations and charsets of RFC 2231 are joined; encoded words inside a value, which no RFC allows but many senders write,
    are decoded; a name without a value, quotes without an end and repeated names (the first counts) do no harm.
    """
    value = value[:_BOUND].replace("\r", "").replace("\n", "")
    main = clean(value.partition(";")[0].strip().lower())
    found: dict[str, str] = {}
    continued: dict[str, dict[int, tuple[bool, str]]] = {}
    for name, quoted, bare in _PARAMETER.findall(value):
        text = re.sub(r"\\(.)", r"\1", quoted) if quoted else bare.strip().strip('"')
        split = _CONTINUED.fullmatch(name.lower())
        if split is None:
            found.setdefault(clean(name.lower()), decode_words(text, message_charset))
        else:
            number = int(split[2] or 0)
            extended = bool(split[3]) or split[2] is None
            continued.setdefault(split[1], {}).setdefault(number, (extended, text))
    for name, sections in continued.items():
        # RFC 2231 wins over the plain form (RFC 6266, 4.3 says why both are sent).
        found[clean(name)] = _joined(sections)
    return main, found


def addresses(raw: str, message_charset: str | None = None) -> tuple[Address, ...]:
    """The mailboxes of an address header, names without an address too. mail-parser reads it; out of what it finds ambiguous comes
    the first `x@y` in angle brackets, else the first one at all. An encoded word may hold all of them, address included, which RFC
    2047, 5 forbids and some programs write."""
    raw = " ".join(plain(raw[:_BOUND], message_charset).split())  # a name in windows-1251 costs no address behind it
    found = _read(raw)
    if "=?" in raw and not any(one.address for one in found):
        inside = _read(decode_words(raw, message_charset))
        return inside if any(one.address for one in inside) else found
    return found


def _read(raw: str) -> tuple[Address, ...]:
    if not raw:
        return ()
    found = [Address(_name(name, address), _address(address)) for name, address in _mailboxes(raw) if name or address]
    if any(one.address for one in found):
        return tuple(found)
    bare = _ANGLE_ADDRESS.search(raw) or _BARE_ADDRESS.search(raw)
    if bare:
        return (Address(_name(raw[: bare.start()], ""), _address(bare[1])),)
    name = _name(raw.replace("<>", ""), "")
    return tuple(found) or ((Address(name, ""),) if name else ())


def date(raw: str | None, received_at: datetime | None) -> tuple[datetime | None, str]:
    """(date in UTC, defect). A date that can't be read, or lies in the future, becomes the time of receipt."""
    parsed = None if raw is None else parse_mail_date(raw[:500]).value
    received = received_at.astimezone(UTC) if received_at else None
    if parsed is None:
        return received, "" if raw is None else f"date can't be read: {clean(raw[:60])!r}"
    if received and parsed > received + _CLOCK_SKEW:
        return received, "date in the future"
    return parsed, ""


def content_hash(headers: Raw, raw: bytes, body_start: int = 0) -> str:
    """Hex SHA-256 of the headers the sender wrote, in any order and folding, and of the body without line-end differences.

    The body is `raw` from `body_start` on: hashed in slices, since a copy of a large mail costs more than its hash.
    """
    digest = hashlib.sha256()
    kept = sorted(f"{name.lower()}:{' '.join(value.split())}" for name, value in headers if not is_trace(name))
    digest.update("\n".join((*kept, "", "")).encode("utf-8", "surrogatepass"))
    tail = raw[max(body_start, len(raw) - _TAIL) :]
    end = len(raw) - len(tail) + len(tail.rstrip(b"\r\n"))
    position = body_start
    while position < end:
        until = min(position + _SLICE, end)
        until += raw[until - 1 : until + 1] == b"\r\n"  # a line end is not cut in two
        digest.update(_without_crlf(raw[position:until]))
        position = until
    return digest.hexdigest()


def _without_crlf(data: bytes) -> bytes:
    """`data.replace(b"\r\n", b"\n")`, which takes three times as long where no CR stands alone: as good as everywhere."""
    return data.replace(b"\r\n", b"\n") if _LONE_CR.search(data) else data.replace(b"\r", b"")


def is_trace(name: str) -> bool:
    """Whether a header is written by servers on the way, or by the mailbox, and may differ between two copies of one mail."""
    lowered = name.lower()
    return lowered in _TRACE or lowered.startswith(_TRACE_PREFIXES)


def _joined(sections: Mapping[int, tuple[bool, str]]) -> str:
    charset, data = "", b""
    for number in sorted(sections):
        extended, text = sections[number]
        if number == 0 and extended and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        data += urllib.parse.unquote_to_bytes(raw_bytes(text)) if extended else raw_bytes(text)
    joined, _ = decode(data, charset if charset and codec_for(charset) else None)
    return decode_words(joined) if "=?" in joined else joined


def _mailboxes(raw: str) -> tuple[tuple[str, str], ...]:
    """What mail-parser makes of an address header. Encoded words are left to us: its own decoder raises on broken base64."""
    return _short_header(raw) if len(raw) <= _SHORT else _long_header(raw)


def _long_header(raw: str) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(get_addresses(raw))
    except (ValueError, LookupError, MessageError):
        return ()


_short_header = functools.lru_cache(maxsize=2_048)(_long_header)
"""Most mails of an inbox have one of a few To headers, and reading one takes a tenth of what reading a mail does."""


def _name(name: str, address: str) -> str:
    text = decode_words(name).strip().strip('"').strip()
    return "" if text == address else text


def _address(text: str) -> str:
    """ "" for what is longer than any address can be: RFC 5321, section 4.5.3.1.3, has 254 characters, mail at large some more."""
    if len(text) > _LONGEST_ADDRESS:
        return ""
    local, at, domain = clean(text).removeprefix("mailto:").rpartition("@")
    return f"{local}{at}{domain.lower()}" if at else domain
