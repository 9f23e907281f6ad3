"""Every night: what is past its retention, objects that no row names, and Airflow's old runs and logs."""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from inboxops_airflow.housekeeping import CleanAirflow, Housekeep
from inboxops_airflow.inbox_dag import EPOCH

with DAG(
    dag_id="housekeeping",
    schedule=CronTriggerTimetable("23 2 * * *", timezone="UTC"),
    start_date=EPOCH,
    catchup=False,
    max_active_runs=1,
    max_active_tasks=1,  # the pool's other slots are for what is short
    tags=["maintenance"],
    default_args={"owner": "inboxops", "pool": "maintenance", "retries": 2, "retry_delay": timedelta(minutes=5)},
    doc_md=__doc__,
) as dag:
    Housekeep(task_id="housekeep", execution_timeout=timedelta(hours=2))
    CleanAirflow(task_id="clean_airflow", execution_timeout=timedelta(hours=2))
