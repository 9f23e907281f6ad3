"""Servers that lie about who they are, that offer no TLS any more, or that send us elsewhere; and hosts that a tenant names."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from inboxops.composition import connecting, mailboxes
from inboxops.composition.world import World
from inboxops.core.reach import Reach
from inboxops.errors import InboxOpsError, TransientError
from inboxops.events import webhook
from inboxops.providers import sender
from tests.intruders.clients import CLIENTS, PASSWORD, account, look_at, notice, object_store
from tests.intruders.conftest import Victim
from tests.intruders.liar import LIES, Certificates, certificates, lying

__all__ = ["certificates"]  # a fixture

HERE = Reach.of("localhost 127.0.0.1")


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_server_that_is_not_who_it_says_is_told_nothing(certificates: Certificates, client: str, lie: str) -> None:
    with lying(certificates.liars[lie]) as liar:
        with pytest.raises(InboxOpsError) as refused:
            CLIENTS[client](liar.port, certificates.trusted)
        assert liar.heard == b"", "something was said behind a handshake that failed"
        assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_certificate_of_nobody_we_know_is_refused_by_what_the_system_trusts(
    certificates: Certificates, client: str
) -> None:
    with lying(certificates.honest) as liar:
        with pytest.raises(InboxOpsError):
            CLIENTS[client](liar.port, "")
        assert liar.heard == b""


def test_the_honest_server_is_spoken_to(certificates: Certificates) -> None:
    """Else the tests above would prove nothing. (Who speaks IMAP or SMTP waits for a greeting: tests/providers has honest ones.)"""
    for client in CLIENTS.keys() - {"IMAP", "SMTP"}:
        with lying(certificates.honest) as liar:
            liar.answer = b"HTTP/1.1 400 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            with suppress(InboxOpsError):
                CLIENTS[client](liar.port, certificates.trusted)
            assert liar.heard.startswith((b"GET", b"POST")), client


def stripped_imap(line: socket.socket) -> None:
    line.sendall(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN LOGIN] ready\r\n")


def stripped_smtp(line: socket.socket) -> None:
    line.sendall(b"220 ready\r\n")
    line.recv(1000)
    line.sendall(b"250-here\r\n250 AUTH PLAIN LOGIN\r\n")


@pytest.mark.parametrize(("client", "greeting"), [("IMAP", stripped_imap), ("SMTP", stripped_smtp)])
def test_where_starttls_was_taken_out_no_password_is_said(
    certificates: Certificates, client: str, greeting: Callable[[socket.socket], None]
) -> None:
    with lying(None, greeting) as liar:
        given = account("imap", liar.port, certificates.trusted, security="starttls")
        with pytest.raises(InboxOpsError) as refused:
            if client == "IMAP":
                look_at(given)
            else:
                sender("imap").check(given)
        assert PASSWORD.encode() not in liar.heard
        assert b"AUTH" not in liar.heard.upper().replace(b"CAPABILITY", b"")
        assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("lie", LIES)
def test_the_object_store_behind_tls_is_checked(
    certificates: Certificates, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.trusted))
    with lying(certificates.liars[lie]) as liar:
        with pytest.raises(InboxOpsError):
            object_store(liar.port, "")
        assert liar.heard == b""


@pytest.mark.parametrize("lie", LIES)
def test_a_notice_goes_to_no_server_that_is_not_who_it_says(
    certificates: Certificates, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.trusted))
    with lying(certificates.liars[lie]) as liar:
        with pytest.raises(TransientError):
            webhook.post(HERE, notice(f"https://localhost:{liar.port}/"))
        assert liar.heard == b""


def test_a_notice_goes_to_an_honest_server(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would prove nothing."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.trusted))
    with lying(certificates.honest) as liar:
        liar.answer = b"HTTP/1.1 204 taken\r\n\r\n"
        webhook.post(HERE, notice(f"https://localhost:{liar.port}/"))
        assert liar.heard.startswith(b"POST")


# -- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nobody_is_followed_to_another_host(certificates: Certificates, status: int) -> None:
    with lying(None) as elsewhere:
        where = f"Location: http://127.0.0.1:{elsewhere.port}/"
        head = f"HTTP/1.1 {status} moved\r\n{where}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        for client in ("JMAP", "Gmail", "Graph", "Graph, sending", "Gmail, sending", "signing in"):
            with lying(certificates.honest) as moved:
                moved.answer = head.encode()
                with suppress(InboxOpsError):
                    CLIENTS[client](moved.port, certificates.trusted)
                assert moved.heard, client
                assert elsewhere.heard == b"", client
        with lying(None) as moved:
            moved.answer = head.encode()
            with pytest.raises(TransientError):
                webhook.post(HERE, notice(f"http://127.0.0.1:{moved.port}/"))
            assert elsewhere.heard == b""


# -- what a tenant's admin says of servers


def test_a_file_that_a_tenant_names_is_never_read(victim: Victim) -> None:
    path = f"/v1/inboxes/{victim.ids['inbox_id']}"
    for named in ({"ca_file": "/etc/shadow"}, {"key_file": "/etc/shadow"}, {"public_only": False}):
        connection = {"host": "mail.example.com", **named}
        body: dict[str, Any] = {"connection": connection, "credentials": {"password": "x"}}
        for method, where, sent in (
            ("PATCH", path, body),
            ("POST", "/v1/inboxes", body | {"email_address": "a@b.example"}),
        ):
            answer = victim.api.http.request(method, where, json=sent, headers=victim.api.admin)
            assert answer.status_code == 422, answer.text
            assert "root:" not in answer.text


@pytest.mark.parametrize("changed", [
    {"host": "mail.evil.example"}, {"port": 1143}, {"security": "plain"}, {"smtp_host": "smtp.evil.example"}, {"smtp_port": 2525},
    {"smtp_security": "starttls"}, {"url": "https://evil.example"},
])  # fmt: skip
def test_a_known_password_goes_to_no_server_that_an_admin_names_later(
    owner: World, victim: Victim, changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may change an inbox would else be told its password by a server of his own."""
    tried: list[dict[str, str]] = []
    monkeypatch.setattr(mailboxes, "try_connection", lambda *about: tried.append(dict(about[4])))
    monkeypatch.setattr(owner.inboxes, "reconnect", lambda *about: None)
    inbox = owner.inboxes.get(victim.ids["inbox_id"])
    connecting.reconnect(owner, inbox, {**inbox.connection, **changed}, {})
    assert "password" not in tried[0]
    connecting.reconnect(owner, inbox, inbox.connection, {})
    assert tried[1]["password"] == "secret password"
    connecting.reconnect(owner, inbox, {**inbox.connection, **changed}, {"password": "given anew"})
    assert tried[2]["password"] == "given anew"


def test_an_admin_who_names_another_server_has_to_know_the_password(victim: Victim, certificates: Certificates) -> None:
    with lying(None, stripped_imap) as evil:
        body = {"connection": {"host": "localhost", "port": evil.port, "security": "plain"}}
        answer = victim.api.http.patch(f"/v1/inboxes/{victim.ids['inbox_id']}", json=body, headers=victim.api.admin)
        assert (answer.status_code, evil.heard) == (422, b"")
        assert "password" in answer.json()["detail"]
