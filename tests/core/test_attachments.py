"""Names of attachments are only names, two files of one name are both kept, and a message brings only so much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inboxops.core.attachments import FILE_BYTES, MESSAGE_FILES, NAME_BYTES, safe_file_name, within_limits
from inboxops.core.keys import attachment_key
from inboxops.core.model import Attachment


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\notes.txt", "notes.txt"),
        ("..", "attachment.txt"),
        ("", "attachment.txt"),
        (".hidden", "hidden"),
        ("a\x00b\x1bc.txt", "abc.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("line\r\nbreak.txt", "line break.txt"),
        ("CON.txt", "_CON.txt"),
        ("lpt1", "_lpt1"),
        ('a<b>:"c|?*.txt', "a_b___c___.txt"),
        ("Übersicht – März.xlsx", "Übersicht – März.xlsx"),
        ("契約書.pdf", "契約書.pdf"),
        ("folder/", "folder"),
        ("\ud800bad.txt", "_bad.txt"),
    ],
)
def test_a_name_is_made_safe_and_stays_readable(name: str, safe: str) -> None:
    assert safe_file_name(name, content_type="text/plain") == safe


def test_a_second_file_of_one_name_gets_a_number_whatever_the_case() -> None:
    taken: list[str] = []
    for name in ("a.pdf", "A.PDF", "a.pdf"):
        taken.append(safe_file_name(name, content_type="application/pdf", taken=taken))
    assert taken == ["a.pdf", "A (2).PDF", "a (3).pdf"]


def test_shortening_keeps_the_extension() -> None:
    safe = safe_file_name("長" * 300 + ".docx", content_type="text/plain")
    assert safe.endswith(".docx")
    assert len(safe.encode()) <= NAME_BYTES


@given(st.text(), st.lists(st.text(), max_size=3))
def test_any_name_makes_a_key_that_stays_in_its_folder(name: str, taken: list[str]) -> None:
    safe = safe_file_name(name, content_type="application/octet-stream", taken=taken)
    assert safe
    assert len(safe.encode()) <= NAME_BYTES
    assert safe.casefold() not in {other.casefold() for other in taken}
    assert attachment_key(1, 2, 3, safe).split("/") == ["1", "2", f"03-{safe}"]


@pytest.mark.parametrize("name", ["", "a/b", "..", "a\\b"])
def test_a_name_that_was_not_made_safe_makes_no_key(name: str) -> None:
    with pytest.raises(ValueError, match="safe"):
        attachment_key(1, 2, 3, name)


def test_what_is_over_the_limits_is_named_with_its_reason() -> None:
    large = Attachment("film.mov", "video/quicktime", bytes(FILE_BYTES + 1))
    small = [Attachment(f"{number}.txt", "text/plain", b"x") for number in range(MESSAGE_FILES + 2)]
    kept, omitted = within_limits([large, *small])
    assert kept == tuple(small[:MESSAGE_FILES])
    assert [(one.file_name, reason) for one, reason in omitted] == [
        ("film.mov", "larger than 25 MB"),
        ("10.txt", "more than 10 files in one message"),
        ("11.txt", "more than 10 files in one message"),
    ]


def test_a_message_keeps_files_until_it_is_full() -> None:
    half = Attachment("half", "text/plain", bytes(FILE_BYTES // 2 + 1))
    little = Attachment("little", "text/plain", b"x")
    kept, omitted = within_limits([half, half, little])
    assert kept == (half, little)
    assert [reason for _, reason in omitted] == ["more than 25 MB in one message"]
