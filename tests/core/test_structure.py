"""A message's parts are found where the standard library finds them, in one pass and without copying bodies."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from email.policy import compat32
from pathlib import Path

import pytest

from inboxops.core import structure
from inboxops.core.mime import parse
from inboxops.core.parts import payload
from inboxops_lab.bench.corpus import corpus

NOW = datetime(2026, 11, 24, tzinfo=UTC)
BODY = base64.encodebytes(bytes(range(256)) * 40).replace(b"\n", b"\r\n")
HEAD = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"


def multipart(*parts: bytes) -> bytes:
    return (
        b'Subject: x\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\npreamble\r\n'
        + b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
        + b"--b--\r\n"
    )


ODD = {
    "one file": multipart(HEAD + BODY),
    "no parts": b"Subject: x\r\n" + HEAD + BODY,
    "two files and a text": multipart(b"\r\ntext", HEAD + BODY, HEAD + BODY),
    "never closed": multipart(HEAD + BODY)[:-30],
    "line feeds only": multipart(HEAD + BODY).replace(b"\r\n", b"\n"),
    "one line": multipart(HEAD + BODY.replace(b"\r\n", b"")),
    "a blank line within": multipart(HEAD + BODY + b"\r\n\r\n" + BODY),
    "in the epilogue": multipart(b"\r\ntext") + HEAD + BODY,
    "in the preamble": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    + HEAD
    + BODY
    + b"\r\n--b\r\n\r\ntext\r\n--b--\r\n",
    "a message within, encoded": multipart(
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + BODY
    ),
    "a message within, plain": multipart(b"Content-Type: message/rfc822\r\n\r\nSubject: y\r\n" + HEAD + BODY),
    "a NUL in the charset of a text beside it": multipart(
        b'Content-Type: text/plain; charset="utf\0-8"\r\n\r\nGr\xfc\xdfe', HEAD + BODY
    ),
    "8-bit text in front of it in the same part": multipart(HEAD + b"\xfc\r\n" + BODY),
    "base64 put together out of pieces": multipart(
        HEAD + b"QUJD\r\nQQ==\r\nQUJD\r\nQQ==", HEAD + BODY + b"QQ==\r\nQQ=="
    ),
    "base64 without its padding": multipart(HEAD + b"QUJDQQ", HEAD + b"QUJDQ"),
    "base64 with rubbish in it": multipart(HEAD + b"QU JD-_*\xff\r\nQQ==", HEAD + b"***"),
    "a boundary within a boundary's name": multipart(b"\r\n--bb\r\n--b-\r\n-- b\r\ntext"),
    "white space behind the delimiter": multipart(b"\r\ntext", HEAD + BODY).replace(b"--b\r\n", b"--b \t\r\n"),
    "a part of headers only": multipart(b"Content-Type: text/html", b"\r\ntext"),
    "a part without headers": multipart(b"just text\r\n\r\nmore", b"\r\ntext"),
    "delimiters side by side": multipart(b"\r\ntext").replace(b"--b\r\n", b"--b\r\n--b\r\n"),
    "no line behind the head": b"Content-Type: multipart/mixed; boundary=b\r\n--b\r\n\r\ntext\r\n--b--",
    "multiparts of one boundary": multipart(
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ninner\r\n--b--"
    ),
    "multiparts within": multipart(
        b"Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\none\r\n--c\r\n\r\ntwo\r\n--c--\r\n",
        HEAD + BODY,
    ),
    "an inner multipart that is never closed": multipart(
        b"Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\none\r\n--c\r\n\r\ntwo", HEAD + BODY
    ),
    "an outer delimiter in a head": multipart(
        b"Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\nX: y", b"\r\ntext"
    ),
    "a boundary with a colon": multipart(HEAD + BODY, b"X: y").replace(b'"b"', b'"b:b"').replace(b"--b", b"--b:b"),
}


Leaf = tuple[list[tuple[str, str]], bytes]


def ours(raw: bytes) -> list[Leaf]:
    """Headers of all parts in their order, with the decoded body of those that have no parts."""
    found, waiting = [], [structure.read(raw)[0]]
    while waiting:
        part = waiting.pop()
        found.append((list(part.headers), b"" if part.parts or is_message(part.content_type) else payload(part)))
        waiting += reversed(part.parts)
    return found


def the_standard_librarys(raw: bytes) -> list[Leaf]:
    found, waiting = [], [message_from_bytes(raw, policy=compat32)]
    while waiting:
        part = waiting.pop()
        headers = [(name, str(value)) for name, value in part.raw_items()]
        if is_message(part.get_content_type()) or not part.is_multipart():
            content = part.get_payload(decode=True)
            whole = isinstance(content, bytes) and not is_message(part.get_content_type())
            found.append((headers, content if whole else b""))
        else:
            found.append((headers, b""))
            waiting += [one for one in reversed(part.get_payload()) if isinstance(one, Message)]
    return found


def is_message(content_type: str) -> bool:
    """A message within, which the standard library takes apart and we leave as it is."""
    return content_type.startswith("message/")


@pytest.mark.parametrize("raw", ODD.values(), ids=ODD)
def test_the_parts_are_those_of_the_standard_library(raw: bytes) -> None:
    assert ours(raw) == the_standard_librarys(raw)


def test_no_mail_that_keeps_to_the_rules_is_read_differently() -> None:
    kept = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "corpus").glob("*.eml"))]
    sound = [raw for raw in kept if not any(part.defects for part in message_from_bytes(raw, policy=compat32).walk())]
    assert len(sound) > len(kept) / 2
    for raw in (*sound, *(mail.raw for mail in corpus(300, now=NOW))):
        assert ours(raw) == the_standard_librarys(raw)


def test_what_is_nested_too_deep_stays_whole() -> None:
    levels = [b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(structure.MOST_DEPTH + 1)]
    root, is_too_deep = structure.read(b"".join(levels) + b"\nhi")
    assert is_too_deep
    part, depth = root, 0
    while part.parts:
        (part,), depth = part.parts, depth + 1
    assert depth == structure.MOST_DEPTH
    assert part.body.endswith(b"\nhi")


def test_what_stands_behind_too_many_parts_is_in_the_last() -> None:
    root, _ = structure.read(multipart(*[b"\r\ntext"] * (structure.MOST_PARTS + 10)))
    assert len(root.parts) == structure.MOST_PARTS + 1
    assert root.parts[-1].body.count(b"text") == 10


def test_an_attached_message_is_kept_byte_for_byte() -> None:
    inner = b"subject:  odd   spaces\r\nX-A: 1\r\n  folded\r\n\r\nbody  \r\n"
    message = parse(multipart(b"\r\ntext", b"Content-Type: message/rfc822\r\n\r\n" + inner))
    assert [file.content for file in message.attachments] == [inner]


def test_old_line_ends_are_lines() -> None:
    message = parse(multipart(b"\r\ntext", HEAD + BODY).replace(b"\r\n", b"\r"))
    assert (message.subject, message.text, message.attachments[0].size_bytes) == ("x", "text", 256 * 40)


def test_a_charset_with_a_nul_beside_a_long_file_is_read() -> None:
    message = parse(ODD["a NUL in the charset of a text beside it"])
    assert message.text == "Grüße"
    assert [file.size_bytes for file in message.attachments] == [256 * 40]
