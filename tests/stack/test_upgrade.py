"""What an earlier version left (its database, objects and keys, in tests/stack/versions) goes on under this one."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from inboxops.composition import intake
from inboxops.composition.world import World
from inboxops.db.migrate import migrate, migrations
from inboxops.settings import Settings
from inboxops_lab.testing.mailserver import MailServer
from inboxops_local.stack.home import Home, read_env
from inboxops_local.stack.postgres import cluster
from inboxops_local.stack.testing import running
from tests.stories.conftest import Mailbox, mail

VERSIONS = sorted((Path(__file__).parent / "versions").glob("*.tar.xz"))


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda path: path.name)
def upgraded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("upgrade") / "home"
    with running(home, "--only=services") as settings, tarfile.open(request.param) as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]
        keys = dict(line.split("=", 1) for line in content["keys.env"].decode().splitlines())
        ours = {name.removeprefix("INBOXOPS_").lower(): value for name, value in keys.items()}
        world = World(Settings.model_validate({**settings.model_dump(), **ours}))
        _load(home, settings, content["database.sql"])
        for name, raw in content.items():
            if name.startswith("objects/"):
                world.objects.put(name.removeprefix("objects/"), raw, content_type="application/octet-stream")
        applied = migrate(settings.owner_dsn)
        assert applied
        assert applied[-1] == migrations()[-1][0]
        yield world
        world.close()


def _load(home: Path, settings: Settings, dump: bytes) -> None:
    port = settings.database_url.get_secret_value().rpartition(":")[2].partition("/")[0]
    # Up to 0.1 a dump could not be restored as it is: migration 0022 says why.
    findable = dump.replace(b"set_config('search_path', '', false)", b"set_config('search_path', 'public', false)")
    psql = subprocess.run(
        [
            cluster(Home(home)).programs / "psql",
            *("-h127.0.0.1", f"-p{port}", "-Upostgres", "-dinboxops", "-q"),
            "-vON_ERROR_STOP=1",
        ],
        input=findable,
        env={"PGPASSWORD": read_env(home / "inboxops.env")["STACK_POSTGRES_PASSWORD"]},
        capture_output=True,
    )
    assert psql.returncode == 0, psql.stderr.decode()


@pytest.fixture
def box(upgraded: World, mail_server: MailServer) -> Mailbox:
    """Its inbox, on a mail server of today with the same password."""
    (inbox,) = upgraded.inboxes.all()
    sealed = upgraded.inboxes.credentials(inbox.id)
    assert sealed is not None
    kept = upgraded.vault.open(sealed)
    mail_server.add_user(kept["username"], kept["password"])
    connection = {**inbox.connection, "port": mail_server.port_imaps, "ca_file": mail_server.ca_file}
    upgraded.inboxes.reconnect(inbox.id, connection, sealed)
    return Mailbox(upgraded, mail_server, kept["username"], inbox.id)


def test_its_tickets_and_files_are_there(box: Mailbox) -> None:
    assert ("Two files", 2) in box.tickets()
    assert ("Grüße aus Köln", 1) in box.tickets()
    files = box.query("SELECT storage_key FROM attachments ORDER BY id")
    assert [box.world.objects.get(str(key)).strip() for (key,) in files] == [b"a,b", b"c,d"]
    assert box.states() == {"persisted": 2, "listed": 1}


def test_its_keys_still_open_the_api_and_its_reply_still_waits_to_leave(box: Mailbox, upgraded: World) -> None:
    for version in VERSIONS:
        with tarfile.open(version) as tar:
            file = tar.extractfile("keys.env")
            assert file is not None
            key = file.read().decode().rpartition("API_KEY=")[2].strip()
        caller = upgraded.api_keys.caller(key)
        assert caller is not None
        assert caller.name == "Ann"
    assert box.query("SELECT send_status FROM messages WHERE direction = 'outbound'") == [("pending",)]


def test_mail_goes_on_and_an_answer_joins_its_old_ticket(box: Mailbox) -> None:
    ((theirs,),) = box.query("SELECT message_id_header FROM messages WHERE subject = 'Grüße aus Köln'")
    box.deliver(mail("Re: Grüße aus Köln", more=f"In-Reply-To: <{theirs}>"), mail("New with this version"))
    box.run()
    assert ("Grüße aus Köln", 2) in box.tickets()
    assert ("New with this version", 1) in box.tickets()


def test_what_was_set_aside_can_be_released(box: Mailbox) -> None:
    ((aside,),) = box.query("SELECT id FROM inbound WHERE state = 'listed'")
    box.world.inbound.send_back(int(str(aside)), release=True)
    intake.file(box.world, box.inbox_id)
    assert ("You have won", 1) in box.tickets()
