"""Servers of a tenant's that drip or gush: nobody is held by them, and nothing is filled."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest
from starlette.exceptions import HTTPException

from api import limits
from api.limits import Looks
from inboxops.core.model import Cursor
from inboxops.errors import InboxOpsError, OutcomeUnknown, ServerRefused, TransientError
from inboxops.events import webhook
from inboxops.outward.allowance import MAIL_BYTES
from inboxops.outward.http import Bounds
from inboxops.ports import Envelope, FetchLimits
from inboxops.providers.imap import ImapProvider
from inboxops.providers.jmap import JmapProvider
from inboxops.providers.smtp import SmtpSender
from tests.api.conftest import Api
from tests.intruders.clients import account, notice
from tests.intruders.conftest import Victim
from tests.intruders.liar import Certificates, Greeting, Liar, certificates, http_that, lying, saying
from tests.intruders.test_hosts import HERE
from tests.scripted import Answer, ScriptedImap

__all__ = ["certificates"]  # a fixture

PATIENT = 600.0
"""Seconds: what is refused in spite of it is refused for its size, not its time."""


# -- SMTP

STEPS = ("greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "end")
SLOWLY = {
    "lines without end": saying(b"250-still thinking\r\n", 0.01),
    "a line without end": saying(b"2", 0.01),
    "nothing": lambda line: time.sleep(5),
}


def smtp_that(step: str, then: Greeting) -> Greeting:
    """Well behaved up to that step."""

    def talk(line: socket.socket) -> None:
        with line.makefile("rb") as file:
            if step == "greeting":
                return then(line)
            line.sendall(b"220 ready\r\n")
            while said := file.readline().upper():
                word = said.split()[0].decode("ascii", "replace").partition(":")[0] if said.split() else ""
                if word == step or (step == "end" and said == b".\r\n"):
                    return then(line)
                answer = {
                    "EHLO": b"250-here\r\n250 AUTH PLAIN\r\n",
                    "AUTH": b"235 come in\r\n",
                    "DATA": b"354 go on\r\n",
                }
                if word in ("EHLO", "AUTH", "MAIL", "RCPT", "DATA"):
                    line.sendall(answer.get(word, b"250 fine\r\n"))

    return talk


def submit(port: int, *, seconds: float, raw: bytes = b"Subject: x\r\n\r\nx\r\n") -> None:
    given = account("imap", port, "", security="plain")
    sending = SmtpSender(connect_seconds=seconds, reply_seconds=seconds, final_seconds=seconds)
    sending.send(given, raw, Envelope("a@b.example", ("c@d.example",)), commit=lambda: None)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", SLOWLY)
@pytest.mark.parametrize("step", STEPS)
def test_an_smtp_server_that_drips_holds_nobody(step: str, how: str) -> None:
    with lying(None, smtp_that(step, SLOWLY[how])) as server, pytest.raises(TransientError) as failed:
        submit(server.port, seconds=0.2)
    assert isinstance(failed.value, OutcomeUnknown) == (step == "end")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("step", STEPS)
def test_an_smtp_server_that_gushes_fills_nothing(step: str) -> None:
    gush = saying(b"250-" + b"x" * 1000 + b"\r\n")
    with lying(None, smtp_that(step, gush)) as server, pytest.raises(TransientError, match="more than 1000000 bytes"):
        submit(server.port, seconds=PATIENT)


@pytest.mark.timeout(60)
def test_an_smtp_server_that_reads_no_mail_holds_nobody() -> None:
    with lying(None, smtp_that_stops_reading()) as deaf, pytest.raises(TransientError):
        submit(deaf.port, seconds=0.2, raw=b"x" * 30_000_000)


def smtp_that_stops_reading() -> Greeting:
    def talk(line: socket.socket) -> None:
        for answer in (
            b"220 ready\r\n",
            b"250 AUTH PLAIN\r\n",
            b"235 in\r\n",
            b"250 ok\r\n",
            b"250 ok\r\n",
            b"354 go on\r\n",
        ):
            line.sendall(answer)
            if not answer.startswith(b"354"):
                line.recv(1000)
        time.sleep(5)

    return talk


# -- JMAP

HEAD = b"HTTP/1.1 200 ok\r\n"
OPEN = HEAD + b"Content-Type: application/json\r\nContent-Length: 1000000000000\r\n\r\n"


JMAP_SLOWLY = {
    "a head without end": http_that(HEAD, saying(b"X", 0.01)),
    "heads of nothing": http_that(b"", saying(b"HTTP/1.1 100 continue\r\n\r\n", 0.01)),
    "a body without end": http_that(OPEN, saying(b" ", 0.01)),
    "nothing": http_that(b"", lambda line: time.sleep(5)),
}


def ask_jmap(liar: Liar, certificates: Certificates, *, seconds: float) -> None:
    given = account("jmap", liar.port, certificates.trusted)
    with JmapProvider(timeout_seconds=seconds).open(given) as mailbox:
        mailbox.info()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", JMAP_SLOWLY)
def test_a_jmap_server_that_drips_holds_nobody(certificates: Certificates, how: str) -> None:
    with lying(certificates.honest, talk=JMAP_SLOWLY[how]) as server, pytest.raises(TransientError, match="Timeout"):
        ask_jmap(server, certificates, seconds=0.3)


@pytest.mark.timeout(60)
def test_a_jmap_server_that_gushes_fills_nothing(certificates: Certificates) -> None:
    gush = http_that(OPEN, saying(b" " * 65_536))
    with (
        lying(certificates.honest, talk=gush) as server,
        pytest.raises(TransientError, match="an answer of more than 4194304 bytes"),
    ):
        ask_jmap(server, certificates, seconds=PATIENT)


@pytest.mark.parametrize(
    ("body", "encoding", "error", "said"),
    [
        (gzip.compress(b"[" * 100_000_000), b"gzip", TransientError, "for which nobody asked"),
        (b"[" * 1_000_000, b"identity", ServerRefused, "what is no JSON"),
    ],
    ids=["a bomb", "depth"],
)
def test_a_jmap_answer_becomes_no_more_than_it_is(
    certificates: Certificates, body: bytes, encoding: bytes, error: type[InboxOpsError], said: str
) -> None:
    head = HEAD + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (encoding, len(body))
    with (
        lying(certificates.honest, talk=http_that(head, lambda line: line.sendall(body))) as server,
        pytest.raises(error, match=said),
    ):
        ask_jmap(server, certificates, seconds=PATIENT)


# -- IMAP


def literal_of(size: int, what: bytes) -> Callable[[str], Iterator[bytes]]:
    def answer(arguments: str) -> Iterator[bytes]:
        yield what + b" {%d}\r\n" % size
        while True:
            yield b"x" * 65_536

    return answer


def many_lines(arguments: str) -> Iterator[bytes]:
    while True:
        yield b"* OK still thinking\r\n" * 1000


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("CAPABILITY", literal_of(2**40, b"* CAPABILITY")),
        ("CAPABILITY", many_lines),
        ("LOGIN", literal_of(2**40, b"* CAPABILITY")),
        ("LOGIN", many_lines),
        ("STATUS", literal_of(2**40, b"* STATUS")),
        ("UID FETCH", literal_of(MAIL_BYTES + 1, b"* 1 FETCH (UID 1 BODY[]")),
    ],
)
def test_an_imap_server_that_gushes_fills_nothing(command: str, answer: Answer) -> None:
    known: dict[str, Answer | None] = {
        "STATUS": '* STATUS "INBOX" (UIDNEXT 2 UIDVALIDITY 7)\r\n{tag} OK done',
        "UID SEARCH": "* SEARCH 1\r\n{tag} OK done",
    }
    with ScriptedImap({**known, command: answer}) as script:
        given = account("imap", script.port, "", security="plain", host="127.0.0.1")
        with (
            pytest.raises(TransientError, match="an answer of more than"),
            ImapProvider(connect_seconds=PATIENT, read_seconds=PATIENT).open(given) as mailbox,
        ):
            mailbox.has_news(Cursor(uid_validity=7, last_uid=0))
            list(mailbox.batches(Cursor(uid_validity=7, last_uid=0), FetchLimits()))


def test_mail_of_the_size_that_is_taken_in_fits() -> None:
    assert FetchLimits().message_bytes * 1.4 < MAIL_BYTES  # base64 is a third more than servers may have counted


# -- the API


def test_silent_servers_hold_the_threads_of_the_tenant_that_named_them_and_no_more(
    victim: Victim, stranger: Callable[[], Api]
) -> None:
    """Three are waited for at once; the next is told to wait, and others don't notice."""
    mallory = stranger()
    with lying(None, lambda line: held.wait(60)) as silent, ThreadPoolExecutor(3) as threads:
        held.clear()
        waiting = [threads.submit(try_mailbox, mallory, silent.port) for _ in range(3)]
        until(lambda: silent.callers == 3)
        refused = try_mailbox(mallory, silent.port)
        assert (refused.status_code, "Retry-After" in refused.headers) == (429, True)
        assert refused.json()["detail"].startswith("several mailboxes of yours are being tried")
        others = try_mailbox(stranger(), 1)
        assert others.status_code == 422, "nothing listens there, and that is said at once"
        held.set()
        silent.stop()
        assert {one.result().status_code for one in waiting} == {422}
    assert try_mailbox(mallory, 1).status_code == 422, "it may try again"


