"""Looking at inboxes without a run, where INBOXOPS_LOOK_MINUTES says how often.

The watchers of this DAG's asset look, in the triggerers: each inbox at its turn, and its DAG is woken only when there is mail. They
give the asset no event. Every ten minutes a run here says whether looks are in time; it fails when they are late, or when no run
fetches what they find.
"""

from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable

from inboxops_airflow.inbox_dag import EPOCH, LOOK_MINUTES
from inboxops_airflow.looking import CheckLooks
from inboxops_airflow.triggers import LookTrigger

SHARES = 256
"""More than a triggerer takes at a time (200), so that two that start together both get some: whoever has one looks.

One that starts later has none until another ends (ADR 13).
"""

if LOOK_MINUTES:
    watchers = [AssetWatcher(name=f"looks-{share}", trigger=LookTrigger(share=share)) for share in range(SHARES)]
    with DAG(
        dag_id="looks",
        schedule=AssetOrTimeSchedule(
            timetable=CronTriggerTimetable("7/10 * * * *", timezone="UTC"),
            assets=[Asset(name="inboxops_looks", uri="x-inboxops://looks", watchers=watchers)],
        ),
        start_date=EPOCH,
        catchup=False,
        max_active_runs=1,
        tags=["maintenance"],
        doc_md=__doc__,
        default_args={"owner": "inboxops", "pool": "maintenance"},
    ) as dag:
        CheckLooks(
            task_id="check", retries=1, retry_delay=timedelta(seconds=30), execution_timeout=timedelta(minutes=5)
        )
