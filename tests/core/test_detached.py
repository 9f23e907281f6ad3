"""Large files leave their mail and come back byte for byte, and what remains is read as the whole mail would be."""

from __future__ import annotations

import base64
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inboxops.core.detached import (
    LEAST_BYTES,
    MOST_FILES,
    Apart,
    Place,
    attach,
    detach,
    note,
    read_note,
    recognised,
    token,
)
from inboxops.core.mime import identity, parse
from inboxops.core.model import ParsedMessage
from inboxops_lab.bench.corpus import corpus

CONTENT = bytes(range(256)) * 40
PDF = (
    "Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\n"
)


def lines(content: bytes, width: int = 76) -> str:
    encoded = base64.b64encode(content).decode()
    return "\r\n".join(encoded[at : at + width] for at in range(0, len(encoded), width))


def mail(*parts: str) -> bytes:
    head = "Message-ID: <a@b.example>\r\nSubject: Files\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    return (head + "".join(f"--b\r\n{part}\r\n" for part in parts) + "--b--\r\n").encode()


def read(raw: bytes) -> ParsedMessage | None:
    """As classify reads it of what is stored; None where it asks for the whole mail."""
    remains, files, contents = detach(raw)
    assert attach(remains, files, contents) == raw
    assert read_note(note(files, identity(raw))) == (files, identity(raw))
    message = recognised(parse(remains, whole=identity(raw)), files)
    if message is None:
        return None
    for attachment in message.attachments:
        if attachment.detached is not None:
            number, size = attachment.detached
            assert (attachment.content, attachment.size_bytes) == (b"", size)
            assert size == len(contents[number])
    return replace(
        message,
        attachments=tuple(
            replace(one, content=contents[one.detached[0]], detached=None) if one.detached else one
            for one in message.attachments
        ),
    )


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_a_large_file_is_stored_once(line_end: str) -> None:
    raw = mail("\r\ntext", PDF + lines(CONTENT), PDF + lines(CONTENT[1:])).replace(b"\r\n", line_end.encode())
    remains, files, contents = detach(raw)
    assert contents == [CONTENT, CONTENT[1:]]
    assert [file.size_bytes for file in files] == [len(CONTENT), len(CONTENT) - 1]
    assert len(remains) < 1000
    assert read(raw) == parse(raw)


def test_a_mail_that_is_one_file_is_one_too() -> None:
    raw = ("Subject: Scan\r\n" + PDF + lines(CONTENT) + "\r\n").encode()
    assert detach(raw)[2] == [CONTENT]
    assert read(raw) == parse(raw)


@pytest.mark.parametrize("size", range(3 * 1024, 3 * 1024 + 60))
def test_whatever_its_last_line_is(size: int) -> None:
    raw = mail(PDF + lines(os.urandom(size)))
    assert len(detach(raw)[1]) == 1
    assert read(raw) == parse(raw)


