"""A folder that can't be used is one line that says what to do, a code that is not 0, and nothing half-made."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from inboxops.errors import OperatorError
from inboxops_local.stack import spawn
from inboxops_local.stack.home import Home, load_or_make_secrets
from inboxops_local.stack.jobs import older_than
from inboxops_local.stack.layout import command
from inboxops_local.stack.ports import Ports
from inboxops_local.stack.record import Record
from inboxops_local.stack.testing import free_base, running
from tests.disks import fill, read_only, small_disk

PORTS = Ports(base=20_000)


def refused(home: Path) -> str:
    """What `up` says."""
    environment = {**os.environ, "INBOXOPS_HOME": str(home), "INBOXOPS_PORT_BASE": str(free_base())}
    done = subprocess.run(
        command("up", "--no-demo", "--only=services"), env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", megabytes=200) as disk:
        yield disk


def used(home: Home) -> Home:
    """A home that was started once: there is data that its secrets belong to."""
    home.make()
    load_or_make_secrets(home, PORTS)
    (home.path / "postgres").mkdir()
    home.lock.touch()
    return home


def test_a_disk_that_is_read_only(disk: Path) -> None:
    used(Home(disk / "used"))
    read_only(disk)
    for home in (disk / "used", disk / "new"):
        said = refused(home)
        assert "Read-only file system" in said
        assert "INBOXOPS_HOME" in said


def test_a_disk_without_room_is_left_as_it_was(disk: Path) -> None:
    ballast = fill(disk)
    said = refused(disk / "new")
    assert "MB free" in said
    assert "INBOXOPS_HOME" in said
    assert list(disk.iterdir()) == [ballast]


def test_a_disk_that_fills_while_a_file_is_written_keeps_the_old_one(disk: Path) -> None:
    home = used(Home(disk / "used"))
    before = home.env_file.read_text()
    fill(disk)
    with pytest.raises(OperatorError, match="No space left"):
        load_or_make_secrets(home, Ports(base=21_000))
    assert home.env_file.read_text() == before
    assert not list(home.path.glob("*.new"))


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a letter")
    assert "can't write" in refused(tmp_path / "home")
    assert (tmp_path / "home").read_text() == "a letter"


@pytest.mark.parametrize("kept", [0, 300])
def test_secrets_that_were_half_written_are_not_made_anew_over_data(tmp_path: Path, kept: int) -> None:
    """New ones would open nothing: neither the database nor a mailbox's credentials."""
    home = used(Home(tmp_path / "home"))
    text = home.env_file.read_text()[:kept]
    home.env_file.write_text(text)
    said = refused(home.path)
    assert "is missing in" in said
    assert "backup" in said
    assert home.env_file.read_text() == text


def test_a_key_that_was_cut_is_named(tmp_path: Path) -> None:
    home = used(Home(tmp_path / "home"))
    lines = home.env_file.read_text().splitlines(keepends=True)
    cut = [line[:-20] + "\n" if line.startswith("INBOXOPS_CREDENTIAL_KEYS") else line for line in lines]
    home.env_file.write_text("".join(cut))
    assert "INBOXOPS_CREDENTIAL_KEYS" in refused(home.path)


def test_a_record_that_was_half_written_is_none(tmp_path: Path) -> None:
    record = tmp_path / "stack.json"
    for text in ("", '{"run": "x", "sup', "{}", "[]"):
        record.write_text(text)
        assert Record.read(record) is None


def test_a_home_of_a_newer_version(tmp_path: Path) -> None:
    """Its database is left alone: what an older version does not know it can't keep right."""
    home = tmp_path / "home"
    with running(home, "--only=services") as settings:
        url = settings.owner_dsn
        with psycopg.connect(url) as connection:
            connection.execute(
                "CREATE TABLE schema_migrations (name text PRIMARY KEY, sha256 text, applied_at timestamptz)"
            )
            connection.execute("INSERT INTO schema_migrations VALUES ('9999_of_tomorrow.sql', '', now())")
        environment = {**os.environ, "INBOXOPS_HOME": str(home)}
        done = subprocess.run(
            [sys.executable, "-m", "inboxops_local.stack.jobs", "schema"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert "9999_of_tomorrow.sql" in done.stderr
    assert "Install the newer version" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_newer_airflow_database_is_not_touched() -> None:
    assert older_than("3.3.2", "migrated by apache-airflow 3.10.0")
    assert not older_than("3.3.2", "migrated by apache-airflow 3.3.2")
    assert not older_than("3.3.2", "migrated by apache-airflow 3.2.9")
    assert not older_than("3.3.2", None)


def test_a_log_that_grows_is_cut_while_its_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "LOG_BYTES", 1000)
    log = tmp_path / "part.log"
    descriptor = spawn.open_log(log)
    for _ in range(5):
        os.write(descriptor, b"a line of forty characters, more or less\n" * 30)
        spawn.bound(log)
    os.write(descriptor, b"the last words\n")
    os.close(descriptor)
    assert log.read_text() == "the last words\n"
    assert 1000 < log.with_suffix(".log.1").stat().st_size < 2000
