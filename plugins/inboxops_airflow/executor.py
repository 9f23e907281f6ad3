"""LocalExecutor whose scheduler goes on sharing memory with its workers."""

from __future__ import annotations

import gc

from airflow.executors.local_executor import LocalExecutor


class Executor(LocalExecutor):
    """In Airflow's own the collector goes through everything again once the workers are forked: that copies it."""

    def start(self) -> None:
        super().start()
        gc.freeze()
