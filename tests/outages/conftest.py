"""Inboxes on servers that go away and come back: services of this folder's own, a mail server behind a proxy that can hurt."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from inboxops.composition import intake, upkeep
from inboxops.composition.world import World
from inboxops.core.notices import KINDS
from inboxops.db.migrate import migrate
from inboxops.settings import Settings
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.processes import wait_until
from inboxops_lab.testing.proxy import Proxy
from inboxops_local.stack.record import Record, members
from inboxops_local.stack.testing import running
from inboxops_local.standins.http import Serving
from tests.push.conftest import StandInAirflow
from tests.receiver import Receiver, list_our_own_host
from tests.stories.conftest import Mailbox, connect, mail

LONG = "16 minutes"
"""An outage that lasts longer than a passing trouble."""


@dataclass
class Services:
    """Real servers under a supervisor."""

    home: Path
    settings: Settings

    def record(self) -> Record:
        found = Record.read(self.home / "stack.json")
        assert found is not None
        return found

    @contextmanager
    def away(self, part: str) -> Iterator[None]:
        """The part is killed, and started again by its supervisor at the end of the block, not before."""
        record = self.record()
        restarts, leader = record.parts[part].restarts, record.parts[part].process
        assert leader is not None
        os.kill(record.supervisor.pid, signal.SIGSTOP)
        try:
            for process in members(leader):
                process.kill()
            yield
        finally:
            os.kill(record.supervisor.pid, signal.SIGCONT)
        wait_until(f"{part} is started again", lambda: self.record().parts[part].restarts > restarts)
        wait_until(f"{part} is ready", lambda: self.record().parts[part].state == "ready", seconds=60)


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    home = tmp_path_factory.mktemp("outages") / "home"
    with running(home, "--only=services") as settings:
        migrate(settings.owner_dsn)
        yield Services(home, settings)


@pytest.fixture
def airflow() -> Iterator[Serving]:
    with Serving(StandInAirflow()) as serving:
        yield serving


@dataclass
class Post:
    """A connected inbox whose server is behind a proxy, and the webhook of its admins."""

    box: Mailbox
    proxy: Proxy
    receiver: Receiver

    @property
    def world(self) -> World:
        return self.box.world

    def poll(self) -> None:
        """A run of the inbox's DAG by the clock. What left mail behind is ended by the next."""
        if intake.wants_fetch(self.world, self.box.inbox_id):
            intake.fetch_by_clock(self.world, self.box.inbox_id)
            intake.file(self.world, self.box.inbox_id)

    def deliver(self, subject: str, body: str = "Please help.") -> None:
        self.box.deliver(mail(subject, body=body))

    def lasts(self) -> None:
        """What waiting does."""
        self.box.query(
            "UPDATE inboxes SET last_error_at = last_error_at - %s::interval WHERE id = %s RETURNING 1",
            LONG, self.box.inbox_id,
        )  # fmt: skip

    def told(self) -> list[tuple[str, bool]]:
        """What the admins were told, after several looks."""
        for _ in range(3):
            upkeep.notify(self.world)
        return self.receiver.told

    def is_whole(self, *subjects: str) -> None:
        """All mail is filed, once, and nothing is said to be wrong any more."""
        assert [subject for subject, count in self.box.tickets() if count == 1] == list(subjects)
        assert set(self.box.states()) == {"persisted"}
        assert (self.box.inbox.last_error, self.box.inbox.is_live) == (None, True)


@pytest.fixture
def post(own: Services, airflow: Serving, mail_server: MailServer) -> Iterator[Post]:
    world = World(own.settings.model_copy(update={"airflow_url": airflow.url}))
    tenant = f"t{uuid.uuid4().hex[:12]}"
    world.inboxes.add_tenant(tenant, "Test Ltd")
    box = connect(world, tenant, mail_server)
    proxy = Proxy(mail_server.port_imap)
    connection = {"host": "localhost", "port": proxy.port, "security": "plain", "folder": "INBOX"}
    sealed = world.inboxes.credentials(box.inbox_id)
    assert sealed is not None
    world.inboxes.reconnect(box.inbox_id, connection, sealed)
    list_our_own_host(world)
    receiver = Receiver()
    upkeep.tell(world, box.inbox.tenant_id, mail="", url=receiver.url, kinds=list(KINDS))
    made = Post(box, proxy, receiver)
    made.poll()
    yield made
    world.inboxes.remove(box.inbox_id)
    receiver.stop()
    proxy.stop()
    world.close()
