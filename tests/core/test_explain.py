"""`inboxops explain` has a line for every file, relative to the folder that was named, whatever the file holds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from inboxops.errors import InvalidInput
from inboxops.stories.explain import explain_records, run
from tests.core.mails import raw

FIELDS = [
    "path",
    "verdict",
    "rule",
    "evidence",
    "from",
    "customer",
    "customer_rule",
    "reply_to",
    "subject",
    "message_id",
    "attachments",
    "recipients",
    "original_message_id",
    "bounce_kind",
    "in_reply_to",
    "references",
    "text",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "a.eml").write_bytes(raw("hello", Subject="Ärger", References="<r@x>", In_Reply_To="<p@x>"))
    (tmp_path / "deep" / "er" / "b.eml").write_bytes(raw("hello", From="noreply@cust.example"))
    (tmp_path / "deep" / "noise.bin").write_bytes(os.urandom(5_000))
    (tmp_path / "empty").touch()
    return tmp_path


def test_a_line_for_every_file_with_every_field(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([folder], jsonl=True) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["path"] for line in lines] == ["a.eml", "empty", "deep/noise.bin", "deep/er/b.eml"]
    assert all(list(line) == FIELDS for line in lines)
    first = lines[0]
    assert (first["verdict"], first["from"], first["subject"]) == ("human", "anna@cust.example", "Ärger")
    assert (first["in_reply_to"], first["references"], first["original_message_id"]) == (["p@x"], ["r@x"], None)
    assert lines[3]["verdict"] == "auto_generated"


def test_many_files_come_in_order_from_all_processes(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number:03}.eml").write_bytes(raw(Subject=str(number)))
    assert [record["subject"] for record in explain_records([tmp_path])] == [str(number) for number in range(100)]


def test_a_file_is_named_as_it_was_given(folder: Path) -> None:
    assert [record["path"] for record in explain_records([folder / "a.eml"])] == [str(folder / "a.eml")]


def test_people_read_sentences(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([folder / "deep"], jsonl=False) == 0
    shown = capfd.readouterr().out
    assert "er/b.eml: auto_generated (rule auto_generated.machine)" in shown
    assert "because From: noreply@cust.example" in shown


def test_a_mail_writes_no_escape_sequence_to_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mail = tmp_path / "a.eml"
    mail.write_bytes(b"From: a@x.example\r\nSubject: =?utf-8?Q?=1B]0;owned=07_red?=\r\n\r\nhello\r\n")
    assert run([mail], jsonl=False) == 0
    said = capfd.readouterr().out
    assert "red" in said
    assert not set(said) & {"\x1b", "\x07"}


def test_a_path_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        list(explain_records([tmp_path / "nowhere"]))


def test_a_file_that_may_not_be_read_has_its_line_too(folder: Path) -> None:
    (folder / "gone").symlink_to(folder / "a.eml")
    target = folder / "a.eml"
    records = explain_records([folder])
    target.unlink()
    errors = {record["path"]: record.get("error") for record in records}
    assert len(errors) >= 3
