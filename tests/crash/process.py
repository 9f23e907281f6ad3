"""A process that forks one for each order: `python -m tests.crash.process`. What takes a second to import is imported once.

An order is a line of JSON on stdin, the answer one on stdout: how the process ended, which boundaries it crossed, and the error
that ended it, if one did.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).parents[2]
SECONDS = 90
"""A process that takes longer hangs."""


@dataclass(frozen=True, slots=True)
class Ended:
    """status: 0, or the number of the signal below zero. error: "" or a traceback."""

    status: int
    crossed: dict[str, int] = field(default_factory=dict)
    error: str = ""

    @property
    def was_killed(self) -> bool:
        return self.status == -signal.SIGKILL


class Processes:
    """The end of the pipe that gives orders. environment: what the processes have besides ours."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._forking = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.process"],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, **order: Any) -> Ended:
        """Live the life of an inbox, or the part of it up to a boundary, in a process of its own. what: another life."""
        assert self._forking.stdin is not None
        assert self._forking.stdout is not None
        print(json.dumps(order), file=self._forking.stdin, flush=True)
        return Ended(**json.loads(self._forking.stdout.readline()))

    def stop(self) -> None:
        assert self._forking.stdin is not None
        self._forking.stdin.close()
        self._forking.wait(timeout=SECONDS)


def _serve(orders: TextIO, answers: TextIO) -> None:
    from inboxops import providers
    from inboxops.storage import bulk
    from tests.crash import life

    assert bulk  # imported here, so that no fork has to
    for kind in providers.PROVIDERS:
        providers.provider(kind), providers.prober(kind), providers.sender(kind)
    for line in orders:
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setsid()  # a group of its own, which is killed together
                os.close(ours)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a task's log; stdout is for answers
                told = _lived(life, json.loads(line))
                os.write(theirs, json.dumps(told).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(theirs)
        patience = threading.Timer(SECONDS, os.killpg, (child, signal.SIGTERM))
        patience.start()
        with os.fdopen(ours) as reading:
            told = json.loads(reading.read() or "{}")
        _, status = os.waitpid(child, 0)
        patience.cancel()
        patience.join()  # no thread while the next is forked
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), **told}), file=answers, flush=True)


def _lived(life: Any, order: dict[str, Any]) -> dict[str, Any]:
    path = life.Path(order.pop("point", ""), order.pop("nth", 1))
    lived, error = getattr(life, order.pop("what", "live")), ""
    try:
        lived(path, **order)
    except Exception:  # noqa: BLE001  # it is the answer
        error = traceback.format_exc()
    return {"crossed": dict(path.crossed), "error": error}


if __name__ == "__main__":
    _serve(sys.stdin, sys.stdout)
