"""However a command is ended, nothing of it is left: no process, no folder of a server."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from inboxops_lab.testing.processes import shown, wait_until
from inboxops_local.stack.layout import command
from inboxops_local.stack.testing import free_base

SECONDS = 90


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._near, far = pty.openpty()
        self._said = b""
        environment = {
            **os.environ,
            "INBOXOPS_HOME": str(folder / "home"),
            "INBOXOPS_PORT_BASE": str(free_base()),
            "TMPDIR": str(folder),
        }
        self.process = subprocess.Popen(
            command(*arguments),
            env=environment,
            stdin=far,
            stdout=far,
            stderr=far,
            start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # it becomes the session's own
        )
        os.close(far)

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def runs(self, name: str) -> bool:
        os.set_blocking(self._near, False)
        with suppress(OSError):
            self._said += os.read(self._near, 65_536)  # else it would wait for its reader
        assert self.process.poll() is None, self._said.decode()
        return any(name in shown(one) for one in self.family())

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def close(self) -> None:
        """As when a window is closed: the kernel sends SIGHUP, and whatever is written fails."""
        os.close(self._near)


def twice(terminal: Terminal) -> None:
    terminal.signal(signal.SIGINT)
    terminal.signal(signal.SIGINT)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that everybody may enter: servers don't run as root."""
    made = Path(tempfile.mkdtemp(prefix="inboxops-ends-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


ENDS: dict[str, Callable[[Terminal], None]] = {
    "SIGTERM": lambda terminal: terminal.signal(signal.SIGTERM),
    "SIGHUP": lambda terminal: terminal.signal(signal.SIGHUP),
    "Ctrl-C twice": twice,
    "closed terminal": Terminal.close,
}
COMMANDS = {
    "up": (("up", "--no-demo", "--only=services"), "weed"),
    "bench": (("bench", "ingest", "--messages=2000", "--no-rivals"), "dovecot"),
}
"""What is started, and the server by which it is seen to have got somewhere."""


EVERY = [(name, end) for name in COMMANDS for end in ENDS]
DAILY = [("up", "closed terminal"), ("bench", "SIGTERM"), ("bench", "Ctrl-C twice")]


@pytest.mark.parametrize(("name", "end"), EVERY if os.environ.get("INBOXOPS_TEST_ENDINGS") else DAILY)
def test_nothing_is_left_behind(folder: Path, name: str, end: str) -> None:
    arguments, server = COMMANDS[name]
    terminal = Terminal(folder, *arguments)
    wait_until(f"{server} runs", lambda: terminal.runs(server), seconds=SECONDS)
    family = terminal.family()
    assert len(family) > 3
    ENDS[end](terminal)
    terminal.process.wait(timeout=SECONDS)
    _, alive = psutil.wait_procs(family, timeout=60)
    assert [shown(one) for one in alive if shown(one)] == []
    assert not (folder / "home" / "stack.json").exists()
    assert [path.name for path in folder.glob("inboxops-*")] == []


@pytest.mark.parametrize("end", ENDS)
def test_a_stand_in_ends(folder: Path, end: str) -> None:
    terminal = Terminal(folder, "stand-in", "gmail")
    wait_until("it listens", lambda: bool(psutil.Process(terminal.process.pid).net_connections("tcp")), seconds=SECONDS)
    ENDS[end](terminal)
    assert terminal.process.wait(timeout=60) > 0
