"""Names of a tenant's that lead elsewhere the next time: nobody behind our own doors is ever called, whatever is spoken."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from inboxops.core.reach import Reach
from inboxops.errors import InboxOpsError, InvalidInput, ServerRefused, TransientError
from inboxops.events import webhook
from inboxops.ports import Account
from inboxops.providers.imap import ImapProvider
from inboxops.providers.jmap import JmapProvider
from inboxops.providers.smtp import SmtpSender
from tests.intruders.clients import account, notice
from tests.intruders.liar import Certificates, Liar, certificates, lying

__all__ = ["certificates"]  # a fixture

INSIDE, OUTSIDE = "127.0.0.1", "127.0.0.2"
NAME = "mail.evil.example"
REACH = Reach.of(OUTSIDE)
"""What stands for the world's: a tenant may reach it, and nothing else here."""


@dataclass
class Names:
    """The domain of whoever attacks: each look-up gets the next answer, and the last one again and again."""

    answers: dict[str, list[str | OSError]] = field(default_factory=dict)
    asked: int = 0

    def answer(self, genuine: Callable[..., Any], host: Any, *more: Any, **named: Any) -> Any:
        listed = self.answers.get(host)
        if listed is None:
            return genuine(host, *more, **named)
        self.asked += 1
        said = listed[0] if len(listed) == 1 else listed.pop(0)
        if isinstance(said, OSError):
            raise said
        return [one for address in said.split() for one in genuine(address, *more, **named)]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    made, genuine = Names(), socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *about, **more: made.answer(genuine, *about, **more))
    return made


@pytest.fixture
def inside() -> Iterator[Liar]:
    """What a tenant is after: it talks first, as SSH and databases do."""
    with lying(None, lambda line: line.sendall(b"SSH-2.0-OpenSSH_9.6 secret-host\r\n")) as liar:
        yield liar


def imap(security: str) -> Callable[[Account], object]:
    def look(given: Account) -> object:
        with ImapProvider(connect_seconds=2, read_seconds=2).open(_secured(given, security)) as mailbox:
            return mailbox.info()

    return look


def smtp(security: str) -> Callable[[Account], object]:
    def check(given: Account) -> object:
        return SmtpSender(connect_seconds=2, reply_seconds=2).check(_secured(given, security))

    return check


def jmap(given: Account) -> object:
    with JmapProvider(timeout_seconds=2).open(replace(given, connection_type="jmap")) as mailbox:
        return mailbox.info()


def notified(given: Account) -> object:
    assert given.reach is not None
    webhook.post(given.reach, notice(f"http://{given.connection['host']}:{given.connection['port']}/"))
    return None


def _secured(given: Account, security: str) -> Account:
    return replace(given, connection={**given.connection, "security": security, "smtp_security": security})


WAYS: dict[str, Callable[[Account], object]] = {
    **{f"IMAP, {security}": imap(security) for security in ("plain", "starttls", "tls")},
    **{f"SMTP, {security}": smtp(security) for security in ("plain", "starttls", "tls")},
    "JMAP": jmap,
    "webhook": notified,
}


def of_tenant(port: int, ca_file: Any = "", host: str = NAME, reach: Reach = REACH) -> Account:
    given = account("imap", port, ca_file)
    named = {"host": host, "smtp_host": host, "url": f"https://{host}:{port}/"}
    return replace(given, connection={**given.connection, **named}, reach=reach)


