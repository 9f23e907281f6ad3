"""The supervisor with real child processes: order, restarts, and nothing left behind however it ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from inboxops.errors import OperatorError
from inboxops.settings import Ports
from inboxops_local.stack.home import Home, load_or_make_secrets
from inboxops_local.stack.launch import down, tidy
from inboxops_local.stack.record import Record, members
from inboxops_local.stack.testing import free_base

TOY = Path(__file__).with_name("toy.py")

SERVER = """
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self): self.request.sendall(self.request.recv(100))
socketserver.TCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", {port}), Echo).serve_forever()
"""

STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""

# A grandchild that leaves its session and its parent, as a daemon does, and ignores SIGTERM.
DAEMON = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(os.path.join(os.environ["INBOXOPS_HOME"], "daemon.pid"), "w").write(str(os.getpid()))
    time.sleep(600)
"""


def until(condition: Callable[[], object], what: str, *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


class Stack:
    """A running toy."""

    def __init__(self, home: Home, base: int, *parts: str) -> None:
        self.home = home
        self.output = home.path.with_name("output")
        with self.output.open("a") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(TOY), str(home.path), str(base), *parts], stdout=file, stderr=subprocess.STDOUT
            )

    def said(self) -> str:
        return self.output.read_text()

    def until_said(self, text: str, *, times: int = 1) -> None:
        until(lambda: self.said().count(text) >= times or self.process.poll() is not None, text)
        assert self.said().count(text) >= times, self.said()

    def record(self) -> Record:
        record = Record.read(self.home.record)
        assert record is not None
        return record

    def pid(self, part: str) -> int:
        identity = self.record().parts[part].process
        assert identity is not None
        return identity.pid

    def everyone(self) -> set[int]:
        parts = self.record().parts.values()
        found = {process.pid for part in parts if part.process for process in members(part.process)}
        daemon = self.home.path / "daemon.pid"
        return found | ({int(daemon.read_text())} if daemon.exists() else set())


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Starts toys in one home and ends what a failed test left running."""
    home, base = Home(tmp_path / "home"), free_base()
    toys: list[Stack] = []

    def start(*parts: str) -> Stack:
        toys.append(Stack(home, base, *parts))
        return toys[-1]

    yield start
    for toy in toys:
        if toy.process.poll() is None:
            toy.process.terminate()
            toy.process.wait(timeout=30)
    tidy(home)


def gone(pids: set[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def test_parts_start_in_order_and_a_job_holds_up_those_that_need_it(begin: Callable[..., Stack]) -> None:
    toy = begin(f"first={SERVER}", "job=import time; time.sleep(0.3)", f"second={SERVER}")
    toy.until_said("all ready")
    settled = [line.split()[0] for line in toy.said().splitlines() if line.split()[1] in ("ready", "done")]
    assert settled == ["first", "job", "second", "all"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_and_the_record_goes(begin: Callable[..., Stack], number: signal.Signals) -> None:
    toy = begin(f"server={SERVER}")
    toy.until_said("all ready")
    pids = toy.everyone()
    assert pids
    toy.process.send_signal(number)
    assert toy.process.wait(timeout=20) == 0
    assert gone(pids)
    assert not toy.home.record.exists()


def test_a_part_that_lives_and_hangs_is_started_anew_and_the_reason_is_kept(begin: Callable[..., Stack]) -> None:
    toy = begin(f"server={STUBBORN}{SERVER}")
    toy.until_said("all ready")
    first = toy.pid("server")
    told = toy.home.path / "hang.server"
    told.write_text("no task has run for 93 s")
    until(lambda: "server restarting hangs: no task has run for 93 s" in toy.said(), "the hang is seen", seconds=40)
    told.unlink()
    toy.until_said("server ready", times=2)
    assert toy.pid("server") != first
    entry = toy.record().parts["server"]
    assert (entry.restarts, "no task has run for 93 s" in entry.why) == (1, True)


def test_daemons_and_the_deaf_do_not_survive_the_end(begin: Callable[..., Stack]) -> None:
    toy = begin(f"daemon={DAEMON}{SERVER}", f"deaf={STUBBORN}{SERVER}")
    toy.until_said("all ready")
    until((toy.home.path / "daemon.pid").exists, "the daemon runs")
    pids = toy.everyone()
    toy.process.terminate()
    assert toy.process.wait(timeout=30) == 0
    assert len(pids) == 3
    assert gone(pids)


def test_nothing_survives_a_killed_supervisor(begin: Callable[..., Stack]) -> None:
    toy = begin(f"daemon={DAEMON}{SERVER}", f"deaf={STUBBORN}{SERVER}")
    toy.until_said("all ready")
    until((toy.home.path / "daemon.pid").exists, "the daemon runs")
    pids = toy.everyone()
    toy.process.kill()
    toy.process.wait()
    until(lambda: gone(pids), "the watch cleared up", seconds=40)


@pytest.mark.parametrize("clear", [down, tidy])
def test_the_next_command_clears_up_when_even_the_watch_was_killed(
    begin: Callable[..., Stack], clear: Callable[[Home], object]
) -> None:
    toy = begin(f"daemon={DAEMON}{SERVER}", f"deaf={STUBBORN}{SERVER}")
    toy.until_said("all ready")
    until((toy.home.path / "daemon.pid").exists, "the daemon runs")
    pids = toy.everyone()
    watches = [child for child in psutil.Process(toy.process.pid).children() if child.pid not in pids]
    toy.process.send_signal(signal.SIGSTOP)  # or it would start another watch in between
    for watch in watches:
        watch.kill()
    toy.process.kill()
    toy.process.wait()
    clear(toy.home)
    assert gone(pids)
    assert not toy.home.record.exists()
    again = begin(f"server={SERVER}")
    again.until_said("all ready", times=2)


def test_a_process_id_that_belongs_to_someone_else_now_is_left_alone(begin: Callable[..., Stack]) -> None:
    toy = begin(f"server={SERVER}")
    toy.until_said("all ready")
    record = toy.record()
    toy.process.terminate()
    toy.process.wait(timeout=20)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    ) as bystander:
        part = record.parts["server"]
        assert part.process is not None
        part.process = type(part.process)(bystander.pid, part.process.created - 1000)
        record.supervisor = part.process
        record.write(toy.home.record)
        tidy(toy.home)
        assert bystander.poll() is None
        bystander.kill()


def test_a_part_that_dies_is_started_again_and_this_is_shown(begin: Callable[..., Stack]) -> None:
    toy = begin(f"server={SERVER}")
    toy.until_said("all ready")
    first = toy.pid("server")
    os.kill(first, signal.SIGKILL)
    toy.until_said("server ready", times=2)
    assert toy.pid("server") != first
    assert "server restarting ended with signal 9" in toy.said()
    assert toy.record().parts["server"].restarts == 1


def test_a_part_that_cannot_start_is_one_line_with_cause_and_log_and_ends_the_rest(begin: Callable[..., Stack]) -> None:
    toy = begin(f"server={SERVER}", "broken=raise PermissionError('no access to the thing') # {port}")
    assert toy.process.wait(timeout=20) == 1
    last = toy.said().splitlines()[-1]
    assert last.startswith("error: broken did not start: PermissionError: no access to the thing. Log: ")
    assert Path(last.split("Log: ")[1]).exists()
    assert not toy.home.record.exists()


def test_a_second_supervisor_is_refused_and_does_no_harm(begin: Callable[..., Stack]) -> None:
    toy = begin(f"server={SERVER}")
    toy.until_said("all ready")
    second = begin(f"server={SERVER}")
    assert second.process.wait(timeout=20) == 1
    assert "is already running" in second.said().splitlines()[-1]
    assert toy.process.poll() is None
    assert not gone(toy.everyone())


def test_a_taken_port_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    from socket import create_server

    base = free_base()
    with create_server(("127.0.0.1", base + 3)):
        toy = Stack(Home(tmp_path / "home"), base, f"server={SERVER}")
        assert toy.process.wait(timeout=20) == 1
    assert toy.said().startswith(f"error: port {base + 3} on 127.0.0.1 is taken by process {os.getpid()}")
    assert len(toy.said().splitlines()) == 1
    assert not toy.home.path.exists()


@contextmanager
def unwritable(folder: Path) -> Iterator[Path]:
    """A folder in which not even root can write."""
    if os.geteuid() == 0:
        yield Path("/proc/self")
    else:
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with unwritable(tmp_path) as folder, pytest.raises(OperatorError, match=r"can't write .*INBOXOPS_HOME"):
        Home(folder / "home").make()


def test_secrets_are_made_once_and_for_us_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.make()
    first = load_or_make_secrets(home, Ports(base=20_000))
    again = load_or_make_secrets(home, Ports(base=21_000))
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.env_file.stat().st_mode) == 0o600
    moved = {name for name in first.values if first[name] != again[name]}
    assert moved == {name for name in first.values if name.endswith(("_URL", "_ENDPOINT", "_AUTHORITY"))}
    assert all(value not in repr(first) for value in first.values.values())
