"""The nursery: one process that has loaded Airflow, and of which the supervisor has Airflow's others forked (Linux alone).

What they share is in memory once, and loaded once. Nothing runs here: no thread, no connection, no task. Each child is handed
to the supervisor, so that it is watched and ended as if it had been executed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from inboxops_local.stack.spawn import die_with, open_log

SOCKET = "nursery.sock"
READY = b"ready"
ANSWER_SECONDS = 20.0
LOOK_SECONDS = 5.0  # for whether it answers at all: the supervisor, which asks, waits for ten
ADOPTION_SECONDS = 5.0

LOADED = (
    "airflow.__main__",
    "airflow.cli.cli_parser",
    "airflow.cli.commands.api_server_command",
    "airflow.cli.commands.dag_processor_command",
    "airflow.cli.commands.scheduler_command",
    "airflow.cli.commands.triggerer_command",
    "airflow.executors.local_executor",
    "airflow.api_fastapi.app",
    "airflow.api_fastapi.core_api.app",
    "airflow.api_fastapi.execution_api.app",
    "airflow.api_fastapi.execution_api.routes",
    "airflow.api_fastapi.execution_api.versions",
    "inboxops_local.stack.airflow",  # says what their host is called
    "inboxops_plugin",
)
"""What Airflow's processes load as they start; what tasks need, and so they too, is in `airflow_local_settings`."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A process to be forked.

    arguments: what `python -m` gets. supervisor: id of the process that adopts it, and with which it ends by `stop_signal`.
    """

    arguments: tuple[str, ...]
    log: str
    supervisor: int
    stop_signal: int


async def is_ready(folder: Path) -> bool:
    """Whether the nursery of this folder has loaded everything, and answers."""
    try:
        return await _asked(folder, b"", seconds=LOOK_SECONDS) == READY
    except OSError:
        return False


async def hangs(folder: Path) -> str:
    """Why the nursery is to be started anew, "" while it is well. What it has forked goes on."""
    return "" if await is_ready(folder) else "it does not answer"


async def fork(folder: Path, arguments: Sequence[str], log: Path, stop_signal: signal.Signals) -> int:
    """The id of a new process, a child of ours, which must be the one that adopts orphans.

    Raises OSError when there is no nursery, or what it forked ended at once.
    """
    wish = Wish(tuple(arguments), str(log), os.getpid(), int(stop_signal))
    answer = await _asked(folder, json.dumps(asdict(wish)).encode(), seconds=ANSWER_SECONDS)
    if not answer.isdigit():
        raise OSError("the nursery gave no process")
    return int(answer)


async def _asked(folder: Path, wish: bytes, *, seconds: float) -> bytes:
    """Its answer. Raises OSError when there is none in that time."""
    async with asyncio.timeout(seconds):
        with _short(folder) as path:
            reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(wish)
            writer.write_eof()
            return await reader.read()
        finally:
            writer.close()


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """The socket's path by a descriptor: one in full is cut off after 107 bytes, and homes lie deep."""
    descriptor = os.open(folder, os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


def main(folder: Path) -> None:
    """Load, then fork until a signal ends us; in a child become what was wished for."""
    for module in LOADED:
        import_module(module)
    from airflow_local_settings import load_what_tasks_need  # Airflow put it in reach

    load_what_tasks_need()
    gc.collect()
    gc.freeze()  # a collection in a child would write to, and so copy, all of this
    _become(_serve(folder))


def _serve(folder: Path) -> Wish:
    """Fork one after the other. Returns in a child, with what it is to be."""
    (folder / SOCKET).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        with _short(folder) as path:
            server.bind(path)
        server.listen()
        while True:
            connection, _ = server.accept()
            with connection, suppress(OSError):  # who asked has gone
                with connection.makefile("rb") as stream:
                    said = stream.read()
                if not said:
                    connection.sendall(READY)
                    continue
                wish = Wish(**json.loads(said))
                pid = _fork(wish)
                if pid is None:
                    return wish
                try:
                    connection.sendall(pid)
                except OSError:
                    os.kill(int(pid), signal.SIGKILL)  # nobody knows of it, and there might soon be two


def _fork(wish: Wish) -> bytes | None:
    """None in the child; to us its id, or nothing when it ended at once. The process between us ends, so that it is an orphan."""
    reading, writing = os.pipe()
    if between := os.fork():
        os.close(writing)
        os.waitpid(between, 0)
        with os.fdopen(reading, "rb") as pipe:
            return pipe.read()
    if os.fork():
        os._exit(0)
    os.close(reading)
    os.setsid()
    deadline = time.monotonic() + ADOPTION_SECONDS
    while os.getppid() != wish.supervisor and time.monotonic() < deadline:
        time.sleep(0.001)
    if ask := die_with(wish.supervisor, signal.Signals(wish.stop_signal)):
        ask()  # ends us when the supervisor has gone
    os.write(writing, str(os.getpid()).encode())
    os.close(writing)
    return None


def _become(wish: Wish) -> None:
    from setproctitle import setproctitle  # comes with Airflow; the supervisor does without both

    descriptor = open_log(Path(wish.log))
    os.dup2(descriptor, sys.stdout.fileno())
    os.dup2(descriptor, sys.stderr.fileno())
    os.close(descriptor)
    module, *arguments = wish.arguments
    sys.argv = [module, *arguments]
    setproctitle(" ".join((sys.executable, "-m", *wish.arguments)))
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
