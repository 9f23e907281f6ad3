"""Every client before servers with a TLS that was broken long ago, that say something before it, or are not who they say."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
import redis

from inboxops.errors import InboxOpsError, TransientError
from inboxops.events import feed, redis_bus
from inboxops.orchestrator.airflow import Airflow
from inboxops.providers import sender
from inboxops.providers.imap import ImapProvider
from inboxops.providers.imap_sent import find_folder
from tests.intruders.clients import CLIENTS, PASSWORD, Client, account, look_at, object_store, tell
from tests.intruders.liar import LIES, Certificates, Greeting, certificates, lying, speak_only

__all__ = ["certificates"]  # a fixture


def imap_until_starttls(before: bytes = b"", behind: bytes = b"") -> Greeting:
    """before, behind: what somebody on the way puts around the answer to STARTTLS."""

    def greet(line: socket.socket) -> None:
        line.sendall(b"* OK ready\r\n")
        for tag, name in commands(line):
            if name == b"STARTTLS":
                line.sendall(before + tag + b" OK go on\r\n" + behind)
                return
            line.sendall(b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\n" + tag + b" OK done\r\n")

    return greet


def commands(line: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """Tag and name of each; the name of what answers a challenge is empty. Nothing is read of what comes behind."""
    with line.makefile("rb", buffering=0) as file:
        while said := file.readline():
            tag, name, *_ = (*said.split(), b"", b"")
            yield tag, name


def smtp_until_starttls(behind: bytes = b"") -> Greeting:
    def greet(line: socket.socket) -> None:
        line.sendall(b"220 ready\r\n")
        line.recv(1000)
        line.sendall(b"250-here\r\n250 STARTTLS\r\n")
        line.recv(1000)
        line.sendall(b"220 go on\r\n" + behind)

    return greet


def starttls_imap(port: int, ca_file: Any) -> object:
    return look_at(account("imap", port, ca_file, security="starttls"))


def starttls_smtp(port: int, ca_file: Any) -> object:
    return sender("imap").check(account("imap", port, ca_file, security="starttls"))


WITH_TLS: dict[str, tuple[Client, Greeting | None]] = {
    **{name: (client, None) for name, client in CLIENTS.items()},
    "IMAP, STARTTLS": (starttls_imap, imap_until_starttls()),
    "SMTP, STARTTLS": (starttls_smtp, smtp_until_starttls()),
    "webhooks of notices": (tell, None),
    "the object store": (object_store, None),
}


def agrees(port: int, version: ssl.TLSVersion, greeted: bool) -> bool:
    """Whether a client that minds nothing gets its way with that server: else a refusal would prove nothing."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    speak_only(context, version)
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        if greeted:
            for word in (b"a CAPABILITY\r\n", b"a STARTTLS\r\n"):
                line.recv(1000)
                line.sendall(word)
            line.recv(1000)
        with context.wrap_socket(line) as spoken:
            return spoken.version() in ("TLSv1", "TLSv1.1")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("old", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["1.0", "1.1"])
@pytest.mark.parametrize("client", WITH_TLS)
def test_no_client_speaks_a_tls_that_was_broken(
    certificates: Certificates, client: str, old: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(certificates.trusted))
    speak, greeting = WITH_TLS[client]
    with lying(certificates.honest, greeting, tls=old) as liar:
        assert agrees(liar.port, old, greeted=greeting is not None)
        with pytest.raises(InboxOpsError) as refused:
            speak(liar.port, certificates.trusted)
        assert liar.callers >= 2
        assert liar.heard == b""
        assert PASSWORD not in str(refused.value)


# -- what is said before TLS


def imap_behind_tls(line: socket.socket) -> None:
    """A mailbox with a Sent folder."""
    asked = b""
    for tag, name in commands(line):
        said = {
            b"CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n",
            b"LIST": b'* LIST () "/" "INBOX"\r\n* LIST (\\Sent) "/" "Sent"\r\n',
        }.get(name, b"")
        line.sendall(b"+ \r\n" if name == b"AUTHENTICATE" else said + (tag if name else asked) + b" OK done\r\n")
        asked = tag


