"""`inboxops certificate ...` as an operator types it, and as a cron job reads it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from inboxops.composition import intake
from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops_lab.testing.mailserver import MailServer
from tests.cli.test_inbox_commands import Shell
from tests.stories.conftest import connect, mail


@pytest.fixture
def shell(services: Settings, tmp_path: Path) -> Shell:
    return Shell(services, tmp_path)


def test_certificates_are_made_listed_shown_and_verified(
    shell: Shell, world: World, tenant: str, mail_server: MailServer
) -> None:
    of = ("--tenant", tenant)
    missing = shell("certificate", "show", *of)
    assert missing.returncode == 1
    assert "there is no certificate" in missing.stderr

    box = connect(world, tenant, mail_server)
    box.deliver(mail("One"))
    intake.fetch(world, box.inbox_id)
    made = shell("certificate", "make", *of)
    assert made.returncode == 0, made.stderr
    assert "1 mails since 20" in made.stdout
    assert "UTC, each accounted for" in made.stdout
    box.query("UPDATE inbound SET state = 'persisted' WHERE inbox_id = %s RETURNING 1", box.inbox_id)
    open_ = shell("certificate", "make", *of, "--json")
    assert (open_.returncode, json.loads(open_.stdout)["unaccounted"]) == (1, 1)

    (second, first) = map(json.loads, shell("certificate", "list", *of, "--json").stdout.splitlines())
    assert (second["number"], second["unaccounted"], first["unaccounted"]) == (2, 1, 0)
    shown = shell("certificate", "show", *of).stdout
    assert "mail_nowhere" in shown
    assert "backup" in shown
    signed = shell("certificate", "show", *of, "--day", second["day"], "--json").stdout.removesuffix("\n")
    assert hashlib.sha256(signed.encode()).hexdigest() == second["digest"]
    assert json.loads(signed)["previous"] == first["digest"]

    box.query("UPDATE inbound SET state = 'listed' WHERE inbox_id = %s RETURNING 1", box.inbox_id)
    world.inboxes.pause(box.inbox_id, paused=True)
    not_asked = shell("certificate", "make", *of)
    assert (not_asked.returncode, "not asked: support" in not_asked.stdout) == (1, True)

    assert "3 certificates, each signed" in shell("certificate", "verify", *of).stdout
    box.query(
        "UPDATE certificates SET body = body || ' ' WHERE tenant_id = %s AND number = 1 RETURNING 1",
        box.inbox.tenant_id,
    )
    wrong = shell("certificate", "verify", *of)
    assert wrong.returncode == 1
    assert "certificate 1 was changed" in wrong.stdout
