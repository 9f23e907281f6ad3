"""What is running, on disk: enough for another process to show it, stop it, or clear up after a supervisor that was killed.

A process is named by its id and when it was created, so an id that the system gave to someone else is never signalled.
Every part leads a session of its own; whatever it forks stays in that session unless it leaves on purpose, and then it
still carries the run's id in its environment.

It imports little: the watch, which is nothing but this, is there as long as the stack is.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import psutil

from inboxops.errors import OperatorError

RUN_VARIABLE = "INBOXOPS_STACK_RUN"


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that can't be mistaken for another one.

    created: seconds since the boot that `boot` names (Linux), which no step of the clock moves. Without one, elsewhere and in
    records of versions up to 0.1, seconds since the epoch.
    """

    pid: int
    created: float
    boot: str = ""

    @classmethod
    def of(cls, pid: int) -> Identity:
        """Raises psutil.NoSuchProcess."""
        boot = _boot()
        return cls(pid, _since_boot(pid) if boot else psutil.Process(pid).create_time(), boot)

    def is_taken(self) -> bool:
        """Whether the id belongs to someone else now."""
        try:
            if self.boot:
                return self.boot != _boot() or _since_boot(self.pid) != self.created
            return psutil.Process(self.pid).create_time() != self.created
        except psutil.Error:
            return False  # it is nobody's

    @property
    def alive(self) -> bool:
        try:
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE and not self.is_taken()
        except psutil.Error:
            return False


def _boot() -> str:
    """What names this boot of the machine, "" where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _since_boot(pid: int) -> float:
    """When the process began, in seconds since the boot: field 22 of proc_pid_stat(5). Raises psutil.NoSuchProcess."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()  # behind the name: from field 3 on
    except OSError as exc:
        raise psutil.NoSuchProcess(pid) from exc
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class PartRecord:
    state: str = "waiting"  # waiting, starting, ready, done, restarting, stopped, failed
    process: Identity | None = None
    ports: tuple[int, ...] = ()
    restarts: int = 0
    why: str = ""  # it was restarted the last time
    log: str = ""
    detail: str = ""
    grace: float = 10.0  # seconds to end in, as `Part` has it


@dataclass(slots=True)
class Record:
    """One run of the stack, whose id is `run`. It goes with a run that was stopped in good order."""

    run: str
    supervisor: Identity
    port_base: int
    parts: dict[str, PartRecord] = field(default_factory=dict)
    renewals: int = 0  # how often the secrets were read again
    refused: str = ""  # why the last time came to nothing
    missed: str = ""  # when the supervisor before this one was killed
    ends: bool = False  # it was told to stop: should its supervisor be killed now, nobody starts it again
    trouble: str = ""  # what keeps the supervisor from looking after logs, orphans and its watch

    def all_in(self, states: Collection[str]) -> bool:
        return all(part.state in states for part in self.parts.values())

    def write(self, path: Path) -> None:
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self), indent=1))
        draft.replace(path)

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """The record of the last run that did not end in good order, or None.

        One that was cut off, as a machine without power leaves it, names no process that is alive.
        """
        try:
            data = json.loads(path.read_text())
            parts = {
                name: PartRecord(
                    **{
                        **part,
                        "process": part["process"] and Identity(**part["process"]),
                        "ports": tuple(part["ports"]),
                    }
                )
                for name, part in data["parts"].items()
            }
            return cls(
                data["run"],
                Identity(**data["supervisor"]),
                data["port_base"],
                parts,
                data.get("renewals", 0),
                data.get("refused", ""),
                data.get("missed", ""),
                data.get("ends", False),
                data.get("trouble", ""),
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None


def members(leader: Identity) -> list[psutil.Process]:
    """Every living process of the part that `leader` leads: its session, and its descendants that began sessions of their own."""
    if leader.is_taken():
        return []  # so the session is long gone
    found: dict[int, psutil.Process] = {}
    others: list[tuple[int, psutil.Process]] = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.pid == leader.pid or os.getsid(process.pid) == leader.pid:
                found[process.pid] = process
            else:
                others.append((process.ppid(), process))
    while related := [(parent, process) for parent, process in others if parent in found and process.pid not in found]:
        found.update((process.pid, process) for _, process in related)
    return list(found.values())


def strays(run: str) -> list[psutil.Process]:
    """Processes outside their part's session that still carry the run's id in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(RUN_VARIABLE) == run:
                found.append(process)
    return found


def end(find: Callable[[], Iterable[psutil.Process]], *, grace: float) -> None:
    """Ask the processes that `find` returns to stop, wait `grace` seconds, then kill until it finds none."""
    for process in find():
        with suppress(psutil.Error):
            process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    while processes := list(find()):
        if time.monotonic() - asked >= grace:
            for process in processes:
                with suppress(psutil.Error):
                    process.kill()
        time.sleep(0.05)  # not wait(2): some are children whose status someone else waits for
        if time.monotonic() - asked > grace + 10:
            names = ", ".join(str(process.pid) for process in processes)
            raise OperatorError(f"processes {names} do not end even when killed", fix="Look at them with `ps`")


def clear(record: Record) -> None:
    """End everything that a run has left behind, each part within its own grace. Does nothing when nothing is left.

    Raises OperatorError as `end` does.
    """
    began = time.monotonic()

    def left(grace: float) -> list[psutil.Process]:
        """What is of no part that has longer."""
        families = [(part.grace, members(part.process)) for part in record.parts.values() if part.process]
        spared = {process.pid for longer, family in families if longer > grace for process in family}
        found = {
            process.pid: process for process in (*strays(record.run), *(one for _, all_ in families for one in all_))
        }
        return [process for pid, process in found.items() if pid not in spared and pid != os.getpid()]

    for grace in sorted({part.grace for part in record.parts.values()}):
        end(partial(left, grace), grace=max(0.0, began + grace - time.monotonic()))