@pytest.mark.parametrize(
    "part",
    {
        "lines of another width": PDF + lines(CONTENT, 72),
        "one long line": PDF + lines(CONTENT, 10**6),
        "a space at a line's end": PDF + lines(CONTENT).replace("\r\n", " \r\n", 1),
        "mixed line ends": PDF + lines(CONTENT).replace("\r\n", "\n", 1),
        "bits behind the last byte": PDF + lines(CONTENT[:-1] + b"A")[:-3] + "F==",
        "no padding": PDF + lines(CONTENT).rstrip("="),
        "an empty line within": PDF + lines(CONTENT) + "\r\n\r\n" + lines(CONTENT),
        "many line ends behind it": PDF + lines(CONTENT) + "\r\n" * 9,
        "two pieces": PDF + lines(CONTENT) + "\r\n" + lines(CONTENT),
        "two pieces, the first ending with a full line": PDF + lines(CONTENT[: 57 * 60 - 1]) + "\r\n" + lines(CONTENT),
        "two pieces, the first ending with two paddings": PDF + lines(CONTENT[: 57 * 60 - 2]) + "\r\n" + lines(CONTENT),
        "a character that is none of base64": PDF + lines(CONTENT).replace("A", "*", 1),
        "four of them": PDF + lines(CONTENT).replace("AAEC", "****", 1),
        "padding within": PDF + lines(CONTENT).replace("A", "=", 1),
        "the other alphabet": PDF + lines(CONTENT).replace("/", "_"),
        "a small file": PDF + lines(CONTENT[: LEAST_BYTES // 2]),
        "text that is shown": "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines(b"Hi! " * 9000),
        "a mail within": "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines(mail("\r\nx") * 90),
        "winmail.dat": PDF.replace("a.pdf", "winmail.dat") + lines(CONTENT),
        "TNEF by its type": PDF.replace("application/pdf", "application/ms-tnef") + lines(CONTENT),
        "no type": PDF.partition("\r\n")[2] + lines(CONTENT),
        "the encoding only said in the text": "\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines(CONTENT),
    }.items(),
    ids=lambda part: part[0],
)  # fmt: skip
def test_what_would_not_come_back_the_same_or_is_looked_into_stays_in_the_mail(part: tuple[str, str]) -> None:
    raw = mail("\r\ntext", part[1])
    assert detach(raw) == (raw, [], [])


def test_attached_text_is_a_file() -> None:
    raw = mail("\r\ntext", PDF.replace("application/pdf", "text/plain; charset=utf-8") + lines(CONTENT))
    assert detach(raw)[2] == [CONTENT]
    assert read(raw) == parse(raw)


def test_no_more_files_leave_than_a_number_of_two_digits_counts() -> None:
    raw = mail(*[PDF + lines(CONTENT)] * (MOST_FILES + 2))
    assert len(detach(raw)[1]) == MOST_FILES
    assert read(raw) == parse(raw)


def test_mail_that_is_full_of_what_looks_like_files_is_not_looked_through_for_ever() -> None:
    decoys = "--b\r\nContent-Transfer-Encoding: base64\r\n\r\n" * 1_000
    raw = mail(PDF + lines(CONTENT), decoys + PDF + lines(CONTENT))
    assert len(detach(raw)[1]) == 1
    assert read(raw) == parse(raw)


def test_whoever_puts_a_token_into_a_mail_only_has_the_whole_mail_read() -> None:
    honest = mail(PDF + lines(CONTENT))
    [file] = detach(honest)[1]
    forged = mail(PDF + lines(token(0, file.sha256)), PDF + lines(CONTENT))
    assert len(detach(forged)[1]) == 1
    assert read(forged) is None
    shown = mail("\r\n" + lines(token(0, file.sha256)), PDF + lines(CONTENT))
    assert read(shown) == parse(shown)


def test_a_file_that_proves_to_be_looked_into_has_the_whole_mail_read() -> None:
    hidden = PDF.replace("filename=a.pdf", "filename*=us-ascii''winmail%2Edat")
    assert read(mail(hidden + lines(CONTENT))) is None


def test_a_file_that_is_no_part_has_the_whole_mail_read() -> None:
    assert read(mail("\r\ntext") + ("--c\r\n" + PDF + lines(CONTENT)).encode()) is None


def test_another_content_than_was_taken_out_is_refused() -> None:
    remains, files, _ = detach(mail(PDF + lines(CONTENT)))
    with pytest.raises(ValueError, match="not what was stored"):
        attach(remains, files, [CONTENT + b"x"])


def test_a_file_is_in_the_pack_where_it_has_an_offset_there_and_else_an_object_of_its_own() -> None:
    apart = Apart(1, 70, "1/raw/2/20261128-ab.zst", [None, 0])
    assert apart.place(0, 9) == Place("1/70/raw-00", 0, 9)
    assert apart.place(1, 9) == Place("1/raw/2/20261128-ab.zst", 0, 9)
    assert Apart(1, 70, "1/raw/2/20261128-ab.zst", ()).place(1, 9) == Place("1/70/raw-01", 0, 9)


@pytest.mark.parametrize("kind", ["text/csv", "text/plain"])
def test_a_text_that_is_all_of_a_mail_is_read_whole(kind: str) -> None:
    table = b"a,b\r\n" * 2_000
    raw = PDF.replace("application/pdf", kind).encode() + lines(table).encode() + b"\r\n"
    assert detach(raw)[1]
    assert read(raw) is None


@given(st.binary(max_size=300), st.binary(min_size=3100, max_size=3200), st.binary(max_size=300))
def test_any_bytes_come_back(before: bytes, content: bytes, after: bytes) -> None:
    raw = before + b"\n" + (PDF + lines(content)).encode() + after
    assert attach(*detach(raw)) == raw


def test_what_remains_of_real_mail_is_read_as_the_whole() -> None:
    """Also of mail that is damaged in many ways, and of more mail when a folder of it is named."""
    folders = [Path(__file__).parents[1] / "corpus", *map(Path, filter(None, [os.environ.get("INBOXOPS_MAIL_SET")]))]
    mails = [path.read_bytes() for folder in folders for path in folder.rglob("*.eml")]
    mails += [one.raw for one in corpus(300)]
    chance = random.Random(7)
    apart = [raw for raw in mails if detach(raw)[1] and len(raw) < 300_000]
    assert len(apart) > 50
    mails += [_damaged(chance.choice(apart), chance) for _ in range(600)]
    read_apart = 0
    for raw in mails:
        message = read(raw)
        assert message is None or message == parse(raw)
        read_apart += message is not None and detach(raw)[1] != []
    assert read_apart > 300


def _damaged(raw: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(damaged) if chance.random() < 0.5 else min(3000, len(damaged)))
        match chance.randrange(4):
            case 0:
                damaged[at] = chance.randrange(256)
            case 1:
                del damaged[at : at + chance.randint(1, 200)]
            case 2:
                damaged[at:at] = chance.choice([b"\r\n", b"\n", b"--b\r\n", b"--", b"=", b"\r\n\r\n", b"base64", b"-"])
            case _:
                other = chance.randrange(len(damaged))
                damaged[at:at] = damaged[other : other + chance.randint(1, 3000)]
        damaged = damaged or bytearray(b"x")
    return bytes(damaged)
