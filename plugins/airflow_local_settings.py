"""What Airflow lets an installation decide in code; it imports this as every process starts.

Fetches come in turn, and one that something woke goes to a worker at once. The scheduler and Celery's workers load what tasks need
before they fork.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from inboxops.cores import leave_no_core

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance

__all__ = ["task_instance_mutation_hook"]

NEEDED_BY_TASKS = (
    "airflow.dag_processing.dagbag",
    "airflow.dag_processing.importers.python_importer",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.providers.amazon.aws.hooks.s3",
    "airflow.providers.postgres.hooks.postgres",
    "inboxops.providers.imap",
    "inboxops.providers.smtp",
    "inboxops.composition.sending",
    "inboxops.composition.upkeep",
    "inboxops.events.redis_bus",
    "inboxops_airflow.inbox_dag",
    "inboxops_airflow.roster",
    "inboxops_airflow.sending",
    "inboxops_airflow.triggers",
)

leave_no_core()


_frozen_in = 0
"""The process that last froze what it had, itself or in the one that forked it."""


def _keep_shared() -> None:
    """Before the first fork of each process: a collection touches, and so copies, what is shared with parent or children.

    What is frozen stays so: it is what was imported, and going through it again in the parent would copy it there (70 MB in the
    scheduler). At every fork it would keep garbage for good.
    """
    global _frozen_in
    if _frozen_in != os.getpid():
        _frozen_in = os.getpid()
        gc.collect()
        gc.freeze()


os.register_at_fork(before=_keep_shared)


def task_instance_mutation_hook(task_instance: TaskInstance, dag_run: DagRun | None = None) -> None:
    """Of `fetch` alone. Whoever came first has the pool's next slot; what was woken, or started by a person, needs no triggerer.

    Of the same weight Airflow takes runs by the clock first, and all others, which have no logical date, in no order: big mailboxes
    that are woken again for the rest may come before one that waits, again and again.

    Whether a task starts in the triggerer is fixed in its DAG. A task instance that is born in state `scheduled` is queued as
    it is, which saves the way through the triggerer, about two seconds. Runs by the clock, and cleared tasks, go that way.
    """
    if dag_run is None or task_instance.task_id != "fetch" or not task_instance.dag_id.startswith("inbox_"):
        return
    from inboxops_airflow.inbox_dag import turn

    task_instance.priority_weight = turn(dag_run.run_after)
    if task_instance.state is None and task_instance.try_number == 0 and dag_run.run_type != "scheduled":
        task_instance.state = "scheduled"
        task_instance.try_number = 1


def load_what_tasks_need() -> None:
    """For a process that forks those of tasks."""
    for module in NEEDED_BY_TASKS:
        import_module(module)


if "scheduler" in sys.argv or "celery" in sys.argv:
    load_what_tasks_need()
