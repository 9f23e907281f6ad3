"""docs/connect-gmail.md and docs/connect-microsoft.md followed to the letter: the commands that stand there, in their order."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from inboxops.oauth.http import trust
from inboxops_lab.bench.place import api, without_ours
from inboxops_lab.testing.processes import free_ports
from inboxops_local.stack.layout import command
from inboxops_local.stack.testing import running
from tests.stories.conftest import mail

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {"connect-gmail.md": "google", "connect-microsoft.md": "microsoft"}
MAILBOX = "support@acme.example"


def typed(page: str, begin: str) -> list[str]:
    """The first command of the page that begins so."""
    found = re.search(rf"^`?.*?({re.escape(begin)}[^`\n#]*)", (DOCS / page).read_text(), re.MULTILINE)
    assert found, f"{page} has no command `{begin}`"
    return shlex.split(found[1])


@contextmanager
def stand_in(page: str, environment: Mapping[str, str]) -> Iterator[list[str]]:
    """What the page's own command serves, with an account of ours; the settings that it prints."""
    (port,) = free_ports(1)
    arguments = typed(page, "inboxops stand-in")[1:]
    arguments[arguments.index("--port") + 1] = str(port)
    child = subprocess.Popen(
        command(*arguments, "--user", MAILBOX), env=dict(environment), stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        lines = []
        for line in child.stdout:
            lines.append(line)
            if "PROVIDER_CA_FILE" in line:
                break
        yield [line for line in lines if line.startswith("INBOXOPS_")]
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(timeout=60)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("pages") / "home"
    with running(home, "--only=services", environment=without_ours()):
        yield home


@pytest.mark.parametrize("page", PAGES)
def test_who_follows_the_page_has_a_mailbox_whose_mail_becomes_tickets(home: Path, page: str) -> None:
    environment = {**without_ours(), "INBOXOPS_HOME": str(home), "COLUMNS": "400"}

    def inboxops(*arguments: str) -> str:
        done = subprocess.run(command(*arguments), env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    subprocess.run([sys.executable, "-m", "inboxops_local.stack.jobs", "schema"], env=environment, check=True)
    if "acme" not in inboxops("tenant", "list"):
        inboxops("tenant", "add", "acme")
    with stand_in(page, environment) as settings:
        with (home / "inboxops.env").open("a") as file:
            file.writelines(settings)
        with api(home) as (url, _):
            environment["INBOXOPS_API_URL"] = url
            link = re.search(r"https?://\S+", inboxops(*typed(page, "inboxops inbox connect")[1:]))
            assert link
            trusted = next(line for line in settings if "CA_FILE" in line).split("=", 1)[1].strip()
            with httpx.Client(verify=trust(trusted), follow_redirects=True, trust_env=False) as browser:
                answer = browser.get(link[0])
                assert answer.status_code == 200, answer.text
                assert "connected" in answer.text
                theirs = str(answer.history[1].request.url.copy_with(path="/", query=None))
                browser.post(f"{theirs}_admin/messages", params={"to": MAILBOX}, content=mail(f"By {page}"))
            (name,) = (
                row["name"]
                for row in map(json.loads, inboxops("inbox", "list", "--json").splitlines())
                if row["name"].startswith("support-acme") and row["connection_type"] in ("gmail", PAGES[page])
            )
            inboxops("inbox", "fetch", name, "--here")
            assert f"By {page}" in inboxops("tickets")
            inboxops("inbox", "remove", name, "--yes")
