"""The nursery with the real Airflow: what it forks is our child, and is as one that was executed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from inboxops_local.stack import airflow, nursery, supervisor
from inboxops_local.stack.children import Adopted
from inboxops_local.stack.home import Home, load_or_make_secrets
from inboxops_local.stack.layout import Layout
from inboxops_local.stack.ports import Ports
from inboxops_local.stack.spawn import adopt_orphans

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody adopts orphans: each is executed")

SERVER = ("http.server", "--bind", "127.0.0.1", "0")
WISH = "nursery.fork(Path(sys.argv[1]), ('calendar',), Path(sys.argv[2]), 15)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a nursery that has loaded everything. It lies deeper than a socket's path may be long."""
    home = Home(tmp_path_factory.mktemp("a" * 120) / "home")
    home.make()
    home.airflow.mkdir()
    ports = Ports(base=20_000)
    env = airflow.environment(Layout(home, ports, load_or_make_secrets(home, ports)))
    with subprocess.Popen(
        [sys.executable, "-m", "inboxops_local.stack.nursery", str(home.airflow)], env=env
    ) as process:
        try:
            asyncio.run(until(lambda: nursery.is_ready(home.airflow), process))
            yield home.airflow
        finally:
            process.terminate()


async def until(ready: Callable[[], Awaitable[bool]], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not await ready():
        assert process.poll() is None, "the nursery has ended"
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


def here(work: Coroutine[Any, Any, None]) -> None:
    """Run it in a process that adopts what the nursery forks, as the supervisor does."""
    adopt_orphans()
    asyncio.run(asyncio.wait_for(work, 60))


async def forked(folder: Path, log: Path, *arguments: str) -> Adopted:
    return Adopted(await nursery.fork(folder, arguments, log, signal.SIGTERM))


def test_what_it_forks_is_our_child_and_leads_a_session_of_its_own(folder: Path, tmp_path: Path) -> None:
    async def work() -> None:
        child = await forked(folder, tmp_path / "log", *SERVER)
        assert psutil.Process(child.pid).ppid() == os.getpid()
        assert os.getsid(child.pid) == child.pid
        child.send_signal(signal.SIGTERM)
        assert await child.wait() == -signal.SIGTERM
        with pytest.raises(ProcessLookupError):
            child.send_signal(signal.SIGTERM)

    here(work())


def test_its_words_are_in_its_log_and_its_status_is_known(folder: Path, tmp_path: Path) -> None:
    async def work() -> None:
        well = await forked(folder, tmp_path / "well", "calendar", "2026")
        ill = await forked(folder, tmp_path / "ill", "json.tool", "/nonexistent")
        assert (await well.wait(), await ill.wait()) == (0, 2)

    here(work())
    assert "November" in (tmp_path / "well").read_text()
    assert "/nonexistent" in (tmp_path / "ill").read_text()


def test_it_holds_no_socket_of_the_nursery(folder: Path, tmp_path: Path) -> None:
    """A child that did would let wishes come in that nobody reads, once the nursery has gone."""

    async def work() -> None:
        child = await forked(folder, tmp_path / "log", *SERVER)
        assert psutil.Process(child.pid).net_connections("unix") == []
        child.send_signal(signal.SIGKILL)
        assert await child.wait() == -signal.SIGKILL

    here(work())


def test_who_would_not_adopt_it_gets_none(folder: Path, tmp_path: Path) -> None:
    """It would be nobody's to watch or to end."""
    wish = (
        f"import asyncio, sys; from pathlib import Path; from inboxops_local.stack import nursery; asyncio.run({WISH})"
    )
    done = subprocess.run(
        [sys.executable, "-c", wish, str(folder), str(tmp_path / "log")], capture_output=True, text=True, timeout=60
    )
    assert "the nursery gave no process" in done.stderr


def test_without_a_nursery_nothing_is_ready_or_forked(tmp_path: Path) -> None:
    assert not asyncio.run(nursery.is_ready(tmp_path))
    with pytest.raises(OSError, match="No such file"):
        asyncio.run(nursery.fork(tmp_path, ("calendar",), tmp_path / "log", signal.SIGTERM))


def test_one_that_has_stopped_is_not_ready_and_what_nobody_waits_for_any_more_is_not_left_running(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nursery, "ANSWER_SECONDS", 0.5)
    assert nursery.LOOK_SECONDS < supervisor.ASKED_SECONDS, "or nobody waits for what it would say"

    async def work() -> None:
        others = psutil.Process().children()  # servers that other tests share, too
        process = next(one for one in others if "inboxops_local.stack.nursery" in one.cmdline())
        process.suspend()
        try:
            assert await nursery.hangs(folder) == "it does not answer"
            with pytest.raises(TimeoutError):
                await forked(folder, tmp_path / "log", *SERVER)
        finally:
            process.resume()
        monkeypatch.setattr(nursery, "ANSWER_SECONDS", 20.0)
        assert await nursery.hangs(folder) == ""
        _, left = psutil.wait_procs([one for one in psutil.Process().children() if one not in others], timeout=60)
        assert left == []

    here(work())
