"""One DAG for each connected inbox."""

from inboxops_airflow.inbox_dag import inbox_dag
from inboxops_airflow.roster import roster

for seat in roster():
    globals()[seat.dag_id] = inbox_dag(seat)
