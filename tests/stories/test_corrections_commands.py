"""`inboxops corrections ...` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from inboxops.cli import app
from inboxops.composition import correcting
from inboxops.composition.world import World
from inboxops.core.corrections import Kind, Request
from tests.stories.conftest import Mailbox, mail


def inboxops(world: World, *arguments: str) -> str:
    plain = {name: getattr(value, "get_secret_value", lambda value=value: value)() for name, value in world.settings}
    env = {f"INBOXOPS_{name.upper()}": str(value) for name, value in plain.items() if value}
    result = CliRunner().invoke(app, list(arguments), env=env)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_what_was_put_right_is_listed_written_out_and_taken_back(
    mailbox: Mailbox, world: World, tenant: str, tmp_path: Path
) -> None:
    mailbox.deliver(mail("Cheap watches", sender="ann@customer.example"))
    mailbox.run()
    ((message,),) = mailbox.query("SELECT id FROM messages WHERE inbox_id = %s", mailbox.inbox_id)
    correcting.correct(world, mailbox.inbox.tenant_id, Request(Kind.SPAM, "Ann", message_id=int(str(message))))
    of = ("--tenant", tenant)
    (row,) = map(json.loads, inboxops(world, "corrections", "list", *of, "--json").splitlines())
    assert (row["kind"], row["made_by"]) == ("spam", "Ann")

    inboxops(world, "corrections", "export", str(tmp_path / "quiet"), *of)
    (label,) = map(json.loads, (tmp_path / "quiet" / "labels.jsonl").read_text().splitlines())
    assert label["label"] == "spam"
    assert [file.name for file in (tmp_path / "quiet").iterdir()] == ["labels.jsonl"], "no mail without --personal"
    inboxops(world, "corrections", "export", str(tmp_path / "whole"), *of, "--personal")
    assert b"Subject: Cheap watches" in (tmp_path / "whole" / label["path"]).read_bytes()

    inboxops(world, "corrections", "undo", str(row["id"]), *of, "--by", "Bo")
    inboxops(world, "corrections", "export", str(tmp_path / "none"), *of)
    assert (tmp_path / "none" / "labels.jsonl").read_text() == ""
