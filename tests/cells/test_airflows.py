"""Two real Airflows over one database: a tenant's mail is filed by the one, then by the other, and by never both."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from inboxops.composition import moving, runs
from inboxops.composition.world import World
from inboxops.errors import TransientError
from inboxops.orchestrator.airflow import Airflow
from inboxops.settings import ENV_FILE, Settings
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.processes import free_ports
from inboxops_local.stack.airflow import ADMIN
from inboxops_local.stack.home import read_env
from inboxops_local.stack.testing import person, running
from tests.e2e.conftest import eventually
from tests.stories.conftest import Mailbox, connect, mail

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cells-e2e") / "home"


@pytest.fixture(scope="module")
def services(home: Path) -> Iterator[Settings]:
    """The whole local stack, with an Airflow more."""
    (port,) = free_ports(1)
    cells = json.dumps({"b": {"url": f"http://127.0.0.1:{port}"}})
    with running(home, environment={**os.environ, "INBOXOPS_CELLS": cells}, seconds=600) as settings:
        yield settings.model_copy(update={"cells": SecretStr(cells)})


def in_b(home: Path, world: World) -> Airflow:
    kept = read_env(home / ENV_FILE)
    return Airflow(world.airflows.address("b")["url"], ADMIN, kept["STACK_AIRFLOW_ADMIN_PASSWORD"], timeout=60)


def woken(world: World, box: Mailbox, cell: str) -> bool:
    try:
        world.airflows.of(cell).wake(box.inbox_id)
    except TransientError:
        return False
    return True


def is_known(airflow: Airflow, box: Mailbox) -> bool:
    known = airflow.get("/dags", dag_id_pattern=box.inbox.dag_id)["dags"]
    return any(dag["dag_id"] == box.inbox.dag_id and not dag.get("is_stale") for dag in known)


def run_of(fetched: tuple[object, ...]) -> str:
    """Of what is kept with a mail: "run NAME, try N"."""
    return str(fetched[0]).removeprefix("run ").partition(",")[0]


def runs_of(airflow: Airflow, box: Mailbox) -> list[str]:
    return [run["dag_run_id"] for run in airflow.get(f"/dags/{box.inbox.dag_id}/dagRuns")["dag_runs"]]


def under_way(airflow: Airflow, box: Mailbox) -> bool:
    found = airflow.get(f"/dags/{box.inbox.dag_id}/dagRuns")["dag_runs"]
    return any(run["state"] in ("queued", "running") for run in found)


def test_a_tenants_mail_goes_through_the_airflow_of_its_cell(
    home: Path, world: World, tenant: str, mail_server: MailServer
) -> None:
    box = connect(world, tenant, mail_server)
    eventually("cell main reads its list", lambda: runs.show_inboxes(world))
    eventually("cell main has the inbox's DAG", lambda: woken(world, box, "main"), seconds=120)
    main, b = person(home), in_b(home, world)
    box.deliver(mail("In main"))
    runs.wake(world, box.inbox_id)
    eventually("it is filed", lambda: box.tickets() == [("In main", 1)], seconds=120)
    assert not is_known(b, box)
    eventually("cell b beats", lambda: "b" in {cell.name for cell in world.heart.cells()}, seconds=180)
    assert set(moving.move(world, tenant, "b").shown) == {"main", "b"}
    # A fetch that is under way may take in what comes at that moment: it is main's then, and rightly.
    eventually("nothing is under way in main", lambda: not under_way(main, box), seconds=120)
    box.deliver(mail("In b"))
    runs.wake(
        world, box.inbox_id
    )  # too early for the new DAG: then the outbox keeps it, and the cell's drain delivers it
    eventually("it is filed", lambda: sorted(box.tickets()) == [("In b", 1), ("In main", 1)], seconds=240)
    by = box.query("SELECT fetched_by FROM inbound WHERE inbox_id = %s ORDER BY id", box.inbox_id)
    assert run_of(by[0]) in runs_of(main, box)
    assert run_of(by[1]) in runs_of(b, box), "its run is one of cell b's"

    box.deliver(mail("Woken in main"))
    assert woken(world, box, "main"), "as IDLE of its triggerer may, while its DAG is there"
    eventually("it is filed", lambda: len(box.tickets()) == 3, seconds=240)
    by = box.query("SELECT fetched_by FROM inbound WHERE inbox_id = %s ORDER BY id", box.inbox_id)
    assert run_of(by[2]) in runs_of(b, box), "the wake-up was handed on"
    assert box.states() == {"persisted": 3}
