"""The DAG of one inbox: fetch >> classify >> persist, by the clock and whenever its asset says so."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher

from inboxops.core.inbox import LOOK_RUN_MINUTES, POLL_MINUTES, asset_name, asset_uri
from inboxops.core.looking import offset_of
from inboxops_airflow.operators import Classify, Fetch, Persist
from inboxops_airflow.roster import Seat
from inboxops_airflow.timetables import EveryPeriod
from inboxops_airflow.triggers import IdleTrigger

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LAST = 1 - 2**31
"""Weight of what shares the pool with the inboxes and can wait: below any fetch until 2094. Airflow negates it, as 32 bits."""

EVERY_MINUTES = int(os.environ.get("INBOXOPS_POLL_MINUTES") or POLL_MINUTES)
HELD_MINUTES = int(os.environ.get("INBOXOPS_IDLE_POLL_MINUTES") or EVERY_MINUTES)
"""Of an inbox that IDLE holds: as every other, unless a large installation thins its polls."""

LOOK_MINUTES = int(os.environ.get("INBOXOPS_LOOK_MINUTES") or 0)
LOOKED_AT_MINUTES = int(os.environ.get("INBOXOPS_LOOK_RUN_MINUTES") or LOOK_RUN_MINUTES)
"""Where inboxes are looked at without a run (`dags/looks.py`), runs by the clock are seldom: what a look missed, they find."""

DOC = """\
**fetch** asks in the triggerer whether anything is new; with mail it goes on in a worker: raw mail to the object store,
a row in `inbound`, then the cursor moves. **classify** reads and judges every stored row, and of a backlog files what came
first meanwhile. **persist** files what is left: tickets, notes, bounces and lists. Each stage works on the rows in its
state, so clearing any task is safe at any time.
"""


def turn(due: datetime) -> int:
    """The weight of a fetch in the pool: who was due first comes first, to the second, and what is begun before all of them."""
    return -int((due - EPOCH).total_seconds())


def inbox_dag(seat: Seat) -> DAG:
    """A paused or disconnected inbox keeps its DAG and its history, and has no schedule.

    One that came from another cell begins here when it came: what fell due before, the other one polled.
    """
    watchers = []
    if seat.watched:
        watchers.append(AssetWatcher(name="imap-idle", trigger=IdleTrigger(inbox_id=seat.inbox_id)))
    asset = Asset(name=asset_name(seat.inbox_id), uri=asset_uri(seat.inbox_id), watchers=watchers)
    period = 60 * (LOOKED_AT_MINUTES if LOOK_MINUTES else HELD_MINUTES if seat.held else EVERY_MINUTES)
    clock = EveryPeriod(period, offset_of(seat.inbox_id, period))
    # Airflow takes timetables of plugins here, which derive from another class than its own.
    schedule = AssetOrTimeSchedule(timetable=cast(Any, clock), assets=[asset])
    with DAG(
        dag_id=seat.dag_id,
        schedule=schedule if seat.live else None,
        start_date=EPOCH if seat.since is None else datetime.fromisoformat(seat.since),
        catchup=False,
        max_active_runs=1,
        doc_md=DOC,
        tags=[
            "inbox",
            *([seat.tenant, seat.connection_type] if seat.tenant else []),
            *([] if seat.live else ["stopped"]),
        ],
        default_args={
            "owner": "inboxops",
            "pool": "inbox",
            # What is begun ends first: mail that is durable waits for no other inbox's fetch. A fetch has its `turn` instead.
            "weight_rule": "upstream",
            "retries": 2,
            "retry_delay": timedelta(seconds=10),
            "execution_timeout": timedelta(minutes=30),
        },
    ) as dag:
        fetch = Fetch(task_id="fetch", inbox_id=seat.inbox_id)
        classify = Classify(task_id="classify", inbox_id=seat.inbox_id)
        persist = Persist(task_id="persist", inbox_id=seat.inbox_id)
        fetch >> classify >> persist
    return dag