@pytest.mark.parametrize("way", WAYS)
def test_a_name_that_leads_inside_a_moment_later_is_not_followed(names: Names, inside: Liar, way: str) -> None:
    names.answers[NAME] = [OUTSIDE, INSIDE]
    with lying(None, host=OUTSIDE, port=inside.port) as outside:
        outside.answer = b"nonsense\r\n\r\n"
        with suppress(InboxOpsError):  # it speaks no such thing
            WAYS[way](of_tenant(inside.port))
        assert (outside.callers, inside.callers, names.asked) == (1, 0, 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer", [INSIDE, f"{OUTSIDE} {INSIDE}", "169.254.169.254", "::ffff:127.0.0.1"])
def test_what_stands_inside_is_not_called_and_nothing_tells_what_it_is(
    names: Names, inside: Liar, way: str, answer: str
) -> None:
    names.answers[NAME] = [answer]
    with socket.create_server((INSIDE, 0)) as closed:
        nobody = closed.getsockname()[1]
    said = []
    for port in (inside.port, nobody):
        with pytest.raises(InvalidInput) as refused:
            WAYS[way](of_tenant(port))
        said.append(str(refused.value))
    assert inside.callers == 0
    assert said[0] == said[1], "an open door and a closed one are the same"
    assert said[0].startswith(f"{NAME} leads to no public address")
    assert answer not in said[0]


@pytest.mark.parametrize("way", WAYS)
def test_a_name_that_nobody_can_look_up_is_not_let_through(names: Names, inside: Liar, way: str) -> None:
    """A server that fails for a moment (SERVFAIL), and answers the next time."""
    names.answers[NAME] = [socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), INSIDE]
    with pytest.raises(TransientError):
        WAYS[way](of_tenant(inside.port))
    assert inside.callers == 0


@pytest.mark.parametrize("way", ["IMAP, tls", "SMTP, tls", "JMAP"])
def test_the_certificate_has_to_be_the_names_not_the_addresses(
    names: Names, certificates: Certificates, way: str
) -> None:
    names.answers[NAME] = [OUTSIDE]
    fitting = certificates.authority.issue("fitting", host=NAME)
    for certificate in (fitting, certificates.honest):
        with lying(certificate, host=OUTSIDE) as outside:
            outside.answer = b"HTTP/1.1 400 no\r\nContent-Length: 0\r\n\r\n"
            with pytest.raises(InboxOpsError) as failed:
                WAYS[way](of_tenant(outside.port, certificates.trusted))
            assert outside.names == [NAME]
            assert ("certificate" in str(failed.value)) == (certificate is certificates.honest)


def test_a_session_of_jmap_leads_nobody_inside(names: Names, inside: Liar, certificates: Certificates) -> None:
    names.answers |= {NAME: [OUTSIDE], "api.evil.example": [INSIDE]}
    with lying(certificates.authority.issue("fitting", host=NAME), host=OUTSIDE) as outside:
        api = f"https://api.evil.example:{inside.port}/"
        session = f'{{"apiUrl": "{api}", "primaryAccounts": {{"urn:ietf:params:jmap:mail": "a"}}}}'
        outside.answer = f"HTTP/1.1 200 ok\r\nContent-Length: {len(session)}\r\n\r\n{session}".encode()
        with pytest.raises(InvalidInput, match="no public address"):
            jmap(of_tenant(outside.port, certificates.trusted))
        assert inside.callers == 0


@pytest.mark.parametrize("url", ["https://[::1", "https://there:99999/", "https://there:port/", "http://there/", ""])
def test_a_session_of_jmap_that_names_no_url_is_refused(certificates: Certificates, url: str) -> None:
    session = f'{{"apiUrl": "{url}", "primaryAccounts": {{"urn:ietf:params:jmap:mail": "a"}}}}'
    answers = [f"HTTP/1.1 200 ok\r\nContent-Length: {len(session)}\r\n\r\n{session}"]
    answers += [f"HTTP/1.1 302 there\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n"]
    for answer in answers:
        with lying(certificates.honest) as server:
            server.answer = answer.encode()
            with pytest.raises((ServerRefused, TransientError)):
                jmap(account("jmap", server.port, certificates.trusted))


def test_a_url_that_is_none_is_named() -> None:
    with pytest.raises(InvalidInput, match="no https:// URL"):
        jmap(account("jmap", 1, "", url="https://[::1"))
    with pytest.raises(InvalidInput, match="no URL of a webhook"):
        webhook.check(REACH, "https://[::1")
