"""A mailbox becomes tickets through the real scheduler, triggerer and workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from inboxops.composition import runs
from inboxops.composition.world import World
from inboxops.errors import TransientError
from inboxops.orchestrator.airflow import Airflow
from inboxops.settings import Settings
from inboxops.stories.classify import FEW
from inboxops.stories.persist import SLICE
from inboxops_lab.testing.mailserver import MailServer
from inboxops_local.stack.home import GENERATED, read_env
from inboxops_local.stack.record import Record
from tests.e2e.conftest import eventually
from tests.stories.conftest import Mailbox, connect, mail
from tests.stories.test_stages import FILES, TWO_FILES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
Runs = Callable[[str], list[dict[str, object]]]


@pytest.fixture
def mailbox(world: World, tenant: str, mail_server: MailServer) -> Iterator[Mailbox]:
    """A connected inbox whose DAG Airflow knows."""
    box = connect(world, tenant, mail_server)
    eventually("Airflow is asked to read the list of inboxes", lambda: runs.show_inboxes(world))
    eventually("Airflow parses the file of the inboxes again", lambda: _known(world, box), seconds=60)
    yield box
    world.inboxes.remove(box.inbox_id)


def _known(world: World, box: Mailbox) -> bool:
    """An inbox that is added appears without a restart within a minute."""
    try:
        world.airflow.wake(box.inbox_id)
    except TransientError:
        return False
    return True


def test_a_mail_becomes_a_ticket_with_its_attachment_when_the_inbox_is_woken(mailbox: Mailbox, world: World) -> None:
    mailbox.deliver(mail("Two files", body=TWO_FILES, more=FILES))
    runs.wake(world, mailbox.inbox_id)
    eventually("the mail is a ticket", lambda: mailbox.tickets() == [("Two files", 1)])
    keys = mailbox.query(
        "SELECT storage_key FROM attachments a JOIN messages m ON m.id = a.message_id WHERE m.inbox_id = %s",
        mailbox.inbox_id,
    )
    assert [world.objects.get(str(key)).strip() for (key,) in keys] == [b"a,b", b"c,d"]


def test_a_backlog_goes_through_a_worker_that_reads_it_with_processes_of_its_own(
    mailbox: Mailbox, world: World, airflow: Airflow, airflow_runs: Runs
) -> None:
    """And files it there meanwhile: what both tasks say they filed is all of it."""
    count = 2 * SLICE + FEW
    mailbox.deliver(*(mail(f"File {number}", body=TWO_FILES, more=FILES) for number in range(count)))
    runs.wake(world, mailbox.inbox_id)
    eventually("all mail is filed", lambda: mailbox.states() == {"persisted": count}, seconds=120)
    files = "SELECT count(*) FROM attachments a JOIN messages m ON m.id = a.message_id WHERE m.inbox_id = %s"
    assert mailbox.query(files, mailbox.inbox_id) == [(2 * count,)]
    dag = mailbox.inbox.dag_id
    eventually("its runs ended", lambda: all(run["state"] == "success" for run in airflow_runs(dag)))
    filed = sum(counts["outcomes"]["persisted"] for counts in _filed(airflow, dag) if counts["outcomes"])
    assert filed == count


def _filed(airflow: Airflow, dag: str) -> Iterator[dict[str, Any]]:
    """What the tasks of its runs say that they filed."""
    tasks = f"/dags/{dag}/dagRuns/~/taskInstances/~/xcomEntries"
    for entry in airflow.get(tasks, xcom_key="return_value", limit=100)["xcom_entries"]:
        run, task = quote(entry["run_id"]), entry["task_id"]
        value = airflow.get(f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value")["value"]
        if task in ("classify", "persist"):
            yield value["filed_beside"] if task == "classify" else value


def test_an_empty_poll_ends_in_the_triggerer(
    mailbox: Mailbox, world: World, airflow: Airflow, airflow_runs: Runs
) -> None:
    dag = mailbox.inbox.dag_id
    mailbox.deliver(mail("First"))
    runs.wake(world, mailbox.inbox_id)
    eventually("the first mail is a ticket", mailbox.tickets)
    eventually("all runs ended", lambda: all(run["state"] == "success" for run in airflow_runs(dag)))
    count = len(airflow_runs(dag))
    runs.wake(world, mailbox.inbox_id)
    eventually(
        "one more run ended", lambda: len(airflow_runs(dag)) > count and airflow_runs(dag)[0]["state"] == "success"
    )
    run = airflow_runs(dag)[0]["dag_run_id"]
    tasks = airflow.get(f"/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
    assert {task["task_id"]: task["state"] for task in tasks} == dict.fromkeys(
        ("fetch", "classify", "persist"), "skipped"
    )


def test_a_wrong_password_fails_the_run_and_disconnects_the_inbox_once(
    mailbox: Mailbox, world: World, airflow: Airflow, airflow_runs: Runs
) -> None:
    mailbox.server.add_user(mailbox.user, "changed")
    runs.wake(world, mailbox.inbox_id)
    eventually("the inbox is disconnected", lambda: mailbox.inbox.state == "disconnected")
    # Not the newest: another may have waited behind it, and a disconnected inbox is skipped.
    eventually("the run failed", lambda: any(run["state"] == "failed" for run in airflow_runs(mailbox.inbox.dag_id)))


def test_a_paused_inbox_keeps_its_dag_and_loses_its_schedule(mailbox: Mailbox, world: World, airflow: Airflow) -> None:
    world.inboxes.pause(mailbox.inbox_id, paused=True)
    eventually("Airflow is asked to read the list of inboxes", lambda: runs.show_inboxes(world))
    eventually(
        "Airflow sees that it has no schedule",
        lambda: airflow.get(f"/dags/{mailbox.inbox.dag_id}")["timetable_summary"] is None,
    )


def test_no_secret_is_anywhere_airflow_keeps_things(
    mailbox: Mailbox, world: World, stack: Settings, stack_home: Path
) -> None:
    """Not in serialised DAGs, XCom, rendered fields, arguments of tasks and programs, connections, triggers, or any log."""
    mailbox.deliver(mail("One"))
    runs.wake(world, mailbox.inbox_id)
    eventually("the mail is a ticket", mailbox.tickets)
    kept = read_env(stack_home / "inboxops.env")
    secrets = ["secret password", *(kept[name] for name in GENERATED if name != "INBOXOPS_S3_ACCESS_KEY")]
    assert all(len(secret) >= 15 for secret in secrets)
    dsn = make_conninfo(
        host="127.0.0.1",
        port=psycopg.conninfo.conninfo_to_dict(stack.database_url.get_secret_value())["port"],
        user="airflow",
        password=kept["STACK_AIRFLOW_DATABASE_PASSWORD"],
        dbname="airflow",
    )
    with psycopg.connect(dsn) as connection:
        tables = [name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        assert {"serialized_dag", "xcom", "trigger", "log", "rendered_task_instance_fields"} <= set(tables)
        assert connection.execute("SELECT count(*) FROM connection").fetchone() == (0,), (
            "Airflow shows connections it keeps"
        )
        for table in tables:
            for secret in secrets:
                found = connection.execute(
                    f'SELECT count(*) FROM "{table}" AS t WHERE t::text LIKE %s'.encode(), (f"%{secret}%",)
                )
                assert found.fetchone() == (0,), f"a secret stands in {table}"
    logs = [path for path in stack_home.rglob("*.log") if path.is_file()]
    assert logs
    for path in logs:
        text = path.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), f"a secret stands in {path.name}"
    with psycopg.connect(stack.owner_dsn) as connection:
        ours = [name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        for table in ours:
            for secret in secrets:
                found = connection.execute(
                    f'SELECT count(*) FROM "{table}" AS t WHERE t::text LIKE %s'.encode(), (f"%{secret}%",)
                )
                assert found.fetchone() == (0,), f"a secret stands in our {table}"
    record = Record.read(stack_home / "stack.json")
    assert record is not None
    for process in psutil.Process(record.supervisor.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            said = " ".join(process.cmdline())
            assert not any(secret in said for secret in secrets), f"a secret is an argument of {process.name()}"


def test_what_holds_secrets_is_its_owners_alone(stack: Settings, stack_home: Path) -> None:
    holders = [stack_home, *(path for path in stack_home.rglob("*") if path.is_file() and not path.is_symlink())]
    secrets = [value.encode() for name, value in read_env(stack_home / "inboxops.env").items() if name in GENERATED]
    checked = 0
    for path in holders:
        if "postgres" in path.relative_to(stack_home).parts or path.suffix == ".log":
            continue
        if path.is_dir() or any(secret in path.read_bytes() for secret in secrets):
            checked += 1
            assert path.stat().st_mode & 0o077 == 0, path
    assert checked >= 3, "the folder, inboxops.env, Airflow's passwords"
