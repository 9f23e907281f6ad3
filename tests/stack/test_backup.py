"""A stack that is gone with its machine comes back from one file: tickets, files, keys, and mail goes on where it was."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from inboxops.composition import intake
from inboxops.composition.world import World
from inboxops.db.migrate import migrate
from inboxops_lab.testing.mailserver import MailServer
from inboxops_local.stack import postgres
from inboxops_local.stack.home import GENERATED, Home, read_env
from inboxops_local.stack.layout import command
from inboxops_local.stack.testing import running
from tests.stories.conftest import Mailbox, connect, mail
from tests.stories.test_stages import FILES, TWO_FILES


def inboxops(home: Path, *arguments: str, base: int = 8080) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "INBOXOPS_HOME": str(home), "INBOXOPS_PORT_BASE": str(base)}
    return subprocess.run(command(*arguments), env=environment, capture_output=True, text=True, timeout=120)


def story(world: World, inbox_id: int) -> dict[str, object]:
    """What must be the same afterwards."""

    def rows(query: str) -> list[tuple[object, ...]]:
        with world.database.transaction() as t:
            return [tuple(row.values()) for row in t.connection.execute(query.encode()).fetchall()]

    return {
        "tickets": rows("SELECT id, ticket_number, subject, status FROM tickets ORDER BY id"),
        "messages": rows("SELECT id, message_id_header, body_text FROM messages ORDER BY id"),
        "files": [world.objects.get(str(key)) for (key,) in rows("SELECT storage_key FROM attachments ORDER BY id")],
        "raw": [world.objects.get(str(key)) for (key,) in rows("SELECT DISTINCT storage_key FROM inbound ORDER BY 1")],
        "cursor": world.inboxes.get(inbox_id).cursor,
        "credentials": world.inboxes.credentials(inbox_id),
    }


def send_statuses(world: World) -> list[object]:
    """Of all that was to be sent."""
    with world.database.transaction() as t:
        found = t.connection.execute(b"SELECT send_status FROM messages WHERE direction = 'outbound'")
        return [row["send_status"] for row in found]


@pytest.fixture(scope="module")
def saved(
    tmp_path_factory: pytest.TempPathFactory, mail_server: MailServer
) -> Iterator[tuple[Path, Mailbox, dict[str, object]]]:
    """A backup, the mailbox (on the server, which stays), and what stood in the stack that is gone."""
    folder = tmp_path_factory.mktemp("backup")
    with running(folder / "home", "--only=services") as settings:
        migrate(settings.owner_dsn)
        world = World(settings)
        world.inboxes.add_tenant("acme", "Acme")
        box = connect(world, "acme", mail_server)
        box.deliver(mail("Two files", body=TWO_FILES, more=FILES))
        box.run()
        world.inboxes.change(box.inbox_id, auto_response_enabled=True, auto_response_body="We have it.")
        box.deliver(mail("Plain"))  # whose answer waits: there is no Airflow
        box.run()
        before = story(world, box.inbox_id)
        done = inboxops(folder / "home", "backup", str(folder / "saved.tar"))
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        again = inboxops(folder / "home", "backup", str(folder / "saved.tar"))
        assert (again.returncode, "is there already" in again.stderr) == (1, True)
        world.close()
    yield folder / "saved.tar", box, before


def test_only_its_owner_may_read_it(saved: tuple[Path, Mailbox, dict[str, object]]) -> None:
    assert saved[0].stat().st_mode & 0o777 == 0o600


def test_only_the_file_of_secrets_in_it_says_one(
    saved: tuple[Path, Mailbox, dict[str, object]], tmp_path: Path
) -> None:
    """Who gets the database or an object alone has no key, and no password of a mailbox."""
    with tarfile.open(saved[0]) as tar:
        tar.extractall(tmp_path, filter="data")
    kept = read_env(tmp_path / "inboxops.env")
    secrets = ["secret password", *(kept[name] for name in GENERATED)]
    restored = [postgres.cluster(Home(tmp_path)).programs / "pg_restore", "--file=-", tmp_path / "database"]
    dump = subprocess.run(restored, capture_output=True, check=True).stdout
    assert b"COPY public.inboxes" in dump
    for content in (dump, *(path.read_bytes() for path in (tmp_path / "objects").rglob("*") if path.is_file())):
        assert [secret for secret in secrets if secret.encode() in content] == []


def test_it_comes_back_on_another_machine_and_mail_goes_on(
    saved: tuple[Path, Mailbox, dict[str, object]], tmp_path: Path
) -> None:
    path, box, before = saved
    home = tmp_path / "elsewhere"
    restored = inboxops(home, "restore", str(path), base=29_000)
    assert restored.returncode == 0, restored.stderr + restored.stdout
    with running(home, "--only=services") as settings:
        world = World(settings)
        try:
            assert story(world, box.inbox_id) == before
            assert send_statuses(world) == ["unknown"], "the answer may have left since"
            box.deliver(mail("After"))
            intake.fetch(world, box.inbox_id)
            intake.file(world, box.inbox_id)
            subjects = [ticket[2] for ticket in story(world, box.inbox_id)["tickets"]]  # type: ignore[attr-defined]
            assert subjects == ["Two files", "Plain", "After"]
        finally:
            world.close()


def test_a_home_with_something_in_it_is_left_alone(
    saved: tuple[Path, Mailbox, dict[str, object]], tmp_path: Path
) -> None:
    (tmp_path / "mine").touch()
    refused = inboxops(tmp_path, "restore", str(saved[0]))
    assert (refused.returncode, "is not empty" in refused.stderr) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_is_no_backup_makes_no_home(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear all")
    refused = inboxops(tmp_path / "home", "restore", str(tmp_path / "letter.txt"))
    assert (refused.returncode, "can't be read" in refused.stderr) == (1, True)
    assert not (tmp_path / "home").exists()


def test_without_a_running_stack_there_is_nothing_to_save(tmp_path: Path) -> None:
    refused = inboxops(tmp_path / "home", "backup", str(tmp_path / "saved.tar"))
    assert (refused.returncode, "nothing is running" in refused.stderr) == (1, True)
    assert not (tmp_path / "saved.tar").exists()
