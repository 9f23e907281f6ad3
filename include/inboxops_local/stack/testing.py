"""The stack for tests: real servers on free ports in a folder of the test's own, gone when the block ends."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from inboxops.errors import OperatorError
from inboxops.orchestrator.airflow import Airflow
from inboxops.settings import ENV_FILE, Settings
from inboxops_local.stack.airflow import ADMIN
from inboxops_local.stack.home import Home, read_env
from inboxops_local.stack.layout import command
from inboxops_local.stack.ports import Ports
from inboxops_local.stack.postgres import erase
from inboxops_local.stack.record import Record
from inboxops_local.stack.show import SETTLED
from inboxops_local.stack.spawn import die_with


@contextmanager
def running(
    home: Path,
    *options: str,
    base: int | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = 180.0,
) -> Iterator[Settings]:
    """Run `inboxops up --no-demo` with more `options` (`--only=services` takes about 5 s), and stop it afterwards.

    It also stops when the test process is killed. base: the first port. environment: instead of ours. Raises OperatorError when
    it is not ready in `seconds`.
    """
    ports = Ports(base=base or free_base())
    given = os.environ if environment is None else environment
    environment = {**given, "INBOXOPS_HOME": str(home), "INBOXOPS_PORT_BASE": str(ports.base)}
    log = home.with_name(f"{home.name}.up.log")
    with log.open("w") as file:
        child = subprocess.Popen(
            command("up", "--no-demo", *options),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with(os.getpid(), signal.SIGTERM),
        )
    try:
        _wait(child, home, log, seconds)
        yield _settings(home)
    finally:
        child.terminate()
        child.wait(timeout=60)
        erase(Home(home))


def person(home: Path) -> Airflow:
    """Airflow for who logs in as a person: the account of the product itself may start some runs and read none."""
    kept = read_env(home / ENV_FILE)
    return Airflow(kept["INBOXOPS_AIRFLOW_URL"], ADMIN, kept["STACK_AIRFLOW_ADMIN_PASSWORD"], timeout=60)


def _settings(home: Path) -> Settings:
    """What stands in the home's file, whatever the environment says: tests must never reach another installation."""
    ours = {name.removeprefix("INBOXOPS_").lower(): value for name, value in read_env(home / ENV_FILE).items()}
    return Settings.model_validate(ours)


def _wait(child: subprocess.Popen[bytes], home: Path, log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while child.poll() is None and time.monotonic() < deadline:
        record = Record.read(home / "stack.json")
        if record is not None and record.all_in(SETTLED):
            return
        time.sleep(0.05)
    raise OperatorError(f"the stack is not ready: {log.read_text()[-2000:]}", fix=f"Logs: {home / 'logs'}")


def free_base() -> int:
    """The first of enough free ports in a row, below the range that the system gives to clients."""
    for _ in range(100):
        base = random.randrange(20_000, 32_000, 20)
        if all(_free(port) for port in Ports(base=base).all):
            return base
    raise OperatorError("no free block of ports between 20000 and 32000", fix="End what uses them")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
