"""Setting long base64 bodies aside changes nothing about what a message is read as."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from email.policy import compat32
from pathlib import Path

import pytest

from inboxops.bench.corpus import corpus
from inboxops.core import bulk
from inboxops.core.mime import parse
from inboxops.core.parts import payload, plain

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
    "the mark in the mail": multipart(b"\r\n\0bulk 0\0", HEAD + BODY),
}


def same(raw: bytes) -> bool:
    """Whether the detour gives the tree that the standard library makes of the whole, or says that it can't."""
    light, runs = bulk.set_aside(raw)
    message = message_from_bytes(light, policy=compat32)
    if not bulk.put_back(message, runs):
        return True
    return leaves(message) == leaves(message_from_bytes(raw, policy=compat32))


def leaves(root: Message) -> list[tuple[list[tuple[str, str]], str, bytes]]:
    return [(p.items(), "", b"") if p.is_multipart() else (p.items(), plain(p), payload(p)) for p in root.walk()]


@pytest.mark.parametrize("raw", ODD.values(), ids=ODD)
def test_the_tree_is_the_same(raw: bytes) -> None:
    assert same(raw)


@pytest.mark.parametrize("name", ["one file", "no parts", "two files and a text", "line feeds only", "never closed"])
def test_a_usual_file_is_set_aside_and_found_again(name: str) -> None:
    light, runs = bulk.set_aside(ODD[name])
    assert len(light) < 1_000
    assert bulk.put_back(message_from_bytes(light, policy=compat32), runs)


def test_no_mail_of_the_corpora_is_read_differently() -> None:
    ours = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "corpus").glob("*.eml"))]
    assert ours
    for raw in (*ours, *(mail.raw for mail in corpus(300, now=NOW))):
        assert same(raw)


def test_a_charset_with_a_nul_beside_a_long_file_is_read() -> None:
    message = parse(ODD["a NUL in the charset of a text beside it"])
    assert message.text == "Grüße"
    assert [file.size_bytes for file in message.attachments] == [256 * 40]
