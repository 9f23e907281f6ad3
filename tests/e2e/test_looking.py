"""Inboxes that are looked at without a run, by the real triggerer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from inboxops.composition.world import World
from inboxops.orchestrator.airflow import Airflow
from inboxops.settings import Settings
from inboxops_lab.testing.mailserver import MailServer
from inboxops_local.stack.record import Record
from inboxops_local.stack.testing import running
from tests.e2e.conftest import CELERY, eventually
from tests.e2e.test_console import Console, operator
from tests.e2e.test_inbox_dags import mailbox
from tests.stories.conftest import Mailbox, connect, mail

__all__ = ["mailbox", "operator"]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def stack_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("looking") / "home"


@pytest.fixture(scope="module")
def stack(stack_home: Path) -> Iterator[Settings]:
    """Nothing else tells of mail: no IDLE, and one run by the clock in six hours."""
    looking = {"INBOXOPS_LOOK_MINUTES": "1", "INBOXOPS_LOOK_RUN_MINUTES": "360", "INBOXOPS_IDLE_INBOXES": "0"}
    options = ["--celery"] if CELERY else []
    with running(stack_home, *options, environment={**os.environ, **looking}, seconds=600) as settings:
        yield settings


def looked_at(world: World, inbox_id: int) -> datetime | None:
    last = world.looks.last(inbox_id)
    return last["looked_at"] if last else None


def test_mail_that_a_look_finds_becomes_a_ticket_and_looks_that_find_none_make_no_run(
    mailbox: Mailbox, world: World, airflow_runs: Callable[[str], list[dict[str, object]]], operator: Console
) -> None:
    dag = mailbox.inbox.dag_id
    eventually("it is looked at", lambda: looked_at(world, mailbox.inbox_id), seconds=180)

    def looked_at_without_a_run() -> bool:
        """What its making woke may begin after the first look, with a busy scheduler."""
        runs, before = airflow_runs(dag), datetime.now(UTC)
        eventually(
            "it is looked at again", lambda: (looked_at(world, mailbox.inbox_id) or before) > before, seconds=180
        )
        return airflow_runs(dag) == runs and all(run["end_date"] for run in runs)

    eventually("it is looked at, and no run begins", looked_at_without_a_run, seconds=360)
    mailbox.deliver(mail("Found by a look"))
    eventually("the mail is a ticket", lambda: mailbox.tickets() == [("Found by a look", 1)], seconds=180)
    assert airflow_runs(dag)[0]["run_type"] == "asset_triggered"
    assert "Last look" in operator.http.get("inbox", params={"dag_id": dag}).text
    assert "are looked at in time" in operator.http.get("inboxes").text


def test_all_triggerers_that_there_are_share_the_inboxes(world: World, tenant: str, mail_server: MailServer) -> None:
    boxes = [connect(world, tenant, mail_server, f"shared-{number}") for number in range(40)]

    def lookers() -> set[str]:
        with world.database.transaction() as t:
            rows = t.connection.execute(b"SELECT inbox_id, looked_by FROM inbox_looks").fetchall()
        found = {row["inbox_id"]: row["looked_by"] for row in rows}
        return {found[box.inbox_id] or "" for box in boxes} if {box.inbox_id for box in boxes} <= found.keys() else {""}

    eventually("all are looked at", lambda: "" not in lookers(), seconds=180)
    assert len(lookers()) == (2 if CELERY else 1)
    for box in boxes:
        world.inboxes.remove(box.inbox_id)


def test_when_the_triggerer_is_killed_looks_go_on(mailbox: Mailbox, world: World, stack_home: Path) -> None:
    eventually("it is looked at", lambda: looked_at(world, mailbox.inbox_id), seconds=180)
    record = Record.read(stack_home / "stack.json")
    assert record is not None
    process = record.parts["triggerer"].process
    assert process is not None
    for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        each.kill()
    killed = datetime.now(UTC)
    eventually("it is looked at again", lambda: (looked_at(world, mailbox.inbox_id) or killed) > killed, seconds=300)


def test_a_run_says_that_looks_are_in_time(mailbox: Mailbox, airflow: Airflow) -> None:
    airflow.start("looks", "asked-by-a-test")
    eventually(
        "its run ended", lambda: airflow.get("/dags/looks/dagRuns/asked-by-a-test")["state"] == "success", seconds=180
    )
