"""Bytes to text: the charset ladder, encoded words, and what PostgreSQL would not take.

The ladder is: declared, detected, cp1252, latin-1. "Declared" means what the label means in practice: browsers and mail
programs read `iso-8859-1` as windows-1252 and `gb2312` as GB18030 (WHATWG Encoding, 4.2), because senders do. A label that can't
be true is none: UTF-8 under the name of a one-byte charset, or a script of its own under the name of a Western one. Detection is
chardetng's, which Firefox has for pages; it is told what other undeclared bytes the mail holds, since a subject alone is short.
"""

from __future__ import annotations

import binascii
import codecs
import functools
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass

_SUPERSETS = {
    "ascii": "utf-8",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "iso2022_jp": "iso2022_jp_ext",
}
_ALIASES = {
    "unicode-1-1-utf-7": "utf-7",
    "x-unicode-2-0-utf-7": "utf-7",
    "utf8mb4": "utf-8",
    "x-sjis": "cp932",
    "x-euc-jp": "euc_jp",
    "x-gbk": "gb18030",
    "x-x-big5": "big5hkscs",
    "x-mac-roman": "mac_roman",
    "macintosh": "mac_roman",
    "x-mac-cyrillic": "mac_cyrillic",
    "windows-874": "cp874",
    "iso-8859-8-i": "iso8859-8",
    "iso-8859-8-e": "iso8859-8",
    "iso-8859-6-i": "iso8859-6",
    "ks_c_5601": "cp949",
    "ks_c_5601-1987": "cp949",
    "ksc5601": "cp949",
    "x-windows-949": "cp949",
    "cp-850": "cp850",
    "ansi": "cp1252",
    "x-ansi": "cp1252",
    "iso-2022-jp-ms": "iso2022_jp_ext",
    "cp50220": "iso2022_jp_ext",
    "cp50221": "iso2022_jp_ext",
}
_NO_CHARSETS = frozenset({"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "mbcs", "oem"})
_SCRIPTS = frozenset({
    "cp1251", "koi8-r", "koi8-u", "iso8859-5", "cp866", "mac-cyrillic", "gb18030", "big5hkscs", "cp932", "euc_jp", "cp949",
    "cp1253", "iso8859-7", "cp1255", "iso8859-8", "cp1256", "iso8859-6", "cp874",
})  # fmt: skip
"""Codecs of scripts of their own, as chardetng names them and Python knows them."""

_WESTERN = frozenset({"cp1252", "iso8859-15", "cp1254", "mac-roman"})
_ONE_BYTE = ("cp125", "iso8859", "koi8", "mac-", "cp437", "cp85", "cp866", "cp874")
_SEVEN_BIT = frozenset({"iso2022_jp_ext", "iso2022_kr", "utf-7", "hz"})
_WIDE = ("utf-16", "utf-32")
_DETECTED_BYTES = 4_096
_ENOUGH_BYTES = 2  # on fewer a guess would rest
_UNDEFINED = b"\x81\x8d\x8f\x90\x9d"  # in cp1252
_ESCAPE = re.compile(rb"\x1b(\$[@B]|\$\(D|\([BJI])")
_BOUND = 262_144  # characters of one header value that are decoded; what is behind is cut
_WORD = re.compile(
    r"""=\?([^?\s]{1,64})\?([bq])\?(
        (?<=q\?) (?:(?!=\?).)*? (?=\?=(?:[\s()<>,;:"]|=\?|$))   # `?` as it is in a Q word, which many senders write
      | [^?]*
    )\?=""",
    re.IGNORECASE | re.VERBOSE,
)
_SURROGATES = re.compile("[\ud800-\udfff]")
_RAW_BYTES = re.compile("[\udc80-\udcff]")
_C1 = re.compile(rb"[\x80-\x9f]")
_EIGHT_BIT = re.compile(rb"[\x80-\xff]")
_ASCII = bytes(range(0x80))
_LETTERS = string.ascii_letters.encode()
_QUOTED_BYTE = re.compile(rb"=([0-9a-fA-F]{2})")


@dataclass(frozen=True, slots=True)
class Hint:
    """What helps to detect a charset: other undeclared bytes of the same mail, and the last label of the sender's domain."""

    beside: bytes = b""
    tld: bytes | None = None


NO_HINT = Hint()


def clean(text: str) -> str:
    """The text without NUL, and with U+FFFD for each lone surrogate."""
    if "\0" in text:
        text = text.replace("\0", "")
    if text.isascii():
        return text
    try:
        text.encode()  # finds surrogates ten times as fast as a pattern
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", text)
    return text


def printable(value: object) -> str:
    """In one line of a terminal: without line ends, escape sequences and characters that turn the direction."""
    return "".join(char for char in str(value) if char.isprintable())


def raw_bytes(text: str) -> bytes:
    """The bytes of a text that was decoded as ASCII with surrogates; any other text as UTF-8."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


@functools.lru_cache(maxsize=512)
def codec_for(label: str) -> str | None:
    """Python's codec for a charset label of a mail, or None when it is unknown or no charset at all."""
    name = label.strip().strip("\"'").lower().partition("*")[0]  # RFC 2231, 5: charset*language
    name = _ALIASES.get(name, name)
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    try:
        b"text".decode(found)
    except LookupError:
        return None
    except UnicodeError:
        pass  # a charset all the same, in which these four bytes are no text
    return None if found in _NO_CHARSETS else _SUPERSETS.get(found, found)


def decode(data: bytes, label: str | None, hint: Hint = NO_HINT) -> tuple[str, str]:
    """(text, defect): the bytes as text by the ladder; the defect is "" when the declared charset was right."""
    codec = codec_for(label) if label else None
    if data.isascii() and codec not in _SEVEN_BIT and not (codec or "").startswith(_WIDE):
        return _seven_bit(data)
    defect = f"charset {label!r} " + ("does not fit" if codec else "is unknown") if label else "no charset declared"
    if codec:
        better = _belied(data, codec, hint)
        try:
            return clean(data.decode(better or codec)), defect if better else ""
        except UnicodeError:
            if codec == "iso2022_jp_ext":
                return clean(_windows_jis(data)), ""
    if codec != "utf-8":
        try:
            return clean(data.decode("utf-8")), defect
        except UnicodeError:
            pass
    if codec in (None, "utf-8") and _is_mostly_utf_8(data):
        return clean("".join(_utf_8_line(line, hint) for line in data.splitlines(keepends=True))), defect
    if codec and codec != "cp1252":
        text = data.decode(codec, "replace")
        if text.count("\ufffd") * 10 <= _beyond_ascii(text):
            return clean(text), defect  # a few broken bytes are no reason to read everything else wrong
    return clean(data.decode(_detected(data, hint))), defect


def _utf_8_line(line: bytes, hint: Hint) -> str:
    """A line of a text that is UTF-8 but for some bytes: those of a footer, which another program added in its own charset."""
    try:
        return line.decode("utf-8")
    except UnicodeError:
        return line.decode("utf-8" if _is_mostly_utf_8(line) else _detected(line, hint), "replace")


def _belied(data: bytes, codec: str, hint: Hint) -> str | None:
    """The codec of bytes that the declared one decodes to nonsense; None when the label may be true."""
    if codec.startswith(_WIDE) and b"\0" in data:  # as a blank and a line end are written
        return None
    if not codec.startswith((*_ONE_BYTE, *_WIDE)):
        return None
    try:
        data.decode("utf-8")
    except UnicodeError:
        pass
    else:
        # Two bytes that fit by chance are rare, and every further character makes it a hundred times rarer.
        return "utf-8"
    if codec in _WESTERN and _is_dense(data):
        found = _detected(data, hint)
        return found if found in _SCRIPTS else None
    return None


def decode_words(value: str, message_charset: str | None = None) -> str:
    """An unstructured header value as text: unfolded, encoded words (RFC 2047) and raw 8-bit bytes decoded.

    Words that stand side by side in one charset are joined before they are decoded, since many senders cut characters in two.
    message_charset: what the message declares for its text; raw bytes that are no UTF-8 are read in it when they fit.
    """
    value = value[:_BOUND]
    if "\n" in value or "\r" in value:
        value = value.replace("\r", "").replace("\n", "")
    if "=?" not in value:
        return plain(value, message_charset)
    pieces: list[str] = []
    words: list[bytes] = []
    charset, end = "", 0
    for found in _WORD.finditer(value):
        between = value[end : found.start()]
        label = found[1].partition("*")[0].lower()
        adjacent = end and not between.strip()
        if not (adjacent and label == charset):
            pieces.append(_joined(words, charset))
            words = []
        if not adjacent:
            pieces.append(plain(between, message_charset))
        words.append(_word_bytes(found[2], found[3]))
        charset, end = label, found.end()
    pieces.append(_joined(words, charset))
    pieces.append(plain(value[end:], message_charset))
    return clean("".join(pieces))


def _joined(words: list[bytes], charset: str) -> str:
    """Neighbouring words of one charset as text; each for itself when one of them is broken."""
    if not words:
        return ""
    text, defect = decode(b"".join(words), charset)
    return "".join(decode(word, charset)[0] for word in words) if defect and len(words) > 1 else text


def plain(value: str, message_charset: str | None) -> str:
    """A header value as text, its encoded words left as they are: raw 8-bit bytes and raw ISO-2022-JP decoded."""
    if value.isascii():
        return _seven_bit(value.encode("ascii"))[0] if "\x1b$" in value else clean(value)
    return decode_undeclared(raw_bytes(value), message_charset) if _RAW_BYTES.search(value) else clean(value)


def detected_charset(data: bytes, tld: bytes | None) -> str | None:
    """The charset of a mail's undeclared bytes; None when they are ASCII or UTF-8, and when a guess would rest on one byte.

    UTF-8 with a few broken bytes is UTF-8.
    """
    if _high(data[:_DETECTED_BYTES]) < _ENOUGH_BYTES or _is_mostly_utf_8(data):
        return None
    try:
        data.decode("utf-8")
    except UnicodeError:
        return _detected(data, Hint(tld=tld))
    return None


def decode_undeclared(data: bytes, message_charset: str | None) -> str:
    """Raw bytes of a header: UTF-8 (RFC 6532), else the message's own charset where it fits exactly, else detected when there are
    many of them or the message says that it is UTF-8, which they are not. Where a guess would rest on a byte or two and nobody
    declared anything, U+FFFD says that nobody knows."""
    try:
        return clean(data.decode("utf-8"))
    except UnicodeError:
        pass
    codec = codec_for(message_charset) if message_charset else None
    controls = _C1.search(data) and message_charset and message_charset.lower().startswith("iso-8859")
    if codec and not controls:
        try:
            return clean(data.decode(codec))
        except UnicodeError:
            pass
    if _is_dense(data) or (codec == "utf-8" and not _is_mostly_utf_8(data)):
        return clean(data.decode(_detected(data), "replace"))
    return clean(data.decode("utf-8", "replace"))


def _seven_bit(data: bytes) -> tuple[str, str]:
    """ASCII, or ISO-2022 that nobody declared: its escape sequences stand for nothing else."""
    if b"\x1b$" in data:
        try:
            return clean(data.decode("iso2022_jp_ext")), "ISO-2022-JP not declared"
        except UnicodeError:
            return clean(_windows_jis(data)), "ISO-2022-JP not declared"
    return clean(data.decode("ascii")), ""


def _word_bytes(encoding: str, encoded: str) -> bytes:
    data = raw_bytes(encoded)
    if encoding in "bB":
        data = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
        data = data[: len(data) - (len(data) % 4 == 1)]
        return binascii.a2b_base64(data + b"=" * (-len(data) % 4))
    return _QUOTED_BYTE.sub(lambda found: bytes((int(found[1], 16),)), data.replace(b"_", b" "))


def _is_dense(data: bytes) -> bool:
    """Whether most letters are 8-bit: text in a script of its own, on which detection works. Accents in Latin text are few."""
    high = _high(data)
    return high >= 6 and high > len(data) - len(data.translate(None, _LETTERS))


def _is_mostly_utf_8(data: bytes) -> bool:
    """Whether more characters are right than broken; what fits by chance is rare."""
    text = data.decode("utf-8", "replace")
    return _beyond_ascii(text) > 2 * text.count("\ufffd")


def _beyond_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


def _detected(data: bytes, hint: Hint = NO_HINT) -> str:
    """A codec that decodes all of `data`: the detected one, else cp1252, at last latin-1."""
    import chardetng_py  # a library that most mail does not need

    if _high(data[:_DETECTED_BYTES]) + _high(hint.beside[:_DETECTED_BYTES]) < _ENOUGH_BYTES:
        return "cp1252" if data.translate(None, _UNDEFINED) == data else "latin-1"
    first = _EIGHT_BIT.search(data)
    start = first.start() if first else 0
    detector = chardetng_py.EncodingDetector()
    detector.feed(data[start : start + _DETECTED_BYTES], last=False)
    detector.feed(b"\n" + hint.beside[:_DETECTED_BYTES], last=True)
    found = codec_for(detector.guess(tld=hint.tld, allow_utf8=False))
    for codec in (found, "cp1252"):
        try:
            if codec:
                data.decode(codec)
                return codec
        except UnicodeError:
            continue
    return "latin-1"


def _high(data: bytes) -> int:
    """How many bytes are no ASCII. Counted by `translate`, which goes through a large file in no time."""
    return len(data.translate(None, _ASCII))


def _windows_jis(data: bytes) -> str:
    """ISO-2022-JP with characters that Windows added (CP50221): row 13 of NEC and the like, which Python's codecs don't know."""
    return "".join(_jis_pieces(data))


def _jis_pieces(data: bytes) -> Iterator[str]:
    charset, at = b"(B", 0
    for found in (*_ESCAPE.finditer(data), None):
        piece = data[at : found.start() if found else len(data)]
        if charset in (b"$@", b"$B"):
            yield "".join(_shift_jis(piece[n : n + 2]).decode("cp932", "replace") for n in range(0, len(piece), 2))
        elif charset == b"$(D":
            high = bytes(byte | 0x80 for byte in piece)
            yield "".join((b"\x8f" + high[n : n + 2]).decode("euc_jp", "replace") for n in range(0, len(high), 2))
        elif charset == b"(I":
            yield bytes(byte | 0x80 for byte in piece).decode("cp932", "replace")
        else:
            yield piece.decode("ascii", "replace")
        if found:
            charset, at = found[1], found.end()


def _shift_jis(pair: bytes) -> bytes:
    """A character of JIS X 0208 in seven bits, as Shift_JIS has it."""
    if len(pair) < 2:
        return pair
    row, cell = pair
    lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)
    trail = cell + (0x7E if row % 2 == 0 else 0x1F if cell < 0x60 else 0x20)
    return bytes((lead & 0xFF, trail & 0xFF))
