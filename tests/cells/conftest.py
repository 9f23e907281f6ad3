"""Two cells over one database: an Airflow of each that listens, and a process of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from inboxops.composition import upkeep
from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.db.migrate import migrate
from inboxops.settings import Settings
from inboxops_lab.testing.mailserver import MailServer
from inboxops_local.stack.testing import running
from inboxops_local.standins.running import Serving
from tests.cells.installations import Two
from tests.push.conftest import StandInAirflow
from tests.sending.conftest import Desk, set_up
from tests.stories.conftest import Mailbox, connect


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Servers of these tests' own: what stands still in a cell here, no other test shall see."""
    with running(tmp_path_factory.mktemp("cells") / "home", "--only=services") as settings:
        migrate(settings.owner_dsn)
        yield settings


@dataclass
class Cell:
    """A process of one cell, and its Airflow."""

    name: str
    world: World
    airflow: StandInAirflow
    serving: Serving

    def beat(self) -> None:
        """Its pulse and its drain, as they come each minute."""
        upkeep.pulse(self.world, datetime.now(UTC))
        self.world.heart.drained()


@dataclass
class Cells:
    main: Cell
    b: Cell
    tenant: str
    mail_server: MailServer

    def mailbox(self, name: str = "support") -> Mailbox:
        """Of the tenant; what it does by itself, it does in `main`."""
        return connect(self.main.world, self.tenant, self.mail_server, name)

    def in_(self, cell: Cell, box: Mailbox) -> Mailbox:
        return Mailbox(cell.world, box.server, box.user, box.inbox_id)

    def inbox(self, box: Mailbox) -> Inbox:
        return self.main.world.inboxes.get(box.inbox_id)


@pytest.fixture
def two(services: Settings, nothing_beat_before: None, tenant: str, mail_server: MailServer) -> Iterator[Cells]:
    """Both beat. Every process knows both Airflows, as one INBOXOPS_CELLS for all of them has it."""
    with Serving(StandInAirflow()) as first, Serving(StandInAirflow("b")) as second:
        known = json.dumps({"main": {"url": first.url}, "b": {"url": second.url}})
        made = []
        for name, serving in (("main", first), ("b", second)):
            told = {"cell": name, "airflow_url": serving.url, "cells": known}
            world = World(Settings.model_validate(services.model_dump() | told))
            assert isinstance(serving.stand_in, StandInAirflow)
            made.append(Cell(name, world, serving.stand_in, serving))
            made[-1].beat()
        yield Cells(made[0], made[1], tenant, mail_server)
        for cell in made:
            cell.world.close()


@pytest.fixture
def desk(two: Cells, mail_server: MailServer) -> Iterator[Desk]:
    """An inbox of the tenant that can send; in `main`."""
    with set_up(two.main.world, two.tenant, mail_server) as desk:
        yield desk


@pytest.fixture(scope="session")
def elsewhere(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Servers of another installation, which knows what the first one signs with and has a range of ids of its own."""
    with running(tmp_path_factory.mktemp("elsewhere") / "home", "--only=services") as settings:
        migrate(settings.owner_dsn, id_range=7)
        known = f"{services.signing_key.get_secret_value()}@2100-01-01T00:00:00Z"
        yield settings.model_copy(update={"previous_signing_keys": SecretStr(known), "cell": "far"})


@pytest.fixture
def both(two: Cells, elsewhere: Settings) -> Iterator[Two]:
    with Serving(StandInAirflow("far")) as serving:
        world = World(elsewhere.model_copy(update={"airflow_url": serving.url}))
        assert isinstance(serving.stand_in, StandInAirflow)
        far = Cell("far", world, serving.stand_in, serving)
        far.beat()
        yield Two(two.main, far, two.tenant, [])
        world.close()
