"""What operators do by hand in Airflow's UI, each by the call that the UI makes: all of it harmless."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from inboxops.composition import runs
from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops_local.stack.airflow import ADMIN
from inboxops_local.stack.home import read_env
from inboxops_local.stack.layout import command
from tests.e2e.conftest import eventually
from tests.e2e.test_inbox_dags import mailbox
from tests.e2e.test_sending import desk
from tests.sending.conftest import Desk
from tests.stories.conftest import Mailbox, mail

__all__ = ["desk", "mailbox"]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def hands(stack: Settings, stack_home: Path) -> Iterator[httpx.Client]:
    login = {"username": ADMIN, "password": read_env(stack_home / "inboxops.env")["STACK_AIRFLOW_ADMIN_PASSWORD"]}
    token = (
        httpx.post(f"{stack.airflow_url}/auth/token", json=login, timeout=60).raise_for_status().json()["access_token"]
    )
    with httpx.Client(
        base_url=f"{stack.airflow_url}/api/v2/dags/", headers={"Authorization": f"Bearer {token}"}, timeout=60
    ) as client:
        yield client


def of(hands: httpx.Client, dag: str) -> list[str]:
    """The runs of a DAG that are over."""
    found = hands.get(f"{dag}/dagRuns", params={"limit": 100}).raise_for_status().json()["dag_runs"]
    return [run["dag_run_id"] for run in found if run["state"] in ("success", "failed")]


def test_runs_of_an_inbox_are_cleared_marked_and_deleted_and_no_mail_is_lost_or_double(
    mailbox: Mailbox, world: World, hands: httpx.Client
) -> None:
    dag = mailbox.inbox.dag_id
    mailbox.deliver(mail("First"), mail("Second"))
    runs.wake(world, mailbox.inbox_id)
    eventually("both are tickets", lambda: len(mailbox.tickets()) == 2)
    done = eventually("a run is over", lambda: of(hands, dag))
    for run in done:
        cleared = {"dry_run": False, "dag_run_id": run, "only_failed": False, "reset_dag_runs": True}
        assert hands.post(f"{dag}/clearTaskInstances", json=cleared).status_code == 200
    for run in done:
        assert hands.patch(f"{dag}/dagRuns/{quote(run)}", json={"state": "failed"}).status_code == 200
    for run in done:
        assert hands.delete(f"{dag}/dagRuns/{quote(run)}").status_code in (204, 409), "409: it runs again"
    mailbox.deliver(mail("Third"))
    runs.wake(world, mailbox.inbox_id)
    wanted = [("First", 1), ("Second", 1), ("Third", 1)]
    eventually("the third came, the others stayed one ticket each", lambda: mailbox.tickets() == wanted, seconds=120)


def test_twenty_runs_by_hand_and_a_fetch_beside_them(
    mailbox: Mailbox, world: World, hands: httpx.Client, stack_home: Path, stack: Settings
) -> None:
    dag = mailbox.inbox.dag_id
    mailbox.deliver(*(mail(f"Mail {number}") for number in range(30)))
    for _ in range(20):
        run = {"dag_run_id": f"hand-{uuid.uuid4().hex}", "logical_date": None, "conf": {"anything": [1, 2]}}
        assert hands.post(f"{dag}/dagRuns", json=run).status_code == 200
    environment = {**os.environ, "INBOXOPS_HOME": str(stack_home)}
    beside = subprocess.run(
        command("inbox", "fetch", mailbox.inbox.name, "--tenant", mailbox.inbox.tenant, "--here"),
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert beside.returncode == 0, beside.stderr
    wanted = sorted((f"Mail {number}", 1) for number in range(30))
    eventually("each mail is one ticket", lambda: sorted(mailbox.tickets()) == wanted, seconds=180)
    eventually("all runs are over", lambda: sum(run.startswith("hand-") for run in of(hands, dag)) == 20, seconds=400)
    assert sorted(mailbox.tickets()) == wanted
    assert mailbox.states() == {"persisted": 30}


def test_a_send_that_is_over_is_cleared_and_started_again_and_nothing_leaves_twice(
    desk: Desk, hands: httpx.Client
) -> None:
    accepted = desk.reply(desk.ticket())
    eventually("it is sent", lambda: desk.row(accepted.message_id)["send_status"] == "sent")
    run = f"send-{accepted.message_id}-0"
    eventually("its run is over", lambda: run in of(hands, "send_message"))
    cleared = {"dry_run": False, "dag_run_id": run, "only_failed": False, "reset_dag_runs": True}
    assert hands.post("send_message/clearTaskInstances", json=cleared).status_code == 200
    again = {
        "dag_run_id": f"hand-{run}",
        "logical_date": None,
        "conf": {"message_id": accepted.message_id, "attempt": 0},
    }
    assert hands.post("send_message/dagRuns", json=again).status_code == 200
    eventually("both are over", lambda: {run, f"hand-{run}"} <= set(of(hands, "send_message")), seconds=120)
    assert hands.delete(f"send_message/dagRuns/{run}").status_code == 204
    assert len(desk.taken) == 1
