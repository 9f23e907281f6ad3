"""Airflow's processes that fork go on sharing memory with what they forked: the collector leaves alone what they share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inboxops.settings import Ports
from inboxops_local.stack import airflow
from inboxops_local.stack.home import Home, load_or_make_secrets
from inboxops_local.stack.layout import Layout

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


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(FORKS, id="a process that forks"),
        pytest.param(FORKS_AGAIN, id="one that forks again keeps no more than the first time"),
        pytest.param(STARTS_WORKERS, id="the scheduler, whose executor thaws"),
    ],
)
def test_what_was_imported_stays_frozen(tmp_path: Path, source: str) -> None:
    home, ports = Home(tmp_path / "home"), Ports(base=20_000)
    home.make()
    env = airflow.environment(Layout(home, ports, load_or_make_secrets(home, ports)))
    started = "import airflow.settings\n"
    done = subprocess.run(
        [sys.executable, "-c", started + source], env=env, capture_output=True, text=True, timeout=120, check=True
    )
    assert "True" in done.stdout.splitlines(), done.stdout + done.stderr
