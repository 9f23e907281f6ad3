"""A reply goes from the API through the real scheduler and a worker to the customer's server."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from inboxops.composition.world import World
from inboxops.orchestrator.airflow import Airflow
from inboxops.settings import Settings
from inboxops_lab.testing.mailserver import MailServer
from tests.e2e.conftest import eventually
from tests.sending.conftest import Desk, set_up

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def desk(world: World, tenant: str, mail_server: MailServer) -> Iterator[Desk]:
    with set_up(world, tenant, mail_server) as desk:
        yield desk
        world.inboxes.remove(desk.box.inbox_id)


@pytest.fixture
def api(world: World, desk: Desk, stack: Settings, airflow: Airflow) -> Iterator[httpx.Client]:
    key = world.api_keys.add(desk.tenant_id, name="Ann", role="agent")
    with httpx.Client(base_url=stack.api_url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        eventually("Airflow knows the DAG that sends", lambda: _knows(airflow, "send_message"))
        yield client


def _knows(airflow: Airflow, dag_id: str) -> bool:
    return any(dag["dag_id"] == dag_id for dag in airflow.get("/dags", limit=1000)["dags"])


def _run(airflow: Airflow, message_id: int, attempt: int) -> str:
    """The one run of an attempt; its name ends with its order's number."""
    found = airflow.get("/dags/send_message/dagRuns", run_id_pattern=f"send-{message_id}-{attempt}-")["dag_runs"]
    [name] = [run["dag_run_id"] for run in found]
    return str(name)


def test_a_reply_leaves_once_and_the_thread_says_so(
    api: httpx.Client, desk: Desk, airflow: Airflow, stack: Settings
) -> None:
    ticket = desk.ticket()
    answer = api.post(f"/v1/tickets/{ticket}/replies", json={"body_text": "On its way."})
    assert answer.status_code == 202, answer.text
    message = answer.json()["message_id"]
    eventually("it is sent", lambda: desk.row(message)["send_status"] == "sent")
    assert [taken.message.message_id for taken in desk.taken] == [answer.json()["message_id_header"]]
    (shown,) = [m for m in api.get(f"/v1/tickets/{ticket}").json()["messages"] if m["id"] == message]
    assert shown["sending"]["status"] == "sent"
    links = f"/dags/send_message/dagRuns/{_run(airflow, message, 0)}/taskInstances/send/links"
    page = f"{stack.api_url.rstrip('/')}/tickets/{ticket}"
    eventually("its task leads to the ticket", lambda: airflow.get(links)["extra_links"] == {"Ticket": page})


def test_a_transient_failure_is_tried_again_by_airflow(api: httpx.Client, desk: Desk) -> None:
    desk.submission.answer = "451 4.3.0 later"
    ticket = desk.ticket()
    message = api.post(f"/v1/tickets/{ticket}/replies", json={"body_text": "Patience."}).json()["message_id"]
    eventually("the first try failed", lambda: (desk.row(message)["send_error"] or "").count("451"))
    desk.submission.answer = ""
    eventually("the next try sent it", lambda: desk.row(message)["send_status"] == "sent")
    assert len(desk.taken) == 1


def test_a_permanent_refusal_fails_at_once_and_a_retry_is_a_run_of_its_own(
    api: httpx.Client, desk: Desk, airflow: Airflow
) -> None:
    desk.submission.answer = "550 5.7.1 no"
    ticket = desk.ticket()
    message = api.post(f"/v1/tickets/{ticket}/replies", json={"body_text": "Try."}).json()["message_id"]
    eventually("it failed", lambda: desk.row(message)["send_status"] == "failed")
    run = f"/dags/send_message/dagRuns/{_run(airflow, message, 0)}"
    eventually("its run failed at the first try", lambda: airflow.get(run)["state"] == "failed")
    desk.submission.answer = ""
    assert api.post(f"/v1/messages/{message}/retry").status_code == 202
    eventually("the retry sent it", lambda: desk.row(message)["send_status"] == "sent")
    assert airflow.get(f"/dags/send_message/dagRuns/{_run(airflow, message, 1)}")["conf"]["attempt"] == 1
