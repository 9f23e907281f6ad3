"""Servers that lie about who they are, that offer no TLS any more, or that send us elsewhere; and hosts that a tenant names."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from inboxops.composition import connecting, mailboxes
from inboxops.composition.world import World
from inboxops.core.notices import Delivery
from inboxops.errors import InboxOpsError, TransientError
from inboxops.events import webhook
from inboxops.oauth import http as oauth_http
from inboxops.oauth.push_tokens import PushTokens
from inboxops.ports import AccessToken, Account, Envelope
from inboxops.providers import provider, sender
from inboxops.storage import s3
from inboxops_lab.testing.certificates import Authority, ServerCertificate
from tests.intruders.conftest import SECRET, Victim

PASSWORD = f"password of {SECRET}"


class Liar:
    """Speaks first what it is told to, then TLS with that certificate, and keeps all that it hears."""

    def __init__(
        self, certificate: ServerCertificate | None, greeting: Callable[[socket.socket], None] | None = None
    ) -> None:
        self.heard = b""
        self.answer = b""
        self._certificate, self._greeting = certificate, greeting
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(line,), daemon=True).start()

    def _talk(self, line: socket.socket) -> None:
        with suppress(OSError, ssl.SSLError):
            line.settimeout(2)
            if self._greeting:
                self._greeting(line)
            if self._certificate:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self._certificate.cert_file, self._certificate.key_file)
                line = context.wrap_socket(line, server_side=True)
            while said := line.recv(65_536):
                self.heard += said
                if self.answer:
                    line.sendall(self.answer)
        line.close()

    def stop(self) -> None:
        with suppress(OSError):  # closing alone would leave the thread in accept()
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@dataclass(frozen=True)
class Certificates:
    trusted: Path
    liars: dict[str, ServerCertificate]
    honest: ServerCertificate


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    ours, theirs = (Authority(tmp_path_factory.mktemp(name)) for name in ("ours", "theirs"))
    liars = {
        "for another host": ours.issue("wrong", host="mail.other.example"),
        "expired": ours.issue("old", expired=True),
        "of another authority": theirs.issue("theirs"),
    }
    return Certificates(ours.ca_file, liars, ours.issue("honest"))


@contextmanager
def lying(
    certificate: ServerCertificate | None, greeting: Callable[[socket.socket], None] | None = None
) -> Iterator[Liar]:
    liar = Liar(certificate, greeting)
    try:
        yield liar
    finally:
        liar.stop()


LIES = ["for another host", "expired", "of another authority"]


class Tokens:
    def access_token(self, *, refused: str = "") -> AccessToken:
        return AccessToken(PASSWORD, datetime(2100, 1, 1, tzinfo=UTC))


def account(kind: str, port: int, ca_file: Path | str, **more: Any) -> Account:
    url = f"https://localhost:{port}"
    connection = {"host": "localhost", "port": port, "ca_file": str(ca_file), "api_url": url, "url": url, **more}
    connection |= {"smtp_host": "localhost", "smtp_port": port, "smtp_security": more.get("security", "tls")}
    tokens = Tokens() if kind in ("gmail", "microsoft") else None
    return Account(1, 1, "a@acme.example", kind, connection, {"username": "a", "password": PASSWORD}, tokens=tokens)  # type: ignore[arg-type]


Client = Callable[[int, "Path | str"], object]


def look_at(given: Account) -> object:
    with provider(given.connection_type).open(given) as mailbox:
        return mailbox.info()


def look(kind: str) -> Client:
    return lambda port, ca_file: look_at(account(kind, port, ca_file))


def submit(kind: str) -> Client:
    def send(port: int, ca_file: Path | str) -> object:
        raw, envelope = b"Message-ID: <a@b.example>\r\n\r\nx", Envelope("a@b.example", ("c@d.example",))
        given = account(kind, port, ca_file)
        return sender(kind).send(given, raw, envelope, commit=lambda: None, thread_id=None)

    return send


def google_keys(port: int, ca_file: Path | str) -> object:
    url = f"https://localhost:{port}/certs"
    tokens = PushTokens(audience="a", service_account="b", certs_url=url, ca_file=str(ca_file))
    head = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ"
    return tokens.check(f"{head}.e30.AAAA")


def sign_in(port: int, ca_file: Path | str) -> object:
    with oauth_http.client(str(ca_file)) as http, oauth_http.reaching("Google"):
        return http.post(f"https://localhost:{port}/token", data={"client_secret": PASSWORD})


CLIENTS: dict[str, Client] = {
    **{
        name: look(kind)
        for name, kind in {"IMAP": "imap", "JMAP": "jmap", "Gmail": "gmail", "Graph": "microsoft"}.items()
    },
    "SMTP": submit("imap"),
    **{
        f"{name}, sending": submit(kind)
        for name, kind in {"JMAP": "jmap", "Gmail": "gmail", "Graph": "microsoft"}.items()
    },
    "Google's keys": google_keys,
    "signing in": sign_in,
}


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


def test_an_answer_that_was_said_before_starttls_is_forgotten(certificates: Certificates) -> None:
    """Command injection into the plain text before TLS (CVE-2011-0411 and its kin)."""

    def eager(line: socket.socket) -> None:
        line.sendall(b"220 ready\r\n")
        line.recv(1000)
        line.sendall(b"250-here\r\n250 STARTTLS\r\n")
        line.recv(1000)
        line.sendall(
            b"220 go\r\n250-here\r\n250 AUTH PLAIN\r\n"
        )  # answers in advance, which anybody may have put there

    with lying(certificates.liars["of another authority"], eager) as liar:
        with pytest.raises(InboxOpsError):
            sender("imap").check(account("imap", liar.port, certificates.trusted, security="starttls"))
        assert liar.heard == b""


@pytest.mark.parametrize("old", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_no_client_speaks_a_tls_that_was_broken(old: ssl.TLSVersion) -> None:
    from inboxops.providers.https import trust
    from inboxops.providers.imap_session import tls_context

    for context in (trust(""), tls_context(""), oauth_http.trust("")):
        assert context.minimum_version > old
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_the_object_store_behind_tls_is_checked(
    certificates: Certificates, services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.trusted))
    for lie in LIES:
        with lying(certificates.liars[lie]) as liar:
            settings = services.model_copy(update={"s3_endpoint": f"https://localhost:{liar.port}"})
            client = s3.client(settings)
            client.meta.config.retries = {"total_max_attempts": 1}
            with pytest.raises(InboxOpsError):
                s3.S3Store(client, "inboxops").get("1/a")
            assert liar.heard == b""


def notice(url: str) -> Delivery:
    return Delivery(1, "acme", "webhook", url, datetime.now(UTC), (), webhook.new_secret())


@pytest.mark.parametrize("lie", LIES)
def test_a_notice_goes_to_no_server_that_is_not_who_it_says(
    certificates: Certificates, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.trusted))
    with lying(certificates.liars[lie]) as liar:
        with pytest.raises(TransientError):
            webhook.post(notice(f"https://localhost:{liar.port}/"))
        assert liar.heard == b""


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
                webhook.post(notice(f"http://127.0.0.1:{moved.port}/"))
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
