"""One run for each attempt to send a message: `send-{message}-{attempt}-{order}`, started by the API and by `drain_outbox`."""

from datetime import timedelta

from airflow.sdk import DAG

from inboxops_airflow.inbox_dag import EPOCH
from inboxops_airflow.sending import SendMessage

with DAG(
    dag_id="send_message",
    schedule=None,
    start_date=EPOCH,
    catchup=False,
    max_active_runs=500,  # runs that wait for their next try hold no worker, and hold up no other message
    max_active_tasks=8,
    tags=["mail out"],
    doc_md=__doc__,
) as dag:
    SendMessage(task_id="send", pool="send", execution_timeout=timedelta(minutes=15))
