"""A task's log as Airflow makes it: the task writes lines of JSON into a pipe, its supervisor reads them, masks and files them.

`python -m inboxops_lab.bench.tasklog LOG` writes the lines of a log again, many times over, and says what one costs in CPU-seconds.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from airflow.sdk.execution_time.supervisor import process_log_messages_from_subprocess
from airflow.sdk.log import configure_logging, logging_processors

REPEATED = 20_000  # lines or so: a second, against which starting a process is little


@dataclass(slots=True)
class Reader:
    """cpu_seconds: of the process that stands for the supervisor, once it has ended."""

    cpu_seconds: float = 0.0


@contextmanager
def written(log: Path) -> Iterator[Reader]:
    """What this process and its children log goes into `log`, by way of a process that stands for the supervisor."""
    reading, writing = os.pipe()
    if not (supervisor := os.fork()):
        os.close(writing)
        with suppress(BaseException):
            _supervise(reading, log)
            os._exit(0)
        os._exit(1)
    os.close(reading)
    reader = Reader()
    with os.fdopen(writing, "wb", buffering=0) as pipe:
        configure_logging(json_output=True, output=pipe, sending_to_supervisor=True)
        yield reader
    _, status, used = os.wait4(supervisor, 0)
    if status:
        raise RuntimeError("what stands for the supervisor failed")
    reader.cpu_seconds = used.ru_utime + used.ru_stime


def _supervise(reading: int, log: Path) -> None:
    configure_logging()
    with log.open("ab") as file, os.fdopen(reading, "rb") as lines:
        task = structlog.wrap_logger(
            structlog.BytesLogger(file), processors=logging_processors(json_output=True), logger_name="task"
        ).bind()
        filing = process_log_messages_from_subprocess((task,))
        next(filing)
        for line in lines:
            filing.send(line)


def _line_seconds(log: Path) -> float:
    """CPU-seconds of one line of these, of the task and of its supervisor together."""
    events = [json.loads(line) for line in log.read_bytes().splitlines()]
    added = ("timestamp", "level", "logger", "filename", "lineno")  # what logging adds by itself
    said = [{name: value for name, value in event.items() if name not in added} for event in events]
    times = REPEATED // len(said)
    return (_written(said * times) - _written([])) / (len(said) * times)


def _written(events: list[dict[str, object]]) -> float:
    with tempfile.TemporaryDirectory(prefix="inboxops-bench-") as folder:
        before = time.process_time()
        with written(Path(folder) / "log") as reader:
            log = structlog.get_logger("inboxops.mail")
            for event in events:
                log.info(**event)
        return time.process_time() - before + reader.cpu_seconds


if __name__ == "__main__":
    sys.stdout.write(f"{_line_seconds(Path(sys.argv[1]))}\n")
