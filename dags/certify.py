"""Every day: each tenant's certificate, that every mail is accounted for. Started by hand with {"tenant_id": N} for one tenant."""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from inboxops_airflow.certifying import Certify, DueTenants
from inboxops_airflow.inbox_dag import EPOCH, LAST

with DAG(
    dag_id="certify",
    schedule=CronTriggerTimetable("17 4 * * *", timezone="UTC"),  # when housekeeping is done
    start_date=EPOCH,
    catchup=False,
    max_active_runs=1,
    tags=["maintenance"],
    doc_md=__doc__,
    default_args={"owner": "inboxops", "pool": "maintenance", "weight_rule": "absolute"},
) as dag:
    due = DueTenants(
        task_id="due", retries=2, retry_delay=timedelta(seconds=30), execution_timeout=timedelta(minutes=5)
    )
    Certify.partial(
        task_id="certify",
        pool="inbox",  # it reads mailboxes, and takes in what was missing
        priority_weight=LAST,  # mail that comes in goes first
        retries=4,
        retry_delay=timedelta(minutes=2),
        retry_exponential_backoff=True,
        max_active_tis_per_dag=2,
        execution_timeout=timedelta(hours=1),
        map_index_template="tenant {{ task.tenant_id }}",
    ).expand(tenant_id=due.output)
