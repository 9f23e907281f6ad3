"""How the stack looks on a terminal: progress while it starts, the table of `status`, memory."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Self

import psutil
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from inboxops_local.stack import checks
from inboxops_local.stack.ports import Ports
from inboxops_local.stack.record import PartRecord, Record, members

SETTLED = frozenset({"ready", "done"})
SIGNS = {
    "ready": Text("✓", "green"),
    "done": Text("✓", "green"),
    "failed": Text("✗", "red"),
    "restarting": Text("↻", "yellow"),
    "stopped": Text("·", "dim"),
}


class Progress:
    """Hears of every change. On a terminal it draws all parts until `finish`; otherwise it prints a line for each change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._parts: dict[str, PartRecord] = {}
        self._live: Live | None = None
        self._spinner = Spinner("dots")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=8)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Leave the last drawing as it is; from now on changes are printed line by line."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def heard(self, name: str, part: PartRecord) -> None:
        self._parts[name] = part
        if self._live is None and (part.state != "starting" or part.detail):
            seconds = time.monotonic() - self._began
            self._console.print(
                f"{seconds:6.1f} s  {name}: {part.state}  {part.detail}", highlight=False, soft_wrap=True
            )

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, part in self._parts.items():
            ports = ", ".join(map(str, part.ports[:2]))
            table.add_row(SIGNS.get(part.state, self._spinner), name, part.state, ports, part.detail)
        return table


def status_table(record: Record) -> Table:
    """One row for each server: part, state, process, port, memory (PSS of all its processes, MB), restarts."""
    table = Table("part", "state", "process", "port", "memory (PSS)", "restarts")
    total, complete = 0, True
    for name, part in record.parts.items():
        if part.state == "done" or part.process is None:
            continue
        used, whole = memory(part)
        total, complete = total + used, complete and whole
        ports = ", ".join(map(str, part.ports[:2]))
        state = part.state if part.process.alive else "gone"
        table.add_row(name, state, str(part.process.pid), ports, _mb(used, whole), str(part.restarts or ""))
    own, _ = _pss([psutil.Process(record.supervisor.pid), *_watches(record)])
    table.add_row("supervisor", "ready", str(record.supervisor.pid), "", _mb(own), "")
    table.add_section()
    table.add_row("sum", "", "", "", _mb(total + own, complete), "")
    return table


def mail_moves(ports: Ports) -> tuple[bool, list[str]]:
    """Whether mail goes its way, as our API knows, and lines that say so: parts may all be ready, and nothing runs in them."""
    # The API waits for its database for some seconds before it says that it is away.
    status, body = checks.get(f"http://{checks.HOST}:{ports.api}/readyz", seconds=10.0)
    if status not in (200, 503):
        return False, ["pulse: not known: the API does not answer"]
    found = json.loads(body)
    well = found["status"] == "ok"
    return well, [f"{name}: {found[name]}" for name in ("pulse", *(() if well else ("looks", "database", "redis")))]


def memory(part: PartRecord) -> tuple[int, bool]:
    """Bytes of PSS in all processes of a part, and whether all of them let us look."""
    return _pss(members(part.process)) if part.process else (0, True)


def _watches(record: Record) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return [child for child in psutil.Process(record.supervisor.pid).children() if record.run in child.cmdline()]
    return []


def _pss(processes: list[psutil.Process]) -> tuple[int, bool]:
    """Airflow's workers hide their memory from everyone but root (prctl(2), PR_SET_DUMPABLE) once they have run a task."""
    total, whole = 0, True
    for process in processes:
        try:
            info = process.memory_full_info()
        except psutil.AccessDenied:
            whole = False
        except psutil.Error:
            continue
        else:
            total += getattr(info, "pss", info.uss)  # macOS knows only USS
    return total, whole


def _mb(size: int, whole: bool = True) -> str:
    return f"{'' if whole else '> '}{size / 1e6:.0f} MB"
