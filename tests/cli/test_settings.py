"""`inboxops settings`: what holds, where it came from; and names that mean nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_inbox_commands import Shell, shell

__all__ = ["shell"]


def test_each_setting_says_its_value_its_source_and_what_it_is_for(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "inboxops.env").write_text("INBOXOPS_NOTIFY_FROM=file@x.example\nINBOXOPS_LOG_ADDRESSES=true\n")
    done = shell("settings", "--json", INBOXOPS_NOTIFY_FROM="env@x.example")
    assert done.returncode == 0, done.stderr
    told = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert (told["INBOXOPS_NOTIFY_FROM"]["value"], told["INBOXOPS_NOTIFY_FROM"]["source"]) == (
        "env@x.example",
        "environment",
    )
    assert [name for name, line in told.items() if not line["meaning"]] == []
    key = shell.environment["INBOXOPS_SIGNING_KEY"]
    assert key not in done.stdout
    assert told["INBOXOPS_SIGNING_KEY"]["value"] == f"({len(key)} characters)"


def test_a_setting_of_an_earlier_version_says_what_to_do_about_it(shell: Shell) -> None:
    done = shell("inbox", "list", INBOXOPS_PRODUCTION="true")
    assert done.returncode == 1
    assert "INBOXOPS_PRODUCTION in the environment is a setting no more" in done.stderr
    assert "take it out" in done.stderr


def test_a_name_that_means_nothing_is_an_error_with_the_nearest_that_does(shell: Shell, tmp_path: Path) -> None:
    done = shell("settings", INBOXOPS_GOGLE_CLIENT_ID="x")
    assert done.returncode == 1
    assert "is INBOXOPS_GOOGLE_CLIENT_ID meant?" in done.stderr
    (tmp_path / "inboxops.env").write_text("INBOXOPS_POL_MINUTES=1\n")
    done = shell("inbox", "list")
    assert done.returncode == 1
    assert "INBOXOPS_POLL_MINUTES" in done.stderr


def test_a_file_that_is_no_utf8_is_an_error_with_its_name(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "inboxops.env").write_bytes("# geändert\n".encode("latin-1"))
    for command in (
        ["settings"],
        ["tickets"],
        ["doctor"],
        ["rotate", "--env-file", str(tmp_path / "inboxops.env"), "--all"],
    ):
        done = shell(*command)
        said = " ".join((done.stdout + done.stderr).split())
        assert (done.returncode, "Traceback" in said) == (1, False), said
        assert f"{tmp_path / 'inboxops.env'} can't be read" in said
        assert "Save it as UTF-8" in said


def test_the_name_of_a_folder_is_shown_as_it_is(shell: Shell, tmp_path: Path) -> None:
    home = tmp_path / "mail [red] [" / "x]"
    home.mkdir(parents=True)
    done = shell("doctor", INBOXOPS_HOME=str(home))
    assert f"no local stack in {home}" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("POLL_MINUTES", "0", "greater than or equal to 1"),
        ("DATABASE_URL", "10.0.0.1", "begins with none of postgresql://"),
        ("REDIS_URL", "10.0.0.1:6379", "begins with none of redis://"),
        ("S3_ENDPOINT", "s3.acme.example", "begins with none of http://"),
    ],
)
def test_a_value_that_is_none_says_why(shell: Shell, name: str, value: str, said: str) -> None:
    for command in (["tickets"], ["doctor"], ["inbound", "raw", "1"]):
        done = shell(*command, **{f"INBOXOPS_{name}": value})
        assert done.returncode == 1
        told = " ".join((done.stdout + done.stderr).split())
        assert f"missing or wrong settings: INBOXOPS_{name} (" in told and said in told, told


def test_a_database_is_named_as_libpq_takes_it(shell: Shell) -> None:
    done = shell("settings", INBOXOPS_DATABASE_URL="host=10.0.0.1 dbname=inboxops user=inboxops_tasks")
    assert done.returncode == 0, done.stderr


def test_doctor_says_that_something_else_answers_where_the_api_should(shell: Shell) -> None:
    done = shell("doctor", INBOXOPS_API_URL=shell.environment["INBOXOPS_S3_ENDPOINT"])
    assert "api: no answer of InboxOps" in " ".join(done.stdout.split()), done.stderr
