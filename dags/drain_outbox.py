"""Every minute: whatever a crash, or a Redis or Airflow that was away, left unpublished, unwoken or unfiled."""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from inboxops_airflow.inbox_dag import EPOCH
from inboxops_airflow.operators import DrainOutbox

with DAG(
    dag_id="drain_outbox",
    schedule=CronTriggerTimetable("* * * * *", timezone="UTC"),
    start_date=EPOCH,
    catchup=False,
    max_active_runs=1,
    tags=["maintenance"],
    doc_md=__doc__,
) as dag:
    DrainOutbox(task_id="drain_outbox", execution_timeout=timedelta(minutes=10))
