"""Canaries in the real Airflow: the DAG sends one, its loss is told to admins, and so is its end when the next one is back."""

from __future__ import annotations

import uuid

import pytest

from inboxops.composition import upkeep
from inboxops.composition.world import World
from inboxops.orchestrator.airflow import Airflow
from inboxops_lab.testing.mailserver import MailServer
from tests.e2e.conftest import eventually
from tests.receiver import Receiver
from tests.sending.conftest import Desk, set_up
from tests.sending.smtpserver import Taken
from tests.stories.test_canary import arrive, let_it_be_late, wish

ENDED = ("success", "failed")
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_a_canary_that_is_lost_is_told_and_so_is_the_next_one_that_is_back(
    world: World, tenant: str, mail_server: MailServer, airflow: Airflow, receiver: Receiver
) -> None:
    with set_up(world, tenant, mail_server) as desk:
        desk.box.run()
        upkeep.tell(world, desk.tenant_id, mail="", url=receiver.url, kinds=["canary_late"])
        wish(desk)
        lost = _sent_by_a_run(desk, airflow)
        desk.taken.clear()
        ((number,),) = desk.box.query("SELECT max(id) FROM canaries WHERE inbox_id = %s", desk.box.inbox_id)
        let_it_be_late(desk, int(str(number)))
        desk.box.run()
        eventually("its loss is told", lambda: receiver.told == [("canary_late", False)], seconds=180)

        assert _sent_by_a_run(desk, airflow).raw != lost.raw
        arrive(desk)
        over = [("canary_late", False), ("canary_late", True)]
        eventually("its end is told", lambda: receiver.told == over, seconds=180)
        assert desk.box.tickets() == []


def _sent_by_a_run(desk: Desk, airflow: Airflow) -> Taken:
    """What a run of the DAG handed to the inbox's server, which the scheduler may have begun by itself."""
    run = f"test-{uuid.uuid4().hex}"
    eventually("Airflow knows the DAG", lambda: airflow.start("canaries", run))
    assert eventually("it ended", lambda: _ended(airflow, run), seconds=180) == "success"
    (taken,) = desk.taken
    return taken


def _ended(airflow: Airflow, run: str) -> str:
    state = str(airflow.get(f"/dags/canaries/dagRuns/{run}")["state"])
    return state if state in ENDED else ""
