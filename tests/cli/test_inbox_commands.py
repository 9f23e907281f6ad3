"""`inboxops inbox ...` as a person types it: what works, and what each mistake is answered with."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server

import pytest

from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops_lab.testing.certificates import Authority
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.processes import free_ports
from tests.stories.conftest import connect, mail

PASSWORD = "secret password"


class Shell:
    """Runs commands as a user would, against the test's servers."""

    def __init__(self, settings: Settings, home: Path) -> None:
        named = {
            f"INBOXOPS_{name.upper()}": value for name, value in settings.model_dump().items() if value is not None
        }
        plain = {k: v.get_secret_value() if hasattr(v, "get_secret_value") else str(v) for k, v in named.items()}
        self.environment = {**os.environ, **plain, "INBOXOPS_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "200"}
        self.environment["INBOXOPS_AIRFLOW_URL"] = "http://127.0.0.1:1"

    def __call__(self, *arguments: str, stdin: str = PASSWORD + "\n", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "inboxops.cli", *arguments],
            env={**self.environment, **more},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture
def shell(services: Settings, tmp_path: Path) -> Shell:
    return Shell(services, tmp_path)


@pytest.fixture
def user(mail_server: MailServer) -> str:
    name = f"u{uuid.uuid4().hex[:12]}"
    mail_server.add_user(name, PASSWORD)
    return name


def add_arguments(mail_server: MailServer, tenant: str, user: str, **changed: str) -> list[str]:
    options = {
        "host": "localhost",
        "port": str(mail_server.port_imaps),
        "tenant": tenant,
        "username": user,
        "ca-file": mail_server.ca_file,
        "name": "support",
    } | {name.replace("_", "-"): value for name, value in changed.items()}
    return ["inbox", "add", "support@acme.example", *(f"--{name}={value}" for name, value in options.items())]


def test_a_mailbox_is_connected_shown_tested_read_paused_and_removed(
    shell: Shell, mail_server: MailServer, tenant: str, user: str
) -> None:
    added = shell(*add_arguments(mail_server, tenant, user))
    assert added.returncode == 0, added.stderr
    assert "connected support@acme.example as support" in added.stdout
    mail_server.append(user, mail("Hello"))
    for arguments in (("test",), ("show",), ("fetch", "--here"), ("pause",), ("resume",)):
        done = shell("inbox", arguments[0], "support", "--tenant", tenant, *arguments[1:])
        assert done.returncode == 0, done.stderr
        assert PASSWORD not in done.stdout + done.stderr
    listed = json.loads(shell("tickets", "--tenant", tenant, "--json").stdout)
    assert (listed["ticket_number"], listed["subject"]) == (1, "Hello")
    assert shell("inbox", "remove", "support", "--tenant", tenant, "--yes").returncode == 0
    assert shell("inbox", "show", "support", "--tenant", tenant).returncode == 1


def test_waking_an_inbox_while_airflow_is_away_is_remembered(
    shell: Shell, mail_server: MailServer, tenant: str, user: str
) -> None:
    shell(*add_arguments(mail_server, tenant, user))
    done = shell("inbox", "fetch", "support", "--tenant", tenant)
    assert done.returncode == 0
    assert "woken once it does" in done.stdout


def test_the_password_comes_from_the_environment_too(
    shell: Shell, mail_server: MailServer, tenant: str, user: str
) -> None:
    done = shell(*add_arguments(mail_server, tenant, user), stdin="", INBOXOPS_PASSWORD=PASSWORD)
    assert done.returncode == 0, done.stderr


@contextmanager
def server_with(context: ssl.SSLContext | None) -> Iterator[int]:
    """A server that greets like IMAP, over TLS when a context is given; its port."""
    listener = create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
                if context is not None:
                    connection = context.wrap_socket(connection, server_side=True)
                connection.sendall(b"* OK ready\r\n")
                connection.close()
            except OSError:
                continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    over.set()
    thread.join()
    listener.close()


def expect_refusal(done: subprocess.CompletedProcess[str], world: World, tenant: str, *words: str) -> None:
    """One line on stderr that says what to do, exit code not 0, nothing half-made."""
    assert done.returncode != 0
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert all(word in lines[0] for word in words), lines[0]
    assert PASSWORD not in done.stderr + done.stdout
    assert world.inboxes.all(tenant) == []


def test_a_wrong_password(shell: Shell, world: World, mail_server: MailServer, tenant: str, user: str) -> None:
    expect_refusal(shell(*add_arguments(mail_server, tenant, user), stdin="wrong\n"), world, tenant, "password")


def test_no_password(shell: Shell, world: World, mail_server: MailServer, tenant: str, user: str) -> None:
    expect_refusal(shell(*add_arguments(mail_server, tenant, user), stdin=""), world, tenant, "INBOXOPS_PASSWORD")


def test_an_unknown_host(shell: Shell, world: World, mail_server: MailServer, tenant: str, user: str) -> None:
    done = shell(*add_arguments(mail_server, tenant, user, host="no-such-host.invalid"))
    expect_refusal(done, world, tenant, "no-such-host.invalid")


def test_a_closed_port(shell: Shell, world: World, mail_server: MailServer, tenant: str, user: str) -> None:
    [port] = free_ports(1)
    expect_refusal(shell(*add_arguments(mail_server, tenant, user, port=str(port))), world, tenant, str(port))


def test_an_expired_certificate(
    shell: Shell, world: World, mail_server: MailServer, tenant: str, user: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    certificate = authority.issue("late", expired=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    with server_with(context) as port:
        done = shell(*add_arguments(mail_server, tenant, user, port=str(port), ca_file=str(authority.ca_file)))
    expect_refusal(done, world, tenant, "expired")


def test_a_plain_text_server_on_the_tls_port(
    shell: Shell, world: World, mail_server: MailServer, tenant: str, user: str
) -> None:
    with server_with(None) as port:
        expect_refusal(shell(*add_arguments(mail_server, tenant, user, port=str(port))), world, tenant, "TLS")


def test_a_folder_that_does_not_exist(
    shell: Shell, world: World, mail_server: MailServer, tenant: str, user: str
) -> None:
    expect_refusal(shell(*add_arguments(mail_server, tenant, user, folder="Nowhere")), world, tenant, "Nowhere")


def test_a_tenant_that_does_not_exist(
    shell: Shell, world: World, mail_server: MailServer, tenant: str, user: str
) -> None:
    expect_refusal(shell(*add_arguments(mail_server, "nobody-at-all", user)), world, tenant, "inboxops tenant add")


def test_a_name_that_is_taken(shell: Shell, mail_server: MailServer, tenant: str, user: str) -> None:
    assert shell(*add_arguments(mail_server, tenant, user)).returncode == 0
    again = shell(*add_arguments(mail_server, tenant, user))
    assert again.returncode == 1
    assert "Give this one another name" in again.stderr


def test_raw_mail_is_written_to_stdout_and_nothing_else_is(
    shell: Shell, world: World, mail_server: MailServer, tenant: str, user: str
) -> None:
    mail_server.append(user, mail("Raw"))
    assert shell(*add_arguments(mail_server, tenant, user)).returncode == 0
    assert shell("inbox", "fetch", "support", "--tenant", tenant, "--here").returncode == 0
    with world.database.transaction() as t:
        number = t.connection.execute(
            "SELECT b.id FROM inbound b JOIN tenants t ON t.id = b.tenant_id WHERE slug = %s", (tenant,)
        ).fetchone()
    assert number is not None
    done = shell("inbound", "raw", str(number["id"]))
    assert done.returncode == 0, done.stderr
    assert "Subject: Raw\n" in done.stdout and done.stdout.endswith("Please help.\n")
    missing = shell("inbound", "raw", "999999999")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "no inbound message 999999999" in missing.stderr


def test_without_settings_the_error_names_what_is_missing(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("INBOXOPS_")} | {
        "INBOXOPS_HOME": str(tmp_path)
    }
    done = subprocess.run(
        [sys.executable, "-m", "inboxops.cli", "tickets"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "INBOXOPS_DATABASE_URL" in done.stderr


def test_lists_are_bounded_the_newest_first_and_filtered(
    shell: Shell, world: World, tenant: str, mail_server: MailServer
) -> None:
    first, second = (connect(world, tenant, mail_server, name=name) for name in ("first", "second"))
    for number in range(3):
        first.deliver(mail(f"Question {number}"))
        first.run()
    second.deliver(
        mail("Elsewhere"), mail("You won", more="X-Spam-Flag: YES"), mail("You won too", more="X-Spam-Flag: YES")
    )
    second.run()

    def shown(*arguments: str) -> list[dict[str, object]]:
        result = shell(*arguments, "--tenant", tenant, "--json")
        assert result.returncode == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    assert [row["subject"] for row in shown("tickets", "--limit", "2")] == ["Elsewhere", "Question 2"]
    assert [row["subject"] for row in shown("tickets", "--inbox", "first")] == [
        "Question 2",
        "Question 1",
        "Question 0",
    ]
    assert shown("tickets", "--state", "closed") == []
    assert [row["subject"] for row in shown("inbound", "list", "--inbox", "second", "--limit", "1")] == ["You won too"]
    assert [row["name"] for row in shown("inbox", "list")] == ["second", "first"]
    assert shown("inbox", "list", "--state", "paused") == shown("inbox", "list", "--trouble") == []
    said = shell("tickets", "--tenant", tenant, "--limit", "2").stdout
    assert "The newest 2 are shown; --limit shows more." in said


def test_every_setting_of_an_inbox_and_of_its_tenant_is_set_by_command(
    shell: Shell, world: World, tenant: str, mail_server: MailServer
) -> None:
    box = connect(world, tenant, mail_server)
    done = shell(
        "inbox", "set", "support", "--tenant", tenant, "--display-name", "Help desk",
        "--trusted-server", "mx.acme.example", "--spam-header", "X-Our-Spam",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    inbox = box.inbox
    assert (inbox.display_name, inbox.spam_headers) == ("Help desk", ("X-Our-Spam",))
    assert inbox.trusted_authserv_ids == {"mx.acme.example"}
    shell("inbox", "set", "support", "--tenant", tenant, "--trusted-server", "")
    assert (box.inbox.trusted_authserv_ids, box.inbox.display_name) == (frozenset(), "Help desk")
    assert shell("tenant", "set", tenant, "--reopen-days", "3").returncode == 0
    assert box.inbox.reopen_days == 3
    assert "there is no tenant 'nobody'" in shell("tenant", "set", "nobody", "--name", "X").stderr
