"""The Airflow account of our API and tasks: what the product needs, and nothing else."""

from __future__ import annotations

import uuid

import httpx
import pytest

from inboxops.composition import runs
from inboxops.composition.world import World
from inboxops.orchestrator.airflow import Airflow
from inboxops.settings import Settings
from tests.e2e.conftest import eventually
from tests.e2e.test_inbox_dags import mailbox
from tests.stories.conftest import Mailbox

__all__ = ["mailbox"]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

FORBIDDEN = (
    ("GET", "/dags"), ("GET", "/dags/{dag}"), ("PATCH", "/dags/{dag}"), ("DELETE", "/dags/{dag}"),
    ("GET", "/dags/{dag}/dagRuns"), ("POST", "/dags/{dag}/dagRuns"), ("POST", "/dags/housekeeping/dagRuns"),
    ("POST", "/dags/{dag}/clearTaskInstances"), ("GET", "/dags/~/dagRuns/~/taskInstances"),
    ("GET", "/dags/{dag}/dagRuns/x/taskInstances/fetch/logs/1"), ("GET", "/dagSources/{dag}"),
    ("GET", "/dags/{dag}/dagRuns/x/taskInstances/fetch/xcomEntries"), ("GET", "/connections"), ("POST", "/connections"),
    ("GET", "/variables"), ("POST", "/variables"), ("GET", "/pools"), ("PATCH", "/pools/inbox"), ("GET", "/config"),
    ("GET", "/eventLogs"), ("GET", "/importErrors"), ("GET", "/plugins"), ("GET", "/providers"), ("GET", "/jobs"),
    ("GET", "/backfills"), ("DELETE", "/assets/1/queuedEvents"),
)  # fmt: skip
"""A request of each kind that Airflow's API knows and the product does not need."""

NOTHING = {"POST": {}, "PATCH": {}}


@pytest.fixture
def service(stack: Settings) -> httpx.Client:
    login = {"username": stack.airflow_username, "password": stack.airflow_password.get_secret_value()}
    answer = httpx.post(f"{stack.airflow_url}/auth/token", json=login, timeout=60).raise_for_status()
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    return httpx.Client(base_url=stack.airflow_url, headers=headers, timeout=60)


def test_it_may_do_nothing_that_the_product_does_not_need(service: httpx.Client, mailbox: Mailbox) -> None:
    allowed = []
    for method, path in FORBIDDEN:
        answer = service.request(method, "/api/v2" + path.format(dag=mailbox.inbox.dag_id), json=NOTHING.get(method))
        lists = [value for value in answer.json().values() if isinstance(value, list)] if answer.is_success else []
        empty = method == "GET" and answer.is_success and not any(lists)  # a list of what it may see
        if answer.status_code != 403 and not empty:
            allowed.append((method, path, answer.status_code, answer.text[:200]))
    assert allowed == []


def test_the_console_shows_it_nothing(service: httpx.Client, mailbox: Mailbox) -> None:
    dag = mailbox.inbox.dag_id
    assert service.get("/inboxops/inbox", params={"dag_id": dag}).status_code == 403
    assert mailbox.inbox.email_address not in service.get("/inboxops/inboxes").text
    acts = {"X-InboxOps-Console": "1"}
    assert (
        service.post("/inboxops/act", params={"dag_id": dag}, json={"action": "pause"}, headers=acts).status_code == 403
    )
    assert mailbox.inbox.paused_at is None


def test_it_does_what_the_product_asks(world: World, mailbox: Mailbox, airflow: Airflow) -> None:
    run = f"test-{uuid.uuid4().hex}"
    assert world.airflow.start("drain_outbox", run)
    assert airflow.get(f"/dags/drain_outbox/dagRuns/{run}")["dag_run_id"] == run
    world.airflow.wake(mailbox.inbox_id)
    eventually("the list is to be read again", lambda: runs.show_inboxes(world))
    eventually("asking twice is asking once", lambda: runs.show_inboxes(world))


def test_only_who_may_start_the_drain_has_the_list_read_again(stack: Settings, service: httpx.Client) -> None:
    assert httpx.put(f"{stack.airflow_url}/inboxops-roster/drain_outbox", timeout=60).status_code == 401
    assert service.put("/inboxops-roster/housekeeping").status_code == 403
    eventually("it is taken", lambda: service.put("/inboxops-roster/drain_outbox").status_code == 201)
