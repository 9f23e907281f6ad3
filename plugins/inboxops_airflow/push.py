"""Push channels as DAGs: which inboxes are due, then one task for each, so that one that fails stops no other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from inboxops_airflow import conf
from inboxops_airflow.inbox_dag import EPOCH
from inboxops_airflow.operators import InboxOperator, counted

AT_ONCE = 1000
"""Of one run: Airflow maps over 1,024 at most. Who is left comes with the next, and the most urgent come first."""


class DuePush(BaseOperator):
    """The inbox of the run's conf, or all inboxes of a kind whose channel is due. None is due where nothing is set up."""

    def __init__(self, *, connection_type: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.connection_type = connection_type

    def execute(self, context: Any) -> list[int]:
        from inboxops.composition import pushing
        from inboxops_airflow.connections import world

        here = world()
        if not pushing.is_wanted(here, self.connection_type):
            raise AirflowSkipException(f"no push is set up for {self.connection_type}: its inboxes are polled")
        if "inbox_id" in conf.given(context):
            return [conf.number(context, "inbox_id")]
        return pushing.due(here, self.connection_type, limit=AT_ONCE)


class RegisterPush(InboxOperator):
    """Makes or renews one inbox's channel. Why it failed stands on the inbox."""

    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops.composition import pushing

        watched = counted(pushing.register, self.inbox_id)
        if watched["skipped"]:
            raise AirflowSkipException(watched["skipped"])
        return watched


def push_dag(dag_id: str, connection_type: str, schedule: Any, doc: str | None) -> DAG:
    """schedule None: started when an inbox is connected, and when its channel is suspect."""
    with DAG(
        dag_id=dag_id,
        schedule=schedule,
        start_date=EPOCH,
        catchup=False,
        max_active_runs=4 if schedule is None else 1,
        tags=["push", connection_type],
        doc_md=doc,
        default_args={"owner": "inboxops", "pool": "maintenance", "execution_timeout": timedelta(minutes=5)},
    ) as dag:
        due = DuePush(task_id="due", connection_type=connection_type, retries=2, retry_delay=timedelta(seconds=30))
        RegisterPush.partial(
            task_id="register",
            retries=4,
            retry_delay=timedelta(minutes=1),
            retry_exponential_backoff=True,
            max_active_tis_per_dag=1,  # of the three slots that the pool has: the drain is not to wait for both providers
            map_index_template="inbox {{ task.inbox_id }}",
        ).expand(inbox_id=due.output)
    return dag
