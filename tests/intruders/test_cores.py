"""Who crashes a process of ours finds none of its secrets on the disk."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from inboxops.cores import CORE_BYTES
from inboxops_local.stack.record import Record
from inboxops_local.stack.testing import running
from tests.e2e.conftest import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and cores are read as Linux has them")

CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT)
CRASHING = "import os, signal; secret = 'hunter2' * 1000; os.kill(os.getpid(), {number})"
WAYS = {
    "a command": "import inboxops.cli as cli; cli.app = lambda: exec({crash!r}); cli.main()",
    "the API": "import api.app, asyncio\nwith __import__('contextlib').suppress(Exception):\n"
    "    asyncio.run(api.app.app.router.lifespan_context(api.app.app).__aenter__())\nexec({crash!r})",
    "Airflow's processes": "import sys; sys.path.insert(0, 'plugins'); import airflow_local_settings; exec({crash!r})",
}


def without_a_limit() -> None:
    """As where somebody said `ulimit -c unlimited`, as far as we may: other tests of this process may have lowered it."""
    for most in (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_CORE)[1]):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (most, most))
            return


def core_limit(pid: int) -> str:
    """The hard one, in bytes, of anybody's process."""
    (line,) = [
        line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core file")
    ]
    return line.split()[5]


def crash(code: str, folder: Path, number: int) -> list[str]:
    """What lies in the folder after a process crashed there."""
    (folder / "plugins").symlink_to(Path("plugins").absolute())
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "INBOXOPS_HOME": str(folder / "none")},
        preexec_fn=without_a_limit,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == -number, done.stderr
    return [path.name for path in folder.iterdir() if "core" in path.name]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", CRASHES, ids=lambda number: number.name)
def test_a_crash_leaves_no_core(way: str, number: signal.Signals, tmp_path: Path) -> None:
    assert crash(WAYS[way].format(crash=CRASHING.format(number=int(number))), tmp_path, number) == []


def test_servers_that_the_stack_starts_are_bound_by_it_too(tmp_path: Path) -> None:
    """They keep passwords and mail as well, and are programs of others."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    without_a_limit()
    try:
        with running(tmp_path / "home", "--only=services"):
            record = Record.read(tmp_path / "home" / "stack.json")
            assert record is not None
            everything = psutil.Process(record.supervisor.pid).children(recursive=True)
            assert len(everything) >= 3
            assert {core_limit(process.pid) for process in everything} <= {"0", str(CORE_BYTES)}
            crashed = record.parts["redis"].process
            assert crashed is not None
            os.kill(crashed.pid, signal.SIGSEGV)
            eventually("it is started again", lambda: not crashed.alive, seconds=30)
            assert list(tmp_path.rglob("*core*")) == []
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def test_the_machine_would_have_left_one_where_nothing_holds(tmp_path: Path) -> None:
    """Where it writes cores into the folder of the process at all; else the tests above say less."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    report = "import resource; open('limit', 'w').write(str(resource.getrlimit(resource.RLIMIT_CORE)[0]))"
    found = crash(f"{report}\n{CRASHING.format(number=int(signal.SIGABRT))}", tmp_path, signal.SIGABRT)
    unbound = int((tmp_path / "limit").read_text()) == resource.RLIM_INFINITY
    assert bool(found) == (pattern == "core" and unbound)
