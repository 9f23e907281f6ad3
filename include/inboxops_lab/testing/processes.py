"""Servers as processes of the test session: free ports, a deadline for starting, an end that leaves nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from inboxops_local.stack.spawn import die_with


def free_ports(count: int) -> list[int]:
    """TCP ports of 127.0.0.1 that nothing listened on a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [taken.getsockname()[1] for taken in sockets]
    finally:
        for taken in sockets:
            taken.close()


def wait_until(what: str, condition: Callable[[], bool], *, seconds: float = 60) -> None:
    """Poll `condition`; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds} s still waiting for: {what}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class ServerProcess:
    """A foreground server in a process group of its own, ready once it listens on all of `ports`; it ends when we are killed."""

    def __init__(
        self,
        command: Sequence[str | Path],
        ports: Sequence[int],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        seconds: float = 30,
    ) -> None:
        """environment: added to ours."""
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with(os.getpid(), signal.SIGTERM),
            )
        try:
            wait_until(
                f"{Path(str(command[0])).name} to listen on {ports}",
                lambda: self._alive(log) and all(listens(port) for port in ports),
                seconds=seconds,
            )
        except BaseException:
            self.stop()
            raise

    def _alive(self, log: Path) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._process.args!r} ended at once:\n{log.read_text(errors='replace')[-4000:]}")
        return True

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self, *, seconds: float = 10) -> None:
        """SIGTERM to the server, then SIGKILL to whatever is left of its group."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def shown(process: psutil.Process) -> str:
    """Its command line; "" once it has ended, whether or not somebody has buried it."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
