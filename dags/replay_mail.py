"""One run for each step of a replay (preview, apply, take back): which one, and of which mail, stands in the replay's row alone."""

from datetime import timedelta

from airflow.sdk import DAG, Param

from inboxops_airflow.inbox_dag import EPOCH, LAST
from inboxops_airflow.replaying import ReplayMail

with DAG(
    dag_id="replay_mail",
    schedule=None,
    start_date=EPOCH,
    catchup=False,
    max_active_runs=16,
    max_active_tasks=1,  # it reads mail on all processors
    params={
        "replay_id": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Replay",
            description="Its number, as `inboxops replay list --tenant NAME` shows it.",
        )
    },
    tags=["maintenance"],
    doc_md=__doc__,
) as dag:
    ReplayMail(
        task_id="replay",
        pool="inbox",
        priority_weight=LAST,  # mail that comes in goes first
        retries=3,
        retry_delay=timedelta(seconds=30),
        execution_timeout=timedelta(hours=6),
    )
