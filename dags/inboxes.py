"""One DAG for each connected inbox, and the drain.

The drain stands here so that Airflow knows this file before there is any inbox: who connects one has the file read again by
naming a DAG that is in it.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from inboxops_airflow.inbox_dag import EPOCH, inbox_dag
from inboxops_airflow.operators import DrainOutbox
from inboxops_airflow.roster import roster

for seat in roster():
    globals()[seat.dag_id] = inbox_dag(seat)

with DAG(
    dag_id="drain_outbox",
    schedule=CronTriggerTimetable("* * * * *", timezone="UTC"),
    start_date=EPOCH,
    catchup=False,
    max_active_runs=1,
    tags=["maintenance"],
    doc_md="Every minute: whatever a crash, or a Redis or Airflow that was away, left unpublished, unwoken, unsent or unfiled.",
) as drain:
    # Ahead of whatever else waits for the pool: replies and wakes hang on it.
    DrainOutbox(
        task_id="drain_outbox", pool="maintenance", priority_weight=100, execution_timeout=timedelta(minutes=10)
    )
