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

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


class _PressedAgain(httpx.HTTPTransport):
    """Airflow's API and its scheduler meet in a deadlock of their tables at times, answered with a 500: a person presses again."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        return super().handle_request(request) if answer.status_code == 500 else answer


@pytest.fixture
def hands(stack: Settings, stack_home: Path) -> Iterator[httpx.Client]:
    login = {"username": ADMIN, "password": read_env(stack_home / "inboxops.env")["STACK_AIRFLOW_ADMIN_PASSWORD"]}
    token = (
        httpx.post(f"{stack.airflow_url}/auth/token", json=login, timeout=60).raise_for_status().json()["access_token"]
    )
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(
        base_url=f"{stack.airflow_url}/api/v2/dags/", headers=headers, timeout=60, transport=_PressedAgain()
    ) as client:
        yield client


def under_way(hands: httpx.Client, dag: str) -> list[str]:
    found = hands.get(f"{dag}/dagRuns", params={"limit": 100, "state": ["queued", "running"]}).raise_for_status()
    return [run["dag_run_id"] for run in found.json()["dag_runs"]]


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
    eventually("nothing is under way", lambda: not under_way(hands, dag), seconds=120)
    assert mailbox.tickets() == wanted


STEPS = ("fetch", "classify", "persist")


def test_steps_of_a_run_are_cleared_and_marked_one_by_one_while_it_is_under_way(
    mailbox: Mailbox, world: World, hands: httpx.Client
) -> None:
    """Each step is cleared, called failed and called done at whatever moment that falls on, of this run and of one long over."""
    dag = mailbox.inbox.dag_id
    old = eventually("a run is over", lambda: of(hands, dag))[-1]
    subjects = [f"Mail {number}" for number in range(60)]
    for some in (subjects[:20], subjects[20:40], subjects[40:]):
        mailbox.deliver(*map(mail, some))
        runs.wake(world, mailbox.inbox_id)
        run = eventually("a run is under way", lambda: next(iter(under_way(hands, dag)), None))
        for step in STEPS:
            for state in ("failed", "success"):
                marked = hands.patch(f"{dag}/dagRuns/{quote(run)}/taskInstances/{step}", json={"new_state": state})
                assert marked.status_code in (200, 409), marked.text  # 409: it is in that state
            for each in (run, old):
                cleared = {
                    "dry_run": False,
                    "dag_run_id": each,
                    "task_ids": [step],
                    "only_failed": False,
                    "reset_dag_runs": True,
                }
                assert hands.post(f"{dag}/clearTaskInstances", json=cleared).status_code in (200, 409)
    runs.wake(world, mailbox.inbox_id)
    wanted = sorted((subject, 1) for subject in subjects)
    eventually("each mail is one ticket", lambda: sorted(mailbox.tickets()) == wanted, seconds=300)
    eventually("nothing is under way", lambda: not under_way(hands, dag), seconds=120)
    assert sorted(mailbox.tickets()) == wanted


def test_the_dag_of_an_inbox_is_deleted_and_comes_back_with_its_mail(
    mailbox: Mailbox, world: World, hands: httpx.Client
) -> None:
    dag = mailbox.inbox.dag_id
    mailbox.deliver(mail("While there is none"))
    eventually("it can be deleted", lambda: hands.delete(dag).status_code in (200, 204))
    runs.show_inboxes(world)
    eventually("it is back", lambda: hands.get(dag).status_code == 200, seconds=120)
    runs.wake(world, mailbox.inbox_id)
    eventually("the mail is a ticket", lambda: mailbox.tickets() == [("While there is none", 1)], seconds=120)


BY_THE_CLOCK = ("drain_outbox", "pulse", "housekeeping", "certify", "canaries")


def test_what_runs_by_the_clock_runs_twice_more_by_hand_and_again(hands: httpx.Client) -> None:
    begun = {dag: [f"hand-{uuid.uuid4().hex}" for _ in range(2)] for dag in BY_THE_CLOCK}
    for dag, names in begun.items():
        for run in names:
            assert hands.post(f"{dag}/dagRuns", json={"dag_run_id": run, "logical_date": None}).status_code == 200

    def all_over() -> bool:
        return all(set(names) <= set(of(hands, dag)) for dag, names in begun.items())

    eventually("all are over", all_over, seconds=400)
    for dag, (first, _) in begun.items():
        cleared = {"dry_run": False, "dag_run_id": first, "only_failed": False, "reset_dag_runs": True}
        assert hands.post(f"{dag}/clearTaskInstances", json=cleared).status_code == 200
    eventually("they are over again", all_over, seconds=400)
    states = {(dag, hands.get(f"{dag}/dagRuns/{run}").json()["state"]) for dag, names in begun.items() for run in names}
    assert states == {(dag, "success") for dag in BY_THE_CLOCK}


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
    attempt = f"send-{accepted.message_id}-0-"
    eventually("its run is over", lambda: any(run.startswith(attempt) for run in of(hands, "send_message")))
    [run] = [run for run in of(hands, "send_message") if run.startswith(attempt)]
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
