"""The supervisor with real child processes: order, restarts, and nothing left behind however it ends."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from socket import create_server

import psutil
import pytest

from inboxops.errors import OperatorError
from inboxops_local.stack.home import Home, load_or_make_secrets
from inboxops_local.stack.launch import down, tidy, whole
from inboxops_local.stack.layout import Layout
from inboxops_local.stack.lock import LOOK_SECONDS, Held, exclusive, held
from inboxops_local.stack.ports import Ports
from inboxops_local.stack.record import Identity, Record, members
from inboxops_local.stack.spawn import LOG_BYTES
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
        self.home, self.base = home, base
        self.output = home.path.with_name("output")
        with self.output.open("a") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(TOY), str(home.path), str(base), *parts], stdout=file, stderr=subprocess.STDOUT
            )

    def said(self) -> str:
        return self.output.read_text()

    def until_said(self, text: str, *, times: int = 1, seconds: float = 20.0) -> None:
        until(lambda: self.said().count(text) >= times or self.process.poll() is not None, text, seconds=seconds)
        assert self.said().count(text) >= times, self.said()

    def record(self) -> Record:
        record = Record.read(self.home.record)
        assert record is not None
        return record

    def pid(self, part: str) -> int:
        identity = self.record().parts[part].process
        assert identity is not None
        return identity.pid

    def kill(self) -> None:
        """As no handler can see it coming."""
        self.process.kill()
        self.process.wait()

    def watch(self) -> psutil.Process:
        run = self.record().run
        return next(child for child in psutil.Process(self.process.pid).children() if run in child.cmdline())

    def kill_watch(self) -> None:
        self.process.send_signal(signal.SIGSTOP)  # or it would start another watch in between
        self.watch().kill()

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
    assert toy.process.wait(timeout=60) == 0
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


def test_a_part_that_lives_and_says_nothing_is_started_anew(begin: Callable[..., Stack]) -> None:
    toy = begin(f"server={SERVER}")
    toy.until_said("all ready")
    os.kill(toy.pid("server"), signal.SIGSTOP)
    until(lambda: "server restarting hangs: no answer for" in toy.said(), "the silence is noticed", seconds=60)
    toy.until_said("server ready", times=2)
    assert "no answer" in toy.record().parts["server"].why


def test_a_part_whose_log_is_gone_and_whose_record_can_not_be_written_comes_back(begin: Callable[..., Stack]) -> None:
    """A full disk takes both; who tends a part must not end by it."""
    toy = begin(f"server={SERVER}")
    toy.until_said("all ready")
    log = toy.home.path / "logs" / "server.log"
    log.unlink()
    log.mkdir()
    draft = toy.home.record.with_suffix(".new")
    draft.mkdir()
    os.kill(toy.pid("server"), signal.SIGKILL)
    toy.until_said("server restarting ended with signal 9: its log can't be read")
    log.rmdir()
    toy.until_said("server ready", times=2)
    draft.rmdir()


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
    toy.kill()
    until(lambda: gone(pids), "the watch cleared up", seconds=40)


def test_a_stack_in_the_background_comes_back_when_its_supervisor_is_killed(
    begin: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_AGAIN", "yes")
    toy = begin(f"deaf={STUBBORN}{SERVER}")
    toy.until_said("all ready")
    first = toy.everyone()
    toy.process.kill()
    toy.process.wait()
    log = toy.home.path / "up.log"
    until(lambda: log.exists() and "all ready" in log.read_text(), "it is there again", seconds=60)
    assert gone(first)
    assert toy.record().missed in log.read_text().splitlines()[0]
    second = toy.everyone()
    assert down(toy.home)
    assert gone(second)
    assert not toy.home.record.exists()


@pytest.fixture
def in_background(begin: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Stack]]:
    """Starts one that comes back when its supervisor is killed."""
    monkeypatch.setenv("TOY_AGAIN", "yes")
    toys: list[Stack] = []

    def start(*parts: str) -> Stack:
        toys.append(begin(*parts))
        toys[-1].until_said("all ready")
        return toys[-1]

    yield start
    for toy in toys:
        down(toy.home)


def up_log(toy: Stack) -> str:
    log = toy.home.path / "up.log"
    return log.read_text() if log.exists() else ""


def test_what_can_not_start_again_at_first_is_tried_until_it_does(in_background: Callable[..., Stack]) -> None:
    toy = in_background(f"server={SERVER}")
    with create_server(("127.0.0.1", toy.base + 3)):
        toy.kill()
        until(lambda: "it did not start (status 1); again in 2 s" in up_log(toy), "it is tried twice", seconds=40)
    assert f"port {toy.base + 3} on 127.0.0.1 is taken" in up_log(toy)
    until(lambda: "all ready" in up_log(toy), "it is there again", seconds=60)


def test_a_part_that_does_not_come_at_once_when_all_is_started_again_is_tried_again(
    in_background: Callable[..., Stack],
) -> None:
    """Nobody sits before it who would."""
    ill = "import os, sys; os.path.exists(os.environ['INBOXOPS_HOME'] + '/ill') and sys.exit('error: ill')"
    toy = in_background(f"server={ill}\n{SERVER}", f"job={ill}", f"other={SERVER}")
    (toy.home.path / "ill").touch()
    toy.kill()
    until(lambda: "server restarting server did not start: error: ill" in up_log(toy), "it falls", seconds=40)
    (toy.home.path / "ill").unlink()
    until(lambda: "all ready" in up_log(toy), "all of it is there", seconds=60)


def test_what_was_stopped_before_it_came_back_stays_down(begin: Callable[..., Stack]) -> None:
    """`down` came while the command that starts it again was still being loaded."""
    toy = begin(f"server={SERVER}")
    toy.until_said("all ready")
    toy.kill_watch()
    toy.kill()
    assert down(toy.home)
    again = begin(f"server={SERVER}", "12:00:00")
    assert again.process.wait(timeout=60) == 1
    assert again.said().splitlines()[-1].startswith("error: the stack was stopped meanwhile")


def test_down_waits_for_one_that_is_about_to_come_back(begin: Callable[..., Stack]) -> None:
    """It holds the home, and the record is still that of the run before it."""
    toy = begin(f"server={SERVER}")
    toy.until_said("all ready")
    toy.kill_watch()
    toy.kill()
    with ThreadPoolExecutor(1) as pool:
        with exclusive(toy.home.lock):
            stopping = pool.submit(down, toy.home)
            with pytest.raises(TimeoutError):
                stopping.result(timeout=2 * LOOK_SECONDS)
            toy.home.record.unlink()
        assert stopping.result(timeout=60)


def test_one_that_is_killed_while_it_ends_is_not_started_again(
    in_background: Callable[..., Stack],
) -> None:
    toy = in_background(f"deaf={STUBBORN}{SERVER}")
    watch, parts = toy.watch(), toy.everyone()
    toy.process.terminate()
    until(lambda: toy.record().ends, "it ends")
    toy.kill()
    until(lambda: gone(parts | {watch.pid}), "all of it has gone", seconds=40)
    assert up_log(toy) == ""


def test_who_only_looks_keeps_no_supervisor_out(tmp_path: Path) -> None:
    lock = tmp_path / "stack.lock"
    lock.touch()
    with ThreadPoolExecutor(2) as pool:
        looks = [pool.submit(lambda: [held(lock) for _ in range(2000)]) for _ in range(2)]
        for _ in range(20):
            with exclusive(lock):
                pass
        assert len([look.result() for look in looks]) == 2
    assert not held(lock)
    with exclusive(lock):
        assert held(lock)
        with pytest.raises(Held, match="is already running"), exclusive(lock):
            pass


@pytest.mark.skipif(sys.platform != "linux", reason="a limit is put on another process")
def test_a_supervisor_that_can_not_look_after_everything_says_so_and_goes_on(begin: Callable[..., Stack]) -> None:
    toy = begin(f"server={SERVER}")
    toy.until_said("all ready")
    supervisor = psutil.Process(toy.process.pid)
    limits = supervisor.rlimit(psutil.RLIMIT_NOFILE)
    supervisor.rlimit(psutil.RLIMIT_NOFILE, (3, limits[1]))
    toy.watch().kill()
    toy.until_said("the supervisor can't look after everything: OSError(24")
    supervisor.rlimit(psutil.RLIMIT_NOFILE, limits)
    toy.until_said("it looks after everything again")
    assert toy.watch().is_running()
    assert toy.record().trouble == ""


def test_its_own_log_is_kept_within_bounds(begin: Callable[..., Stack]) -> None:
    toy = begin(f"server={SERVER}")
    toy.until_said("all ready")
    log = toy.home.path / "up.log"
    log.write_bytes(b"a line\n" * (LOG_BYTES // 6))
    until(lambda: log.stat().st_size == 0, "it is cut")
    assert log.with_suffix(".log.1").stat().st_size > LOG_BYTES


def test_a_job_without_a_deadline_says_now_and_then_that_it_is_at_it(begin: Callable[..., Stack]) -> None:
    toy = begin("job=import time; print('table 3 of 9', flush=True); time.sleep(3)", f"server={SERVER}")
    toy.until_said("job starting for 1 s: table 3 of 9")
    toy.until_said("all ready")


def test_the_jobs_that_grow_with_the_data_have_no_deadline(tmp_path: Path) -> None:
    home, ports = Home(tmp_path / "home"), Ports(base=20_000)
    home.make()
    parts = whole(Layout(home, ports, load_or_make_secrets(home, ports)))
    assert {part.name for part in parts if part.deadline is None} == {"schema", "airflow-db"}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody adopts orphans: each is executed")
@pytest.mark.parametrize("has_watch", [True, False])
def test_what_the_nursery_forked_does_not_survive_a_killed_supervisor(
    begin: Callable[..., Stack], has_watch: bool
) -> None:
    """Without a watch the kernel tells them. One that hears nothing is left to the watch."""
    toy = begin("nursery=", "forked=-m http.server --bind 127.0.0.1 {port}")
    toy.until_said("all ready", seconds=120)
    pids = {toy.pid("nursery"), toy.pid("forked")}
    assert not gone({toy.pid("forked")})
    if has_watch:
        os.kill(toy.pid("forked"), signal.SIGSTOP)
    else:
        toy.kill_watch()
    toy.kill()
    until(lambda: gone(pids), "nothing of it runs", seconds=40)


@pytest.mark.parametrize("clear", [down, tidy])
def test_the_next_command_clears_up_when_even_the_watch_was_killed(
    begin: Callable[..., Stack], clear: Callable[[Home], object]
) -> None:
    toy = begin(f"daemon={DAEMON}{SERVER}", f"deaf={STUBBORN}{SERVER}")
    toy.until_said("all ready")
    until((toy.home.path / "daemon.pid").exists, "the daemon runs")
    pids = toy.everyone()
    toy.kill_watch()
    toy.kill()
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
    toy.process.wait(timeout=60)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    ) as bystander:
        part = record.parts["server"]
        assert part.process is not None
        part.process = replace(part.process, pid=bystander.pid)
        record.supervisor = part.process
        record.write(toy.home.record)
        tidy(toy.home)
        assert bystander.poll() is None
        bystander.kill()


def test_a_step_of_the_clock_makes_no_process_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the clock the boot lies elsewhere, by which psutil tells when a process was created."""
    here = Identity.of(os.getpid())
    moved = psutil.boot_time() + 600
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: moved)
    assert here.alive
    assert os.getpid() in {process.pid for process in members(here)}


