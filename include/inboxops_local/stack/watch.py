"""The watch: one small process that outlives a killed supervisor just long enough to clear up after it.

Its standard input is a pipe that only the supervisor holds; end of file means that the supervisor is gone. It acts only on
the record of the run it was started for, so it can never touch the processes of the next run.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from inboxops_local.stack.record import Record, clear


def main(record_path: Path, run: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    record = Record.read(record_path)
    if record is not None and record.run == run:
        clear(record)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
