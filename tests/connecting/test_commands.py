"""`inboxops stand-in`, `inbox connect`, `test` and `disconnect` as a person types them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from inboxops.cli import app
from inboxops.oauth.http import trust
from tests.connecting.conftest import Stage


def inboxops(stage: Stage, *arguments: str) -> str:
    env = {f"INBOXOPS_{name.upper()}": _plain(value) for name, value in stage.world.settings if value}
    result = CliRunner().invoke(app, list(arguments), env=env)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def _plain(value: object) -> str:
    reveal = getattr(value, "get_secret_value", None)
    return str(reveal() if reveal else value)


def test_from_the_printed_link_to_an_inbox_and_back(stage: Stage) -> None:
    link = inboxops(
        stage, "inbox", "connect", stage.kind, "--tenant", stage.tenant, "--mailbox", stage.address, "--no-browser"
    )
    assert stage.browser().connect(link).status_code == 200
    name = stage.inbox().name
    assert "0 messages" in inboxops(stage, "inbox", "test", name)
    assert "is disconnected" in inboxops(stage, "inbox", "disconnect", name)
    again = inboxops(stage, "inbox", "connect", stage.kind, "--again", name, "--no-browser")
    assert stage.browser().connect(again).status_code == 200
    assert stage.inbox().is_live
    inboxops(stage, "inbox", "remove", name, "--yes")
    assert stage.world.inboxes.all(stage.tenant) == []


@pytest.mark.parametrize("kind", ["gmail", "graph"])
def test_a_stand_in_needs_nothing_else(kind: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "inboxops.cli",
        "stand-in",
        kind,
        "--user",
        "help@example.org",
        "--folder",
        str(tmp_path),
    ]
    env = {name: value for name, value in os.environ.items() if not name.startswith("INBOXOPS_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"https://localhost:\d+", process.stdout.readline())
            assert found is not None
            http = httpx.Client(base_url=found[0], verify=trust(str(tmp_path / "ca.pem")))
            answer = http.post("/_admin/messages", params={"to": "help@example.org"}, content=b"Subject: x\r\n\r\n")
            assert answer.status_code == 201
            assert http.get("/v1.0/me" if kind == "graph" else "/gmail/v1/users/me/profile").status_code == 401
        finally:
            process.terminate()
