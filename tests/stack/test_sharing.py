"""Airflow's processes that fork go on sharing memory with what they forked: the collector leaves alone what they share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inboxops_local.stack import airflow
from inboxops_local.stack.home import Home, load_or_make_secrets
from inboxops_local.stack.layout import Layout
from inboxops_local.stack.ports import Ports

FORKS = """
import gc, os
gc.unfreeze()
if os.fork() == 0:
    os._exit(0)
os.wait()
print(gc.get_freeze_count() > 100_000)
"""

FORKS_AGAIN = """
import gc, os
for _ in range(2):
    before = gc.get_freeze_count()
    here = [[] for _ in range(1_000)]
    if os.fork() == 0:
        os._exit(0)
    os.wait()
print(gc.get_freeze_count() <= before)
"""

STARTS_WORKERS = """
import gc
from inboxops_airflow.executor import Executor
executor = Executor(parallelism=1)
executor.start()
print(gc.get_freeze_count() > 100_000)
executor.end()
"""


EXECUTOR = """
import os, signal, types, time
from inboxops_airflow.executor import Executor
import airflow.executors.local_executor as local
def works(workload, **more):
    while not os.path.exists(workload.path):
        time.sleep(0.01)
local.BaseExecutor.run_workload = staticmethod(works)
executor = Executor(parallelism=4)
executor.start()
counts = [len(executor.workers)]
class Task(types.SimpleNamespace):
    running_state, success_state, failure_state = None, "success", "failed"
def give(*names):
    tasks = [Task(key=(name, 1), path=name, display_name=name) for name in names]
    executor.queued_tasks.update({task.key: task for task in tasks})
    executor._process_workloads(tasks)
    counts.append(len(executor.workers))
def finish(*names):
    for name in names:
        open(name, "w").close()
    deadline = time.monotonic() + 60
    while executor._given & {(name, 1) for name in names} and time.monotonic() < deadline:
        executor.sync()
"""

WORKERS_COME_WITH_TASKS = """
give("a")
give("b", "c")
finish("a", "b", "c")
give("d")
finish("d")
give("e", "f", "g", "h", "i")
finish("e", "f", "g", "h", "i")
executor._busiest, deadline = 1, time.monotonic() + 60
while len(executor.workers) > 1 and time.monotonic() < deadline:
    if executor._busiest == 1:
        executor._looks_at = 0
    executor.sync()
counts.append(len(executor.workers))
give("lost")
executor.revoke_task(ti=Task(key=("lost", 1)))
print(counts[:6] == [0, 1, 3, 3, 4, 1] and not executor._given or counts)
open("lost", "w").close()
executor.end()
"""

KILLED_WHILE_IT_WAITS = """
give("a", "b", "c")
finish("a", "b", "c")
for pid in list(executor.workers)[:2]:
    os.kill(pid, signal.SIGKILL)
    while executor.workers.get(pid) is not None:
        executor.sync()
give("d", "e", "f")
finish("d", "e", "f")
print(not executor._given or executor._given)
executor.end()
"""

A_LOCK_IS_DEATH = """
import multiprocessing.synchronize
def dies_with_it(lock):
    lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)
def works_without_locks(workload, **more):
    multiprocessing.synchronize.SemLock.__enter__ = dies_with_it
    works(workload)
local.BaseExecutor.run_workload = staticmethod(works_without_locks)
give("a", "b", "c")
finish("a", "b", "c")
give("d", "e", "f")
finish("d", "e", "f")
print(not executor._given or executor._given)
executor.end()
"""


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(FORKS, id="a process that forks"),
        pytest.param(FORKS_AGAIN, id="one that forks again keeps no more than the first time"),
        pytest.param(STARTS_WORKERS, id="the scheduler, whose executor thaws"),
        pytest.param(
            EXECUTOR + KILLED_WHILE_IT_WAITS, id="workers, of which some are killed while they wait for a task"
        ),
        pytest.param(
            EXECUTOR + A_LOCK_IS_DEATH, id="workers, none of which can be killed while it holds a lock of others"
        ),
        pytest.param(EXECUTOR + WORKERS_COME_WITH_TASKS, id="workers, which are as many as tasks ever ran at once"),
    ],
)
def test_what_was_imported_stays_frozen(tmp_path: Path, source: str) -> None:
    home, ports = Home(tmp_path / "home"), Ports(base=20_000)
    home.make()
    env = airflow.environment(Layout(home, ports, load_or_make_secrets(home, ports)))
    started = "import airflow.settings\n"
    done = subprocess.run(
        [sys.executable, "-c", started + source],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "True" in done.stdout.splitlines(), done.stdout + done.stderr
