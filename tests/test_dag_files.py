"""What DAG files cost to parse, and what they say when the database is away."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.sdk import DAG
from structlog.testing import capture_logs

from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops_airflow.inbox_dag import inbox_dag
from inboxops_airflow.roster import Seat, roster
from inboxops_local.stack.airflow import POOLS

ROOT = Path(__file__).parents[1]
ADAPTERS = (
    "imapclient",
    "boto3",
    "botocore",
    "googleapiclient",
    "msal",
    "mailparser",
    "fastapi",
    "redis",
    "inboxops.composition.world",
)
DAGS = sorted(path.name for path in (ROOT / "dags").glob("*.py"))


SCRIPT = """
import json, os, runpy, sys
from airflow.sdk import DAG
before = set(sys.modules)
for path in sys.argv[1:]:
    if os.fork() == 0:
        made = runpy.run_path(path)
        dags = sorted(d.dag_id for d in made.values() if isinstance(d, DAG))
        print(json.dumps({"file": os.path.basename(path), "dags": dags, "modules": sorted(set(sys.modules) - before)}), flush=True)
        os._exit(0)
    if os.wait()[1]:
        sys.exit(path)
"""


def parse(*names: str, folder: Path) -> dict[str, dict[str, list[str]]]:
    """By file: the DAG ids that it makes and the modules that it loads beyond those of `airflow.sdk` itself, each for itself.

    They are not to reach a database.
    """
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW_CONN_INBOXOPS_DB": "postgresql://nobody@127.0.0.1:1/nothing",
    }
    paths = [ROOT / "dags" / name for name in names]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *paths], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {one["file"]: one for one in said}


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[str]]]:
    return parse(*DAGS, folder=tmp_path_factory.mktemp("airflow"))


@pytest.mark.parametrize("name", DAGS)
def test_parsing_loads_no_adapter(name: str, parsed: dict[str, dict[str, list[str]]]) -> None:
    modules = parsed[name]["modules"]
    assert modules
    loaded = [m for m in modules if any(m == adapter or m.startswith(f"{adapter}.") for adapter in ADAPTERS)]
    assert not loaded


def test_everything_but_the_pulse_is_in_a_pool_and_so_leaves_it_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three slow fetches, two slow sends and an hour of housekeeping once kept it from beating."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_INBOXOPS_DB", "postgresql://nobody@127.0.0.1:1/nothing")
    (tmp_path / "inboxops_roster.json").write_text("[]")
    made: list[DAG] = []
    for name in DAGS:
        made += [one for one in runpy.run_path(str(ROOT / "dags" / name)).values() if isinstance(one, DAG)]
    seat = Seat(7, "inbox_7__acme__support", "acme", "imap", live=True)
    tasks = [(dag.dag_id, task) for dag in [*made, inbox_dag(seat)] for task in dag.tasks]
    assert {dag for dag, task in tasks if task.pool not in POOLS} == {"pulse", "pulse_triggerer"}, (
        "the latter uses no worker"
    )
    long = {dag for dag, task in tasks if task.pool == "maintenance" and task.execution_timeout > timedelta(minutes=10)}
    at_once = sum(min(dag.max_active_tasks, dag.max_active_runs) for dag in made if dag.dag_id in long)
    assert at_once < POOLS["maintenance"][0], "the drain waits for none of them"


WEIGHTS = """
import json, runpy, sys
from datetime import UTC, datetime, timedelta
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from airflow.settings import task_instance_mutation_hook
from inboxops_airflow.inbox_dag import inbox_dag
from inboxops_airflow.roster import Seat

def weights(dag, kind, due):
    run = DagRun(dag.dag_id, run_id="one", run_type=kind, run_after=due)
    made = {}
    for task in DagSerialization.from_dict(DagSerialization.to_dict(dag)).tasks:
        if task.pool == "inbox":
            instance = TaskInstance(task, run_id=run.run_id, dag_version_id=None)
            task_instance_mutation_hook(instance, dag_run=run)
            made[task.task_id] = instance.priority_weight
    return made

noon = datetime(2090, 1, 1, 12, tzinfo=UTC)
ten_seconds = timedelta(seconds=10)
first, second = (inbox_dag(Seat(n, f"inbox_{n}__acme__support", "acme", "imap", live=True)) for n in (1, 2))
of = {
    "woken second": weights(first, "asset_triggered", noon),
    "woken first": weights(second, "asset_triggered", noon - ten_seconds),
    "due third": weights(first, "scheduled", noon + ten_seconds),
}
for path in sys.argv[1:]:
    for dag in runpy.run_path(path).values():
        if isinstance(dag, DAG):
            of[dag.dag_id] = weights(dag, "manual", noon)