@pytest.mark.parametrize("where", ["before", "behind"])
def test_an_imap_answer_that_was_said_before_starttls_is_forgotten(certificates: Certificates, where: str) -> None:
    """Response injection: whoever is on the way would choose the folder that copies of answers are put into."""
    injected = {where: b'* LIST (\\Sent) "/" "Evil"\r\n* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\n'}
    with lying(certificates.honest, imap_until_starttls(**injected), talk=imap_behind_tls) as server:
        given = account("imap", server.port, certificates.trusted, security="starttls")
        session = ImapProvider(connect_seconds=5, read_seconds=5).session(given)
        assert find_folder(session) == "Sent"
        session.close(politely=False)


def smtp_behind_tls(line: socket.socket) -> None:
    """Who takes LOGIN and nothing else."""
    for answer in (b"250-here\r\n250 AUTH LOGIN\r\n", b"334 \r\n", b"334 \r\n", b"235 come in\r\n"):
        heard.append(line.recv(1000))
        line.sendall(answer)


heard: list[bytes] = []


def test_an_smtp_answer_that_was_said_before_starttls_is_forgotten(certificates: Certificates) -> None:
    """Command injection into the plain text before TLS (CVE-2011-0411 and its kin)."""
    heard.clear()
    injected = b"250-here\r\n250 AUTH PLAIN\r\n235 come in\r\n"
    with lying(certificates.honest, smtp_until_starttls(injected), talk=smtp_behind_tls) as server:
        assert starttls_smtp(server.port, certificates.trusted) == f"localhost:{server.port}"
    assert heard[0].upper().startswith(b"EHLO"), "it is asked again behind TLS"
    assert heard[1] == b"AUTH LOGIN\r\n", "and believed what was said there"


# -- what an operator's settings name


def ask_for_tls(line: socket.socket) -> None:
    """PostgreSQL's SSLRequest, and yes (its protocol, 55.2.10)."""
    assert line.recv(8)[4:] == bytes.fromhex("04d2162f")
    line.sendall(b"S")


def database(port: int, ca_file: Any) -> None:
    url = f"postgresql://u:{PASSWORD}@localhost:{port}/d?sslmode=verify-full&sslrootcert={ca_file}"
    psycopg.connect(url.replace(" ", "%20"), connect_timeout=10)


def bus(port: int, ca_file: Any) -> None:
    redis_bus.client(f"rediss://:{PASSWORD}@localhost:{port}/0?ssl_ca_certs={ca_file}".replace(" ", "%20")).ping()


def listeners(port: int, ca_file: Any) -> None:
    async def ask() -> None:
        client = feed.client(f"rediss://:{PASSWORD}@localhost:{port}/0?ssl_ca_certs={ca_file}".replace(" ", "%20"))
        try:
            await client.ping()
        finally:
            await client.aclose()

    asyncio.run(ask())


def orchestrator(port: int, ca_file: Any) -> None:
    """Trusts what SSL_CERT_FILE names."""
    Airflow(f"https://localhost:{port}", "inboxops", PASSWORD, timeout=10).start("a", "b")


OPERATORS: dict[str, tuple[Callable[[int, Any], None], Greeting | None, type[Exception]]] = {
    "PostgreSQL": (database, ask_for_tls, psycopg.OperationalError),
    "Redis, publishing": (bus, None, redis.ConnectionError),
    "Redis, listening": (listeners, None, redis.ConnectionError),
    "Airflow": (orchestrator, None, TransientError),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("client", OPERATORS)
def test_what_an_operator_has_behind_tls_is_checked(
    certificates: Certificates, client: str, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.trusted))
    speak, greeting, refusal = OPERATORS[client]
    with lying(certificates.liars[lie], greeting) as liar:
        with pytest.raises(refusal):
            speak(liar.port, certificates.trusted)
        assert (liar.callers > 0, liar.heard) == (True, b"")


@pytest.mark.parametrize("client", OPERATORS)
def test_the_honest_one_is_spoken_to(certificates: Certificates, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would prove nothing."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.trusted))
    speak, greeting, _ = OPERATORS[client]
    with lying(certificates.honest, greeting) as server:
        server.answer = b"nonsense\r\n\r\n"
        with suppress(Exception):
            speak(server.port, certificates.trusted)
        assert server.heard
