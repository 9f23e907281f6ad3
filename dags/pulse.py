"""Once a minute something goes the whole way of a mail: scheduler, executor, task, database, object store, event bus.

Whoever asks how things stand compares its time with the clock: `/readyz`, `inboxops pulse`, `inboxops doctor`, the local
supervisor. Something else, in a DAG of its own that can't hold it up, runs in the triggerer alone, where polls by the clock begin.
"""

from airflow.sdk import DAG, CronTriggerTimetable

from inboxops_airflow.inbox_dag import EPOCH
from inboxops_airflow.operators import BEAT_TIMEOUT, Pulse, PulseOfTriggerer

for dag_id, task in (("pulse", Pulse), ("pulse_triggerer", PulseOfTriggerer)):
    with DAG(
        dag_id=dag_id,
        schedule=CronTriggerTimetable("* * * * *", timezone="UTC"),
        start_date=EPOCH,
        catchup=False,
        max_active_runs=1,
        tags=["maintenance"],
        doc_md=__doc__,
    ) as dag:
        # Ahead of whatever waits: it tells whether tasks run, not how many wait.
        task(task_id="pulse", priority_weight=1000, execution_timeout=BEAT_TIMEOUT)
    globals()[dag_id] = dag
