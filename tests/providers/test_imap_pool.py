"""Polls reuse connections, survive their loss, and keep only as many as they may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from inboxops.core.model import Cursor
from inboxops.errors import AuthenticationFailed, InvalidInput, Throttled, TransientError
from inboxops.ports import Account, FetchLimits
from inboxops.providers import prober
from inboxops.providers.imap import ImapProvider
from inboxops.providers.imap_pool import ImapProber, fingerprint
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.proxy import Proxy
from tests.scripted import ScriptedImap

PROVIDER = ImapProvider(connect_seconds=5, read_seconds=5)
PASSWORD = "pool password"


@pytest.fixture
def proxy(mail_server: MailServer) -> Iterator[Proxy]:
    made = Proxy(mail_server.port_imaps)
    yield made
    made.stop()


@pytest.fixture
def account(mail_server: MailServer, proxy: Proxy) -> Callable[[int], Account]:
    """Accounts by number, each with an empty mailbox behind the proxy."""

    def made(number: int) -> Account:
        user = f"pool{number}@example.org"
        mail_server.add_user(user, PASSWORD)
        return Account(
            inbox_id=number,
            tenant_id=1,
            email_address=user,
            connection_type="imap",
            connection={"host": "localhost", "port": proxy.port, "ca_file": mail_server.ca_file},
            secrets={"username": user, "password": PASSWORD},
        )

    return made


@pytest.fixture
def probes() -> Iterator[ImapProber]:
    made = ImapProber(PROVIDER)
    yield made
    made.close()


def cursor_of(account: Account) -> Cursor:
    with PROVIDER.open(account) as mailbox:
        return list(mailbox.batches(Cursor(), FetchLimits()))[-1].cursor


def test_a_second_look_uses_the_connection_of_the_first(
    mail_server: MailServer, proxy: Proxy, probes: ImapProber, account: Callable[[int], Account]
) -> None:
    of = account(1)
    cursor = cursor_of(of)
    before = proxy.connections
    assert [probes.has_news(of, cursor) for _ in range(5)] == [False] * 5
    mail_server.append(of.email_address, b"Subject: x\n\nx\n")
    assert probes.has_news(of, cursor)
    assert proxy.connections == before + 1


def test_a_connection_that_died_meanwhile_is_replaced(
    proxy: Proxy, probes: ImapProber, account: Callable[[int], Account]
) -> None:
    of = account(2)
    cursor = cursor_of(of)
    assert not probes.has_news(of, cursor)
    proxy.drop_all()
    assert not probes.has_news(of, cursor)


def test_a_server_that_stays_away_is_transient(
    proxy: Proxy, probes: ImapProber, account: Callable[[int], Account]
) -> None:
    of = account(3)
    cursor = cursor_of(of)
    assert not probes.has_news(of, cursor)
    proxy.stop()
    with pytest.raises(TransientError):
        probes.has_news(of, cursor)
    assert len(probes) == 0


def test_other_credentials_open_another_connection(
    proxy: Proxy, probes: ImapProber, account: Callable[[int], Account]
) -> None:
    of = account(4)
    cursor = cursor_of(of)
    assert not probes.has_news(of, cursor)
    with pytest.raises(AuthenticationFailed):
        probes.has_news(replace(of, secrets={**of.secrets, "password": "wrong"}), cursor)
    assert len(probes) == 0


def test_no_more_connections_are_kept_than_allowed(proxy: Proxy, account: Callable[[int], Account]) -> None:
    probes = ImapProber(PROVIDER, kept=2)
    accounts = [account(number) for number in (5, 6, 7)]
    cursors = [cursor_of(of) for of in accounts]
    for of, cursor in zip(accounts, cursors, strict=True):
        probes.has_news(of, cursor)
    assert len(probes) == 2
    before = proxy.connections
    probes.has_news(accounts[2], cursors[2])
    assert proxy.connections == before
    probes.has_news(accounts[0], cursors[0])  # the one that had waited longest
    assert proxy.connections == before + 1
    probes.close()
    assert len(probes) == 0


def test_a_connection_is_not_kept_for_ever(proxy: Proxy, account: Callable[[int], Account]) -> None:
    probes = ImapProber(PROVIDER, idle_seconds=0)
    of = account(8)
    cursor = cursor_of(of)
    before = proxy.connections
    for _ in range(2):
        probes.has_news(of, cursor)
    assert proxy.connections == before + 2
    assert len(probes) == 0


def test_a_removed_inbox_is_forgotten(probes: ImapProber, account: Callable[[int], Account]) -> None:
    of = account(9)
    probes.has_news(of, cursor_of(of))
    probes.forget(of.inbox_id)
    probes.forget(of.inbox_id)
    assert len(probes) == 0


def test_many_threads_may_ask_at_once(probes: ImapProber, account: Callable[[int], Account]) -> None:
    accounts = [account(number) for number in (10, 11, 12)]
    cursors = [cursor_of(of) for of in accounts]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(probes.has_news, accounts * 20, cursors * 20))
    assert answers == [False] * 60
    assert len(probes) == 3


def test_being_throttled_is_not_answered_with_another_connection() -> None:
    states = iter(['* STATUS "INBOX" (UIDNEXT 5 UIDVALIDITY 7)\r\n{tag} OK done', "{tag} NO [LIMIT] Slow down"])
    with ScriptedImap({"STATUS": lambda _: next(states)}) as script:
        connection = {"host": "127.0.0.1", "port": script.port, "security": "plain"}
        of = Account(1, 1, "a@example.org", "imap", connection, {"password": "p"})
        probes = ImapProber(PROVIDER)
        assert not probes.has_news(of, Cursor(uid_validity=7, last_uid=4))
        with pytest.raises(Throttled):
            probes.has_news(of, Cursor(uid_validity=7, last_uid=4))
        assert sum("LOGIN" in line for line in script.heard) == 1


def test_a_fingerprint_tells_accounts_apart_and_nothing_else(account: Callable[[int], Account]) -> None:
    of = account(13)
    other = replace(of, secrets={**of.secrets, "password": "other"})
    assert fingerprint(of) == fingerprint(replace(of))
    assert len({fingerprint(of), fingerprint(other), fingerprint(replace(of, connection={}))}) == 3
    assert PASSWORD not in fingerprint(of)


def test_the_registry_makes_probers_too() -> None:
    made = prober("imap")
    made.close()
    with pytest.raises(InvalidInput, match="Known connection types"):
        prober("pop3")
