"""The nightly clean-up in the real Airflow."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import psycopg
import pytest

from inboxops.orchestrator.airflow import Airflow
from inboxops.settings import Settings
from inboxops_local.stack.home import read_env
from tests.e2e.conftest import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_old_runs_leave_airflows_database_and_fresh_ones_stay(
    airflow: Airflow, stack: Settings, stack_home: Path
) -> None:
    password = read_env(stack_home / "inboxops.env")["STACK_AIRFLOW_DATABASE_PASSWORD"]
    port = psycopg.conninfo.conninfo_to_dict(stack.database_url.get_secret_value())["port"]
    metadata = f"postgresql://airflow:{password}@127.0.0.1:{port}/airflow"

    def runs() -> set[str]:
        return {run["dag_run_id"] for run in airflow.get("/dags/drain_outbox/dagRuns", limit=100)["dag_runs"]}

    old, fresh = (f"test-{uuid.uuid4().hex}" for _ in range(2))
    for run in (old, fresh):
        eventually("Airflow knows the DAG", lambda run=run: airflow.start("drain_outbox", run) or run in runs())
        eventually("it ended", lambda run=run: state(airflow, "drain_outbox", run) == "success")
    with psycopg.connect(metadata) as connection:
        connection.execute(
            "UPDATE dag_run SET start_date = start_date - interval '9 days', run_after = run_after - interval '9 days'"
            " WHERE run_id = %s",
            (old,),
        )
    log = stack_home / "airflow" / "logs" / "dag_id=gone" / "attempt=1.log"
    log.parent.mkdir(parents=True)
    log.touch()
    os.utime(log, (0, 0))
    clean_up = f"test-{uuid.uuid4().hex}"
    assert airflow.start("housekeeping", clean_up)
    eventually(
        "housekeeping ended", lambda: state(airflow, "housekeeping", clean_up) in {"success", "failed"}, seconds=240
    )
    assert state(airflow, "housekeeping", clean_up) == "success"
    assert not runs() & {old}
    assert fresh in runs()
    assert not log.exists()


def state(airflow: Airflow, dag: str, run: str) -> str:
    return str(airflow.get(f"/dags/{dag}/dagRuns/{run}")["state"])
