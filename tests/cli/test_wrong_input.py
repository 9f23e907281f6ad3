"""What a command is given and can't be done as given: one line that says so, exit code not 0, and nothing changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.processes import free_ports
from tests.cli.test_inbox_commands import Shell
from tests.stories.conftest import connect

NO_UTF8 = os.fsdecode(b"\xff")
TOO_LARGE = str(10**20)
TOO_LONG_AGO = "99999999"


@pytest.fixture
def shell(services: Settings, tmp_path: Path) -> Shell:
    return Shell(services, tmp_path)


def refused(shell: Shell, *arguments: str) -> str:
    """What it says: a line of ours, or the command line's own under how it is called."""
    done = shell(*arguments)
    assert done.returncode in (1, 2), done.stdout
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].lower().startswith("error: "), done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "command",
    [
        "tickets",
        "inbound list",
        "inbox list",
        "inbox show support",
        "inbox push",
        "canary list",
        "key list",
        "notify list",
        "trace x@y.example",
        "erase x@y.example --dry-run",
    ],
)
def test_a_tenant_that_is_not_there_is_no_empty_list(shell: Shell, command: str) -> None:
    said = refused(shell, *command.split(), "--tenant", "nobody-at-all")
    assert "there is no tenant 'nobody-at-all'. `inboxops tenant list` shows those there are" in said


@pytest.mark.parametrize(
    "command", ["tickets --limit", "inbound list --limit", "canary show", "replay show --tenant T", "trace --limit"]
)
def test_a_number_that_no_column_holds(shell: Shell, tenant: str, command: str) -> None:
    words = command.replace("trace", "trace x@y.example").replace("--tenant T", f"--tenant {tenant}").split()
    assert "the database does not hold what was given: bigint out of range" in refused(shell, *words, TOO_LARGE)


@pytest.mark.parametrize("command", ["tickets --tenant", "key revoke", "tenant set X --name"])
def test_bytes_that_are_no_text(shell: Shell, command: str) -> None:
    assert "is no text in UTF-8" in refused(shell, *command.split(), NO_UTF8)


@pytest.mark.parametrize(
    "command",
    [
        "tenant set X --reopen-days",
        "inbox add x@y.example --tenant X --host localhost --first-sync-days",
        "inbox connect gmail --tenant X --first-sync-days",
        "inbox rehearse support --days",
        "replay preview --tenant X --days",
        "rules preview --tenant X --days",
        "rules try --tenant X parcels --days",
        "upgrade check --days",
    ],
)
def test_more_days_than_can_be_counted_back(shell: Shell, command: str) -> None:
    assert "less than or equal to 36500" in refused(shell, *command.split(), TOO_LONG_AGO)


@pytest.mark.parametrize(
    "command", ["inbox set support --display-name", "tenant set X --name", "key add --tenant X --name"]
)
def test_a_name_is_one_line_as_the_api_has_it(shell: Shell, command: str) -> None:
    assert "line end" in refused(shell, *command.split(), "Help desk\nBcc: all@acme.example")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_template_that_can_not_be_read(
    shell: Shell, world: World, tenant: str, mail_server: MailServer, tmp_path: Path, content: bytes | None
) -> None:
    connect(world, tenant, mail_server)
    file = tmp_path / "template"
    if content is not None:
        file.write_bytes(content)
    said = refused(shell, "inbox", "auto-response", "support", "--tenant", tenant, "--template", str(file))
    assert f"{file} can't be read" in said


def test_a_change_of_an_inbox_that_is_refused_changes_nothing(
    shell: Shell, world: World, tenant: str, mail_server: MailServer
) -> None:
    box = connect(world, tenant, mail_server)
    change = ["inbox", "set", "support", "--tenant", tenant, "--display-name", "New"]
    assert "15 to 10080" in refused(shell, *change, "--canary-minutes", "14")
    assert "there is no inbox 'nowhere'" in refused(shell, *change, "--canary-from", "nowhere")
    assert box.inbox.display_name != "New"


def test_a_state_that_no_mail_is_in(shell: Shell, tenant: str) -> None:
    assert "'spam' is not one of 'parked'" in refused(shell, "inbound", "list", "--state", "spam")
    assert shell("inbound", "list", "--tenant", tenant, "--state", "duplicate", "--state", "parked").returncode == 0


def test_another_channel_is_made_with_renew_alone(shell: Shell) -> None:
    assert "--renew" in refused(shell, "inbox", "push", "support", "--anew")


def test_examples_are_written_to_a_folder_of_a_tenant_that_is_there(shell: Shell, tenant: str, tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    refused(shell, "corrections", "export", str(folder), "--tenant", "nobody-at-all")
    assert not folder.exists()
    folder.write_text("a file")
    assert "can't be written to" in refused(shell, "corrections", "export", str(folder), "--tenant", tenant)


def test_an_inbox_with_a_password_has_no_consent_to_take_back(
    shell: Shell, world: World, tenant: str, mail_server: MailServer
) -> None:
    connect(world, tenant, mail_server)
    said = refused(shell, "inbox", "disconnect", "support", "--tenant", tenant)
    assert "support is connected without a consent. `inboxops inbox pause NAME` stops it" in said
    assert [
        json.loads(line)["state"] for line in shell("inbox", "list", "--tenant", tenant, "--json").stdout.splitlines()
    ] == ["connected"]


def test_a_database_that_is_away_is_one_line_too(shell: Shell) -> None:
    [port] = free_ports(1)
    done = shell("tickets", INBOXOPS_DATABASE_URL=f"postgresql://nobody@127.0.0.1:{port}/none")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: the application database is away: connection failed")
    assert line.endswith("accepting TCP/IP connections? Is PostgreSQL running? `inboxops doctor` tells")


def closed(stream: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command whose shell closed a stream, as what starts services may do."""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -m inboxops.cli "$@" {stream}', sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("command", ["secrets generate", "--help", "inbox list --help"])
def test_without_an_output_there_is_nothing_to_say(command: str) -> None:
    done = closed(">&-", *command.split())
    assert (done.returncode, done.stderr) == (0, "")


def test_without_an_input_no_password_is_given(shell: Shell, tenant: str) -> None:
    add = ["inbox", "add", "x@y.example", "--host", "localhost", "--tenant", tenant]
    done = closed("<&-", *add, **shell.environment)
    assert done.stderr.startswith("error: no password of x@y.example was given")


def test_an_output_that_takes_no_such_letters_has_their_numbers(shell: Shell, world: World, tenant: str) -> None:
    world.inboxes.set_tenant(tenant, name="Müller", reopen_days=None)
    said = shell("tenant", "list", "--json", PYTHONIOENCODING="ascii")
    assert said.returncode == 0, said.stderr
    assert r'"name":"M\xfcller"' in said.stdout