def test_who_has_the_id_after_another_boot_is_someone_else() -> None:
    here = Identity.of(os.getpid())
    assert here.boot
    assert replace(here, boot="another").is_taken()


def test_a_record_of_an_older_version_still_names_its_processes(tmp_path: Path) -> None:
    """The stack that an update finds running is stopped by the new command."""
    older = {"pid": os.getpid(), "created": psutil.Process().create_time()}
    path = tmp_path / "stack.json"
    part = {"state": "ready", "process": older, "ports": [20_000], "restarts": 0, "why": "", "log": "", "detail": ""}
    path.write_text(json.dumps({"run": "x", "supervisor": older, "port_base": 20_000, "parts": {"server": part}}))
    record = Record.read(path)
    assert record is not None
    assert record.supervisor.alive
    assert not replace(record.supervisor, created=older["created"] - 1000).alive


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
    assert toy.process.wait(timeout=60) == 1
    last = toy.said().splitlines()[-1]
    assert last.startswith("error: broken did not start: PermissionError: no access to the thing. Log: ")
    assert Path(last.split("Log: ")[1]).exists()
    assert not toy.home.record.exists()


def test_a_second_supervisor_is_refused_and_does_no_harm(begin: Callable[..., Stack]) -> None:
    toy = begin(f"server={SERVER}")
    toy.until_said("all ready")
    second = begin(f"server={SERVER}")
    assert second.process.wait(timeout=60) == 1
    assert "is already running" in second.said().splitlines()[-1]
    assert toy.process.poll() is None
    assert not gone(toy.everyone())


def test_a_taken_port_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    base = free_base()
    with create_server(("127.0.0.1", base + 3)):
        toy = Stack(Home(tmp_path / "home"), base, f"server={SERVER}")
        assert toy.process.wait(timeout=60) == 1
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
