"""A process killed at any point of sending leads to at most one mail, and none is lost without being told (ADR 0005)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inboxops.errors import InboxOpsError
from tests.sending.conftest import Agent, Desk
from tests.sending.smtpserver import STEPS, SteppedSmtp

ROOT = Path(__file__).parents[2]
SENDER = """
import sys
from inboxops.settings import Settings
from inboxops.composition import sending
from inboxops.composition.world import World
world = World(Settings.model_validate_json(sys.stdin.read()))
sending.send(world, int(sys.argv[1]), int(sys.argv[2]))
"""
TIMES = int(os.environ.get("INBOXOPS_TEST_KILLS", "1"))
"""How often each step is tried; `make kills` asks for 10."""


class Killer:
    """Kills the sender while the server holds its answer to `step`."""

    def __init__(self, step: str) -> None:
        self._step = step
        self.sender: subprocess.Popen[bytes] | None = None
        self.killed = False

    def __call__(self, step: str) -> bool:
        if step != self._step or self.killed:
            return True
        assert self.sender is not None
        self.sender.send_signal(signal.SIGKILL)
        self.sender.wait()
        self.killed = True
        return False


def start(desk: Agent, message_id: int) -> subprocess.Popen[bytes]:
    settings = {
        name: value.get_secret_value() if hasattr(value, "get_secret_value") else value
        for name, value in desk.world.settings
    }
    sender = subprocess.Popen([sys.executable, "-c", SENDER, str(message_id), "0"], stdin=subprocess.PIPE)
    assert sender.stdin is not None
    sender.stdin.write(json.dumps(settings).encode())
    return sender


@pytest.mark.parametrize("step", [step for step in STEPS for _ in range(TIMES)])
def test_a_kill_there_leads_to_one_mail_at_most_and_to_none_only_openly(desk: Desk, step: str) -> None:
    killer = Killer(step)
    server = SteppedSmtp(killer)
    desk.through(server.port, smtp_auth="none")
    accepted = desk.reply(desk.ticket())
    killer.sender = start(desk, accepted.message_id)
    assert killer.sender.stdin is not None
    killer.sender.stdin.close()
    killer.sender.wait(timeout=60)
    assert killer.killed
    desk.let_lease_end(accepted.message_id)
    for _ in range(2):  # as Airflow's next tries, or drain_outbox
        try:
            desk.send(accepted)
        except InboxOpsError as exc:
            assert exc.kind == "transient"
    status = desk.row(accepted.message_id)["send_status"]
    assert len(server.taken) <= 1
    assert status in ("sent", "unknown")
    assert status == "unknown" or len(server.taken) == 1, "what counts as sent was taken"
    if step in ("greeting", "MAIL", "RCPT", "DATA"):
        assert status == "sent", "before the last step a crash costs nothing but time"
    server.stop()
