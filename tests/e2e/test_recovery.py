"""What is killed in the running stack: mail goes on by itself, and what was restarted says why."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from inboxops.composition import runs
from inboxops.composition.world import World
from inboxops.orchestrator.airflow import Airflow
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.processes import shown
from inboxops_local.stack.record import Record
from tests.e2e.conftest import CELERY, eventually
from tests.stories.conftest import Mailbox, connect, mail

IDLE_WORKER = "LocalExecutor: <idle>"


@pytest.fixture
def mailbox(world: World, tenant: str, mail_server: MailServer, airflow: Airflow) -> Iterator[Mailbox]:
    box = connect(world, tenant, mail_server)
    runs.show_inboxes(world)
    eventually("Airflow knows the inbox", lambda: knows(airflow, box), seconds=120)
    yield box
    world.inboxes.remove(box.inbox_id)


def knows(airflow: Airflow, box: Mailbox) -> bool:
    found = airflow.get("/dags", dag_id_pattern=box.inbox.dag_id)["dags"]
    return any(dag["dag_id"] == box.inbox.dag_id for dag in found)


def record(home: Path) -> Record:
    found = Record.read(home / "stack.json")
    assert found is not None
    return found


def leader(home: Path, part: str) -> int:
    identity = record(home).parts[part].process
    assert identity is not None
    return identity.pid


def becomes_a_ticket(box: Mailbox, subject: str, *, seconds: float) -> None:
    """A mail that came meanwhile is filed, woken as push or IDLE would, or by the clock."""
    box.deliver(mail(subject))
    runs.wake(box.world, box.inbox_id)
    eventually(f"{subject!r} is filed", lambda: (subject, 1) in box.tickets(), seconds=seconds)


PARTS = ["nursery", "scheduler", "triggerer", "postgres", "airflow-api", *(["worker", "redis"] if CELERY else [])]


@pytest.mark.parametrize("part", PARTS)
def test_after_a_part_was_killed_mail_is_filed_within_a_minute(mailbox: Mailbox, stack_home: Path, part: str) -> None:
    restarts = record(stack_home).parts[part].restarts
    os.kill(leader(stack_home, part), signal.SIGKILL)
    eventually(f"{part} is started again", lambda: record(stack_home).parts[part].restarts > restarts, seconds=60)
    eventually(f"{part} is ready", lambda: record(stack_home).parts[part].state == "ready", seconds=60)
    becomes_a_ticket(mailbox, f"after {part}", seconds=60)


@pytest.mark.skipif(CELERY, reason="LocalExecutor alone has such a lock; make test kills its workers")
def test_an_executor_that_hands_out_no_tasks_is_seen_by_the_pulse_and_started_anew(
    mailbox: Mailbox, stack_home: Path
) -> None:
    """An idle worker of LocalExecutor waits for tasks holding a lock: killed there, no other worker gets any, new ones neither."""
    scheduler = leader(stack_home, "scheduler")
    idle = [child for child in psutil.Process(scheduler).children() if IDLE_WORKER in shown(child)]
    assert idle
    for worker in idle:
        worker.kill()
    mailbox.deliver(mail("while it stood still"))
    runs.wake(mailbox.world, mailbox.inbox_id)
    eventually("the mail is filed", lambda: ("while it stood still", 1) in mailbox.tickets(), seconds=240)
    entry = record(stack_home).parts["scheduler"]
    assert entry.process is None or entry.process.pid != scheduler or entry.restarts == 0, (
        "it never stalled, or was replaced"
    )
