"""Celery in place of LocalExecutor: the production shape on one machine, two of each process that may be more than one.

`inboxops up --celery`. The broker is a database of the Valkey that runs anyway, results stand in Airflow's own database, as in
docker-compose.yaml.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping

from inboxops_local.stack import checks
from inboxops_local.stack.layout import Layout
from inboxops_local.stack.part import Part

TWICE = ("scheduler", "triggerer")
"""The components of Airflow that share their work when there is another one."""

WORKERS = ("worker", "worker-2")
LOG_BUCKET = "inboxops-logs"
BROKER_DATABASE = 1  # 0 is our events'


def settings(layout: Layout, *, parallelism: int) -> dict[str, object]:
    """What differs from LocalExecutor, by Airflow's names of sections and options."""
    secrets, ports = layout.secrets, layout.ports
    database = f"airflow:{secrets['STACK_AIRFLOW_DATABASE_PASSWORD']}@{checks.HOST}:{ports.postgres}/airflow"
    return {
        "CORE__EXECUTOR": "CeleryExecutor",
        "CELERY__BROKER_URL": broker(layout),
        "CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{database}",
        "CELERY__WORKER_CONCURRENCY": -(-parallelism // len(WORKERS)),
        # Workers, and the triggerer, put a task's log there as it ends: whoever shows it need not reach their disks.
        "LOGGING__REMOTE_LOGGING": True,
        "LOGGING__REMOTE_LOG_CONN_ID": "inboxops_s3",
        "LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{LOG_BUCKET}",
        "LOGGING__DELETE_LOCAL_LOGS": True,
        "DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_INTERVAL": 0,  # a process of each worker's own, for bundles we have none of
    }


def broker(layout: Layout) -> str:
    """The URL of the broker."""
    return f"redis://:{layout.secrets['STACK_REDIS_PASSWORD']}@{checks.HOST}:{layout.ports.redis}/{BROKER_DATABASE}"


def workers(layout: Layout, env: Mapping[str, str]) -> list[Part]:
    """Ready once they answer the broker's ping; as they end they wait for what they are at."""
    pids = layout.home.airflow
    return [
        Part(
            name=name,
            argv=(
                *(sys.executable, "-m", "airflow", "celery", "worker", "--skip-serve-logs", "--without-mingle"),
                *("--celery-hostname", f"{name}@{checks.HOST}", "--pid", str(pids / f"{name}.pid")),
            ),
            env=env,
            needs=("airflow-api", "redis"),
            ready=_answers(broker(layout), f"{name}@{checks.HOST}"),
            answers=_answers(broker(layout), f"{name}@{checks.HOST}"),
            deadline=120.0,
        )
        for name in WORKERS
    ]


def _answers(url: str, worker: str) -> Callable[[], Awaitable[bool]]:
    from celery import Celery  # for who has workers alone; not in two threads at once, it replaces its own module

    def ping() -> bool:
        with Celery(broker=url) as app:
            return bool(app.control.ping(destination=[worker], timeout=checks.SECONDS))

    async def ready() -> bool:
        return await asyncio.to_thread(ping)

    return ready
