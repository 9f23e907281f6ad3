"""Canaries: a mail of our own to each inbox that wishes for it and is due, which must come back.

Where an inbox wishes so, what came back is deleted from its mailbox.

Every five minutes, one run for all inboxes; docs/canaries.md says what is told when one does not come back.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from inboxops_airflow.canaries import SendCanaries
from inboxops_airflow.inbox_dag import EPOCH

with DAG(
    dag_id="canaries",
    schedule=CronTriggerTimetable("3/5 * * * *", timezone="UTC"),  # not at the full hour, when other DAGs begin
    start_date=EPOCH,
    catchup=False,
    max_active_runs=1,
    tags=["maintenance"],
    doc_md=__doc__,
    default_args={"owner": "inboxops", "pool": "maintenance"},
) as dag:
    SendCanaries(
        task_id="send",
        retries=2,  # for a database that is away; a canary is never sent again by a retry
        retry_delay=timedelta(seconds=30),
        execution_timeout=timedelta(minutes=30),
    )
