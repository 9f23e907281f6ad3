"""What is killed in the running stack: mail goes on by itself, and what was restarted says why."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from inboxops.composition import runs, upkeep
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


HANG = ["nursery", "postgres", "redis", "s3", "api", "airflow-api", "mail", "triggerer", "dag-processor"]


@pytest.mark.timeout(600)
def test_parts_that_hang_are_started_anew_and_say_so(mailbox: Mailbox, stack_home: Path) -> None:
    """All at once: each is asked by itself, and the heartbeats of Airflow's components once its API tells them again."""
    before = {part: record(stack_home).parts[part].restarts for part in HANG}
    for part in HANG:
        os.kill(leader(stack_home, part), signal.SIGSTOP)

    said = set()

    def is_back(part: str) -> bool:
        parts = record(stack_home).parts
        said.update(name for name in HANG if "hangs: " in parts[name].why)
        return parts[part].restarts > before[part] and parts[part].state == "ready"

    for part in HANG:
        eventually(f"{part} is there again", partial(is_back, part), seconds=300)
    assert said == set(HANG)
    becomes_a_ticket(mailbox, "after all of them hung", seconds=90)


@pytest.mark.skipif(CELERY, reason="LocalExecutor's; make test kills its workers")
def test_workers_that_are_killed_while_they_wait_keep_no_task_from_the_others(
    mailbox: Mailbox, stack_home: Path
) -> None:
    """In Airflow's own queue one of them waits holding a lock: killed there, no other worker gets any task, new ones neither."""
    scheduler = psutil.Process(leader(stack_home, "scheduler"))

    def idle() -> list[psutil.Process]:
        return [child for child in scheduler.children() if IDLE_WORKER in shown(child)]

    for worker in eventually("a worker is idle", idle):
        worker.kill()
    becomes_a_ticket(mailbox, "behind the killed", seconds=60)


@pytest.mark.skipif(CELERY, reason="of two triggerers the other one goes on")
def test_a_triggerer_that_hangs_is_named_and_started_anew(mailbox: Mailbox, stack_home: Path) -> None:
    """Its supervisor's heart beats on while no poll by the clock begins, and IDLE hears nothing."""
    triggered = "SELECT triggered_at FROM pulse WHERE triggered_at > now() - interval '60 seconds'"
    eventually("triggers run", lambda: mailbox.query(triggered), seconds=150)
    hung = leader(stack_home, "triggerer")
    runner = psutil.Process(hung).children()
    assert runner
    for process in runner:
        process.suspend()
    eventually("it is named", lambda: upkeep.pulse_state(mailbox.world).triggerer_late, seconds=150)
    eventually("another one runs", lambda: leader_or_none(stack_home, "triggerer") not in (None, hung), seconds=120)
    eventually("triggers run again", lambda: mailbox.query(triggered), seconds=120)


def leader_or_none(home: Path, part: str) -> int | None:
    identity = record(home).parts[part].process
    return identity.pid if identity else None
