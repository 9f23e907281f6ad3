"""What the bench compares with: three Python tasks for each inbox that run at every poll, mail or not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, CronTriggerTimetable

from inboxops_airflow.inbox_dag import EVERY_MINUTES
from inboxops_airflow.roster import roster


def stage(name: str, inbox_id: int) -> Any:
    from inboxops_airflow.connections import world

    return str(getattr(world(), name)(inbox_id))


for seat in roster():
    with DAG(
        dag_id=seat.dag_id,
        schedule=CronTriggerTimetable(f"{seat.inbox_id % EVERY_MINUTES}-59/{EVERY_MINUTES} * * * *", timezone="UTC"),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        default_args={"pool": "inbox"},
    ) as dag:
        fetch, classify, persist = (
            PythonOperator(task_id=name, python_callable=stage, op_args=[name, seat.inbox_id])
            for name in ("fetch", "classify", "persist")
        )
        fetch >> classify >> persist
    globals()[seat.dag_id] = dag

with DAG(dag_id="drain_outbox", schedule=None):  # by which the file is named when it is to be read again
    PythonOperator(task_id="drain_outbox", python_callable=print)
