"""LocalExecutor that forks its workers as tasks come, and whose scheduler goes on sharing memory with them."""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

from airflow.executors.local_executor import LocalExecutor

STAYS_SECONDS = 300.0
"""A worker that was one too many for so long ends: at an installation's start all DAGs run at once, later hardly three tasks."""


class Queue:
    """A queue between processes in which nobody holds a lock: whoever is killed, at whatever moment, takes none along, so that
    no other ever gets a task, or hands over a result, again. Each item is one packet: the kernel hands it over whole to one of
    those who wait, or not at all (unix(7), SOCK_SEQPACKET).

    It stands in for `multiprocessing.SimpleQueue`. Items of up to some 200 kB. Raises OSError (EMSGSIZE) for more.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def put(self, item: Any) -> None:
        self._writer.send(ForkingPickler.dumps(item))

    def get(self) -> Any:
        """Waits. Raises EOFError when the other end is closed."""
        packet = self._reader.recv(self._writer.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF))
        if not packet:
            raise EOFError
        return ForkingPickler.loads(packet)

    def empty(self) -> bool:
        return not wait([self._reader], timeout=0)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


class Results(Queue):
    def put(self, item: tuple[Any, Any, Exception | None]) -> None:
        """Without the exception, which nobody asks for (it is in the task's log) and which may be of any size."""
        key, state, _ = item
        super().put((key, state, None))


class Outstanding:
    """Instead of a counter of tasks that nobody took yet, behind a lock: whether there are any, `Queue.empty` says."""

    value = 1

    def __setattr__(self, name: str, value: int) -> None:
        """Nothing is counted."""

    def __enter__(self) -> None: ...

    def __exit__(self, *exc: object) -> None: ...


class Executor(LocalExecutor):
    """Airflow's own forks as many workers as it may have at its start, 25 to 45 MB each, however few ever run at once.

    And in its own the collector goes through everything again once workers are forked, which copies it. What is there at the
    start stays frozen here.
    """

    activity_queue: Any
    result_queue: Any
    _unread_messages: Any

    def start(self) -> None:
        self._given: set[Any] = set()
        self._busiest, self._looks_at = 0, time.monotonic() + STAYS_SECONDS
        super().start()
        if self.is_mp_using_fork:  # no worker is forked yet
            self.activity_queue.close()
            self.result_queue.close()
            self.activity_queue, self.result_queue, self._unread_messages = Queue(), Results(), Outstanding()
        gc.freeze()

    def _process_workloads(self, workload_list: Sequence[Any]) -> None:
        self._given.update(workload.key for workload in workload_list)
        self._busiest = max(self._busiest, len(self._given))
        super()._process_workloads(workload_list)

    def sync(self) -> None:
        super().sync()
        if time.monotonic() >= self._looks_at:
            for _ in range(len(self.workers) - max(self._busiest, 1)):
                self.activity_queue.put(None)  # whichever is idle takes it, and ends
            self._busiest, self._looks_at = len(self._given), time.monotonic() + STAYS_SECONDS

    def change_state(self, key: Any, state: Any, info: Any = None, remove_running: bool = True) -> None:
        super().change_state(key, state, info, remove_running)
        if remove_running:
            self._given.discard(key)

    def revoke_task(self, *, ti: Any) -> None:
        """A worker was killed as it took this one, or its queue was lost: it is given again (`task_queued_timeout`).

        Airflow's own can't, and then such a task stays `queued`, and its inbox unread, until the scheduler starts anew. It is not
        called back: should two take it after all, the execution API lets one begin, which is tried again at worst.
        """
        self.queued_tasks.pop(ti.key, None)
        self._given.discard(ti.key)

    def _spawn_workers_with_gc_freeze(self, spawn_number: int) -> None:
        """A worker for each task that was given and has not ended, if there may be so many."""
        for _ in range(min(spawn_number, len(self._given) - len(self.workers))):
            self._spawn_worker()
