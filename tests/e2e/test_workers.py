"""Who runs tasks is killed while they are in the middle of it: with `make celery` the whole worker, else the task's processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from inboxops.composition import runs
from inboxops.composition.world import World
from inboxops.orchestrator.airflow import Airflow
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.processes import shown
from inboxops_local.stack import stalls
from inboxops_local.stack.record import Record
from tests.e2e.conftest import CELERY, eventually
from tests.e2e.test_inbox_dags import mailbox
from tests.sending.conftest import Desk, set_up
from tests.sending.smtpserver import SteppedSmtp
from tests.stories.conftest import Mailbox, mail

__all__ = ["mailbox"]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def desk(world: World, tenant: str, mail_server: MailServer) -> Iterator[Desk]:
    with set_up(world, tenant, mail_server) as desk:
        yield desk
        world.inboxes.remove(desk.box.inbox_id)


def test_there_are_as_many_of_each_as_this_shape_has(stack: object, airflow: Airflow) -> None:
    jobs = airflow.get("/jobs", is_alive=True, limit=100)["jobs"]
    kinds = [job["job_type"] for job in jobs]
    count = 2 if CELERY else 1
    assert {kind: kinds.count(kind) for kind in ("SchedulerJob", "TriggererJob")} == {
        "SchedulerJob": count,
        "TriggererJob": count,
    }


@pytest.mark.parametrize(("stage", "lock"), [("fetch", b"FOR UPDATE"), ("persist", b"FOR NO KEY UPDATE")])
def test_killed_while_it_takes_mail_in_nothing_is_lost_or_double(
    mailbox: Mailbox, world: World, stack_home: Path, airflow: Airflow, stage: str, lock: bytes
) -> None:
    """Rows of mail name the tenant's row, tickets take their numbers from it: who holds it stops the one or the other."""
    mailbox.deliver(*(mail(f"Mail {number}") for number in range(5)))
    with world.database.transaction() as holding:
        holding.connection.execute(b"SELECT 1 FROM tenants WHERE id = %s " + lock, (mailbox.inbox.tenant_id,))
        runs.wake(world, mailbox.inbox_id)
        eventually(f"{stage} waits for the row", lambda: _waits_for_a_row(mailbox), seconds=120)
        workers = stalls.look(stalls.leader(stack_home / "stack.json", "scheduler"))
        assert CELERY or any(worker.begun for worker in workers.values()), "the supervisor sees that tasks begin"
        kill(stack_home, _running(airflow, mailbox.inbox.dag_id, stage))
    wanted = sorted((f"Mail {number}", 1) for number in range(5))
    eventually("every mail is one ticket", lambda: sorted(mailbox.tickets()) == wanted, seconds=120)
    assert mailbox.states() == {"persisted": 5}


def test_killed_while_it_sends_the_reply_leaves_once(
    desk: Desk, world: World, stack_home: Path, airflow: Airflow
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def at(step: str) -> bool:
        if step == "RCPT" and not reached.is_set():
            reached.set()
            go_on.wait(120)
        return True

    server = SteppedSmtp(at)
    try:
        desk.through(server.port, smtp_security="plain", smtp_auth="none")
        accepted = desk.reply(desk.ticket())
        assert reached.wait(120), "it is on its way"
        kill(stack_home, _running(airflow, "send_message", "send"))
        go_on.set()
        desk.let_lease_end(accepted.message_id)
        eventually("it is sent", lambda: desk.row(accepted.message_id)["send_status"] == "sent", seconds=240)
        assert len(server.taken) == 1
    finally:
        server.stop()


def _waits_for_a_row(mailbox: Mailbox) -> bool:
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with mailbox.world.database.transaction() as t:
        return t.connection.execute(query.encode()).fetchone() is not None


def _running(airflow: Airflow, dag: str, task: str) -> str:
    """The id of the task's instance that is under way, which the titles of its processes name."""
    found = airflow.get(f"/dags/{dag}/dagRuns/~/taskInstances", state="running", limit=100)["task_instances"]
    (one,) = [instance["id"] for instance in found if instance["task_id"] == task]
    return str(one)


def kill(home: Path, instance: str) -> None:
    """SIGKILL to who runs this task and to the task itself; of Celery, to the whole worker."""
    record = Record.read(home / "stack.json")
    assert record is not None
    tree = psutil.Process(record.supervisor.pid).children(recursive=True)
    doomed = [process for process in tree if instance in shown(process)]
    assert doomed, f"no process names {instance}"
    leaders = {part.process.pid for name, part in record.parts.items() if name.startswith("worker") and part.process}
    for process in list(doomed):
        doomed += [parent for parent in process.parents() if parent.pid in leaders]
    for process in doomed:
        with suppress(psutil.NoSuchProcess):  # what ended meanwhile needs no signal
            for one in (process, *process.children(recursive=True)):
                one.kill()


def test_the_log_of_a_task_is_shown_wherever_it_ran(
    mailbox: Mailbox,
    world: World,
    stack_home: Path,
    airflow: Airflow,
    airflow_runs: Callable[[str], list[dict[str, object]]],
) -> None:
    """With workers on several hosts it lies in the bucket for logs, and on no disk."""
    mailbox.deliver(mail("Told"))
    dag = mailbox.inbox.dag_id
    runs.wake(world, mailbox.inbox_id)
    eventually("it is a ticket", mailbox.tickets)

    def told() -> bool:
        for run in airflow_runs(dag):
            path = f"/dags/{dag}/dagRuns/{quote(str(run['dag_run_id']))}/taskInstances/persist/logs/1"
            if "filed" in str(airflow.get(path)):
                return True
        return False

    eventually("its log says what became of the mail", told)
    written = [path for path in (stack_home / "airflow" / "logs").rglob("*task_id=persist/*") if dag in str(path)]
    assert bool(written) is not CELERY