held = threading.Event()


def try_mailbox(api: Api, port: int) -> httpx.Response:
    connection = {"type": "imap", "host": "localhost", "port": port, "security": "plain"}
    body = {"email_address": "a@b.example", "connection": connection, "credentials": {"password": "x"}}
    answer: httpx.Response = api.http.post("/v1/inboxes", json=body, headers=api.admin)
    return answer


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_all_tenants_together_hold_less_than_half_of_the_threads() -> None:
    looks = Looks()
    with ExitStack() as stack:
        for tenant in range(limits.LOOKS_OF_ALL):
            stack.enter_context(looks.one(tenant))
        with pytest.raises(HTTPException) as refused, looks.one(1000):
            pass
        assert refused.value.status_code == 503
    with looks.one(1000):
        pass


# -- webhooks of notices


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", ["a head without end", "heads of nothing", "nothing"])
def test_a_receiver_that_drips_holds_nobody(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "BOUNDS", Bounds(seconds=0.5, body=0))
    with lying(None, talk=JMAP_SLOWLY[how]) as server, pytest.raises(TransientError, match="Timeout"):
        webhook.post(HERE, notice(f"http://localhost:{server.port}/"))


@pytest.mark.timeout(60)
def test_what_a_receiver_says_behind_its_status_is_not_read() -> None:
    with lying(None, talk=http_that(OPEN, saying(b" " * 65_536))) as server:
        webhook.post(HERE, notice(f"http://localhost:{server.port}/"))
