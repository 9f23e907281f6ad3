"""`inboxops replay ...` and `inboxops upgrade check` as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from typer.testing import CliRunner, Result

from inboxops.cli import app
from inboxops.composition.world import World
from tests.replay.conftest import Replays
from tests.stories.conftest import mail


def environment(world: World) -> dict[str, str]:
    plain = {name: getattr(value, "get_secret_value", lambda value=value: value)() for name, value in world.settings}
    return {f"INBOXOPS_{name.upper()}": str(value) for name, value in plain.items() if value}


def inboxops(world: World, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env=environment(world))


def test_stored_mail_is_previewed_applied_listed_and_taken_back(desk: Replays, world: World, tenant: str) -> None:
    desk.box.deliver(mail("Help", id="help"))
    desk.box.run()
    older = "UPDATE messages SET body_text = %s WHERE inbox_id = %s RETURNING 1"
    desk.box.query(older, "older", desk.box.inbox_id)
    of = ("--tenant", tenant)
    found = inboxops(world, "replay", "preview", *of, "--inbox", "support", "--days", "7")
    assert found.exit_code == 0, found.output
    assert "1 of 1 mails would be otherwise" in found.stdout
    assert "Please help." in found.stdout
    (row,) = map(json.loads, inboxops(world, "replay", "list", *of, "--json").stdout.splitlines())
    number = str(row["id"])
    assert inboxops(world, "replay", "apply", *of, number, "--group", "texts", "--here").exit_code == 1
    applied = inboxops(world, "replay", "apply", *of, number, "--group", "text", "--here")
    assert f"replay {number} is applied" in applied.stdout
    told = json.loads(inboxops(world, "replay", "show", *of, number, "--json").stdout)
    assert told["done"] == {"text": {"changed": 1, "undone": 0, "yielded": 0}}
    one = inboxops(world, "replay", "preview", *of, "--ticket", "1", "--json")
    assert json.loads(one.stdout)["report"]["groups"] == {}
    assert inboxops(world, "replay", "undo", *of, number, "--here").exit_code == 0
    assert desk.box.query("SELECT body_text FROM messages WHERE inbox_id = %s", desk.box.inbox_id) == [("older",)]


def test_an_update_is_checked_over_all_tenants_before_anything_is_changed(
    desk: Replays, world: World, tenant: str
) -> None:
    desk.box.deliver(mail("Help"))
    desk.box.run()

    def own() -> tuple[int, dict[str, object]]:
        # A process of its own: this one has threads, and the mail of all tenants is enough for forks.
        check = [sys.executable, "-m", "inboxops.cli", "upgrade", "check", "--days", "3", "--json"]
        done = subprocess.run(check, env=os.environ | environment(world), capture_output=True, text=True, timeout=120)
        told = {one["tenant"]: one["report"] for one in map(json.loads, done.stdout.splitlines())}
        return done.returncode, told[tenant]

    assert own()[1]["groups"] == {}
    desk.box.query("UPDATE messages SET body_text = 'older' WHERE inbox_id = %s RETURNING 1", desk.box.inbox_id)
    code, report = own()
    assert (code, report["groups"]) == (1, {"text": 1})
    assert desk.box.query("SELECT body_text FROM messages WHERE inbox_id = %s", desk.box.inbox_id) == [("older",)]
