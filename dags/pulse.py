"""Once a minute something goes the whole way of a mail: scheduler, executor, task, database, object store, event bus.

Whoever asks how things stand compares its time with the clock: `/readyz`, `inboxops pulse`, `inboxops doctor`, the local
supervisor.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from inboxops_airflow.inbox_dag import EPOCH
from inboxops_airflow.operators import Pulse

with DAG(
    dag_id="pulse",
    schedule=CronTriggerTimetable("* * * * *", timezone="UTC"),
    start_date=EPOCH,
    catchup=False,
    max_active_runs=1,
    tags=["maintenance"],
    doc_md=__doc__,
) as dag:
    # Ahead of whatever waits: it tells whether tasks run, not how many wait.
    Pulse(task_id="pulse", priority_weight=1000, execution_timeout=timedelta(seconds=50))