print(json.dumps(of))
"""


def test_in_the_pool_what_is_begun_ends_first_then_who_came_first_begins_and_what_can_wait_comes_last(
    tmp_path: Path,
) -> None:
    """By the weights as Airflow's scheduler has them, of DAGs as it reads them."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    }
    sharing = [ROOT / "dags" / name for name in ("certify.py", "replay_mail.py")]
    done = subprocess.run(
        [sys.executable, "-c", WEIGHTS, *sharing], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    of = json.loads(done.stdout.splitlines()[-1])
    order = [
        {of[run]["persist"] for run in ("woken first", "woken second", "due third")},
        {of[run]["classify"] for run in ("woken first", "woken second", "due third")},
        {of["woken first"]["fetch"]},
        {of["woken second"]["fetch"]},
        {of["due third"]["fetch"]},
        {of["certify"]["certify"], of["replay_mail"]["replay"]},
    ]
    assert all(len(weights) == 1 for weights in order)
    flat = [next(iter(weights)) for weights in order]
    assert flat == sorted(set(flat), reverse=True)
    assert min(flat) > -(2**31), "PostgreSQL negates it"


def test_when_the_database_is_away_the_dags_do_not_vanish(tmp_path: Path) -> None:
    known = {
        "inbox_id": 7,
        "dag_id": "inbox_7__acme__support",
        "tenant": "acme",
        "connection_type": "imap",
        "live": True,
    }
    (tmp_path / "inboxops_roster.json").write_text(json.dumps([known]))
    found = parse("inboxes.py", folder=tmp_path)["inboxes.py"]
    assert found["dags"] == ["drain_outbox", "inbox_7__acme__support"]


def test_the_list_of_inboxes_is_read_by_a_connection_as_safe_as_that_of_the_tasks(
    services: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server here speaks no TLS: where the connection wants it, nothing is sent, and the last list stands in."""
    known = {
        "inbox_id": 7,
        "dag_id": "inbox_7__acme__support",
        "tenant": "acme",
        "connection_type": "imap",
        "live": True,
    }
    (tmp_path / "inboxops_roster.json").write_text(json.dumps([known]))
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_INBOXOPS_DB", f"{services.database_url.get_secret_value()}?sslmode=verify-full")
    with capture_logs() as said:
        assert [seat.inbox_id for seat in roster()] == [7]
    (line,) = said
    assert (line["event"], line["log_level"]) == ("list_of_inboxes_not_read", "warning")
    assert "SSL" in line["why"]
    monkeypatch.setenv("AIRFLOW_CONN_INBOXOPS_DB", services.database_url.get_secret_value())
    assert "inbox_7__acme__support" not in {seat.dag_id for seat in roster()}, "this one is the database's"


def test_a_list_that_can_not_be_kept_is_the_list_all_the_same(
    world: World, tenant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk of AIRFLOW_HOME is full or may only be read: no DAG vanishes for that."""
    inbox_id = world.inboxes.add(
        tenant_id=world.inboxes.tenant_id(tenant), name="support", email_address="support@kept.example", display_name="",
        connection_type="imap", connection={}, credentials=world.vault.seal({}), first_sync_days=7, first_sync_messages=500,
    )  # fmt: skip
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "not there"))
    monkeypatch.setenv("AIRFLOW_CONN_INBOXOPS_DB", world.settings.database_url.get_secret_value())
    with capture_logs() as said:
        assert inbox_id in {seat.inbox_id for seat in roster()}
    assert [(line["event"], line["log_level"]) for line in said] == [("list_of_inboxes_not_kept", "warning")]


def test_every_inbox_that_is_held_in_idle_is_watched(world: World) -> None:
    """Else its arrivals would reach nobody, while it is polled seldom because it is held."""
    world.inboxes.add_tenant("watched", "Watched")
    tenant_id = world.inboxes.tenant_id("watched")

    def add(name: str, kind: str, *, was_read: bool) -> int:
        id_ = world.inboxes.add(
            tenant_id=tenant_id, name=name, email_address=f"{name}@watched.example", display_name="", connection_type=kind,
            connection={}, credentials=world.vault.seal({}), first_sync_days=7, first_sync_messages=500,
        )  # fmt: skip
        assert id_ is not None
        if was_read:
            with world.database.transaction() as t:
                t.connection.execute(
                    "UPDATE inboxes SET imap_last_uid = 1, imap_uid_validity = 1 WHERE id = %s", (id_,)
                )
        return id_

    def watched(limit: int) -> set[int]:
        with world.database.transaction() as t:
            return {row["id"] for row in t.rows("roster", idle_inboxes=limit, cell="main") if row["watched"]}

    before = len(watched(100_000))
    unread = add("unread", "imap", was_read=False)
    add("cloud", "gmail", was_read=False)
    read, beyond = add("read", "imap", was_read=True), add("beyond", "imap", was_read=True)
    held = {row["id"] for row in world.inboxes.to_hold(cell="main", limit=before + 2)}
    assert held & {unread, read, beyond} == {read}
    assert watched(before + 2) & {unread, read, beyond} == {unread, read}
    assert held <= watched(before + 2)
    assert not watched(0)
