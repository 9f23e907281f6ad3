"""`inboxops status` says whether mail goes its way: parts may all be ready, and nothing runs in them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from inboxops_local.stack.home import Home
from inboxops_local.stack.layout import command
from inboxops_local.stack.lock import exclusive
from inboxops_local.stack.ports import Ports
from inboxops_local.stack.record import Identity, PartRecord, Record
from inboxops_local.stack.testing import free_base
from tests.intruders.liar import http_that, lying

LATE = "late: no task has run for 93 s"


@pytest.fixture
def ports() -> Ports:
    return Ports(base=free_base())


def status(home: Home, ports: Ports) -> tuple[int, list[str]]:
    """Of a stack whose parts are ready."""
    home.make()
    Record("run", Identity.of(os.getpid()), ports.base, {"api": PartRecord("ready")}).write(home.record)
    environment = {**os.environ, "INBOXOPS_HOME": str(home.path)}
    with exclusive(home.lock):
        done = subprocess.run(command("status"), env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, [line for line in done.stdout.splitlines() if ": " in line]


@pytest.mark.parametrize(
    ("pulse", "code", "said"),
    [
        ("12 s ago", 0, ["pulse: 12 s ago"]),
        (LATE, 1, [f"pulse: {LATE}", "looks: no inbox", "database: ok", "redis: ok"]),
    ],
)
def test_the_pulse_stands_below_the_parts(tmp_path: Path, ports: Ports, pulse: str, code: int, said: list[str]) -> None:
    is_late = code == 1
    found = {"status": "unavailable" if is_late else "ok", "pulse": pulse, "looks": "no inbox"}
    body = json.dumps({**found, "database": "ok", "redis": "ok"}).encode()
    head = f"HTTP/1.1 {503 if is_late else 200} x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with lying(None, talk=http_that(head + body, lambda line: None), port=ports.api):
        assert status(Home(tmp_path / "home"), ports) == (code, said)


def test_a_pulse_that_nobody_knows_of_is_none(tmp_path: Path, ports: Ports) -> None:
    assert status(Home(tmp_path / "home"), ports) == (1, ["pulse: not known: the API does not answer"])
