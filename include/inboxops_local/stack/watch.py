"""The watch: one small process that outlives a killed supervisor just long enough to clear up after it.

Its standard input is a pipe that only the supervisor holds; end of file means that the supervisor is gone. It acts only on
the record of the run it was started for, so it can never touch the processes of the next run. A stack in the background it
starts again: nobody sits before it who would.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from inboxops.errors import OperatorError
from inboxops_local.ending import SIGNALS
from inboxops_local.stack.record import Record, clear

LOG = "up.log"
LONGEST_PAUSE = 60.0  # seconds between two tries
POLL = 0.5


def main(record_path: Path, run: str, again: Sequence[str]) -> None:
    """again: the command that starts everything again; it is told when the supervisor was missed. Empty: nobody does.

    It is tried until there is the record of another run, which has a watch of its own, or none: then somebody has stopped it.
    """
    _answer(signal.SIG_IGN)
    while os.read(0, 1):
        pass
    missed, pause = time.strftime("%H:%M:%S"), 1.0
    log = record_path.parent / LOG
    if again and (record := _left(record_path, run)) and not record.ends:
        _say(log, f"the supervisor was killed at {missed}: all of it is ended, and starts again")
    while record := _left(record_path, run):
        try:
            clear(record)
            if record.ends or not again:
                return
            why = _start([*again, missed], log, until=lambda: _left(record_path, run) is None)
        except (OperatorError, OSError) as exc:
            why = str(exc)
        if why:
            _say(log, f"{why}; again in {pause:.0f} s")
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _left(record_path: Path, run: str) -> Record | None:
    """The record of that run, unless somebody has cleared up, or started another one, meanwhile."""
    record = Record.read(record_path)
    return record if record is not None and record.run == run else None


def _start(command: Sequence[str], log: Path, *, until: Callable[[], bool]) -> str:
    """Why it came to nothing, "" as soon as nobody waits for it any more."""
    with log.open("ab") as file:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: _answer(signal.SIG_DFL),  # or it would be as deaf as we are
        )
    while not until():
        if child.poll() is not None:
            return f"it did not start (status {child.returncode})"
        time.sleep(POLL)
    return ""


def _answer(action: signal.Handlers) -> None:
    for number in SIGNALS:
        signal.signal(number, action)


def _say(log: Path, line: str) -> None:
    with suppress(OSError), log.open("a") as file:  # a full disk is told of by nobody, and must not end us
        file.write(f"{time.strftime('%H:%M:%S')} {line}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
