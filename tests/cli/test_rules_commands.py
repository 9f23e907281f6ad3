"""`inboxops rules ...` as an admin types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops_lab.testing.mailserver import MailServer
from tests.cli.test_inbox_commands import Shell
from tests.stories.conftest import connect, mail

PARCELS = {
    "name": "parcels",
    "conditions": [{"on": "sender", "op": "contains", "values": ["@parcels.example"]}],
    "actions": {"set_aside": "parcel notices"},
}
HELP = {
    "name": "help",
    "enabled": True,
    "conditions": [{"on": "subject", "op": "is", "values": ["HILFE"]}],
    "actions": {"tags": ["help"], "priority": "high"},
}


@pytest.fixture
def shell(services: Settings, tmp_path: Path) -> Shell:
    return Shell(services, tmp_path)


def done(shell: Shell, *arguments: str, stdin: str = "") -> str:
    result = shell("rules", *arguments, stdin=stdin)
    assert result.returncode == 0, result.stderr
    return " ".join(result.stdout.split())


def test_rules_are_set_tried_switched_on_ordered_and_removed(
    shell: Shell, world: World, mail_server: MailServer, tenant: str, tmp_path: Path
) -> None:
    mailbox = connect(world, tenant, mail_server)
    mailbox.deliver(mail("Parcel 1", sender="bot@parcels.example"), mail("Hilfe"))
    mailbox.run()
    file = tmp_path / "rules.json"
    file.write_text(json.dumps([PARCELS, HELP]))
    tried = done(shell, "try", "parcels", "--tenant", tenant, "--file", str(file), "--days", "3")
    assert "rule parcels: holds for 1 of 2 mails of 3 days" in tried
    assert "1 of them are on tickets today" in tried
    assert "Parcel 1" in tried
    assert "none" not in done(shell, "set", "--tenant", tenant, str(file))
    assert "version 2: parcels, help" in done(shell, "on", "--tenant", tenant, "parcels")
    assert "version 3: help, parcels" in done(shell, "order", "--tenant", tenant, "help")
    shown = done(shell, "list", "--tenant", tenant)
    assert 'sender contains "@parcels.example"' in shown
    assert "tagged help; priority high" in shown
    as_json = shell("rules", "list", "--tenant", tenant, "--json").stdout
    assert [rule["name"] for rule in json.loads(as_json)] == ["help", "parcels"]
    assert "version 3:" in done(shell, "set", "--tenant", tenant, "-", stdin=as_json), "nothing changed: no new version"
    (trial,) = [json.loads(shell("rules", "try", "parcels", "--tenant", tenant, "--json").stdout)]
    assert (trial["read"], trial["matched"], trial["states"]) == (2, 1, {"persisted": 1})
    previewed = done(shell, "preview", "--tenant", tenant, "--off", "help", "--days", "3")
    assert "of 2 mails of 3 days would be otherwise by it" in previewed
    assert "version 4: help, parcels (off)" in done(shell, "off", "--tenant", tenant, "parcels")
    assert "version 5: help" in done(shell, "remove", "--tenant", tenant, "parcels")
    assert "removed parcels" in done(shell, "history", "--tenant", tenant)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "can't be read"),
        (json.dumps(PARCELS | {"conditions": [{"on": "colour"}]}), "rule parcels, condition 1: on is 'colour'. Use sender"),
        (json.dumps([PARCELS, PARCELS]), "two rules are named 'parcels'"),
        ("[" * 100_000, "can't be read"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_a_sentence_that_says_what_to_do(shell: Shell, tenant: str, content: str, said: str) -> None:
    result = shell("rules", "set", "--tenant", tenant, "-", stdin=content)
    assert result.returncode == 1
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_explain_and_rehearse_take_the_rules_of_a_file(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(mail("Parcel 1", sender="bot@parcels.example"))
    (tmp_path / "rules.json").write_text(json.dumps([PARCELS | {"enabled": True}]))
    given = (str(tmp_path / "a.eml"), "--rules", str(tmp_path / "rules.json"))
    explained = shell("explain", *given).stdout
    assert "mail rule parcels: set aside: parcel notices" in explained
    assert 'because sender contains "@parcels.example": bot@parcels.example' in explained
    [ruling] = json.loads(shell("explain", *given, "--jsonl").stdout)["mail_rules"]
    assert ruling["rule"] == "parcels"
    rehearsed = json.loads(shell("rehearse", *given, "--json").stdout)
    assert [(one["state"], one["reason"]) for one in rehearsed["aside"]] == [
        ("listed", "mail rule parcels: parcel notices")
    ]
