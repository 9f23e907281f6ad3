"""Mailboxes held in IDLE say when mail comes, whatever happens to their connections."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from inboxops.core.model import Cursor
from inboxops.errors import AuthenticationFailed, ServerRefused
from inboxops.ports import Account, FetchLimits
from inboxops.providers import imap_idle
from inboxops.providers.imap import ImapProvider
from inboxops.providers.imap_idle import IdleHub
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.processes import wait_until
from inboxops_lab.testing.proxy import Proxy
from tests.scripted import ScriptedImap

PROVIDER = ImapProvider(connect_seconds=5, read_seconds=5)
PASSWORD = "idle password"
MAIL = b"Subject: x\n\nx\n"


@pytest.fixture
def proxy(mail_server: MailServer) -> Iterator[Proxy]:
    made = Proxy(mail_server.port_imaps)
    yield made
    made.stop()


@pytest.fixture
def mailbox(mail_server: MailServer, proxy: Proxy) -> Callable[[int], tuple[Account, Cursor]]:
    """Accounts by number, and how far each has been read."""

    def made(number: int) -> tuple[Account, Cursor]:
        user = f"idle{number}@example.org"
        mail_server.add_user(user, PASSWORD)
        account = Account(
            inbox_id=number,
            tenant_id=1,
            email_address=user,
            connection_type="imap",
            connection={"host": "localhost", "port": proxy.port, "ca_file": mail_server.ca_file},
            secrets={"username": user, "password": PASSWORD},
        )
        return account, read(account)

    return made


def read(account: Account) -> Cursor:
    with PROVIDER.open(account) as opened:
        return list(opened.batches(Cursor(), FetchLimits()))[-1].cursor


class Held:
    """A hub and what it told."""

    def __init__(self, **options: Any) -> None:
        self.hub = IdleHub(PROVIDER, **{"retry_seconds": (0.1, 0.5), **options})
        self.told: Counter[int] = Counter()
        self.hub.listen(lambda inbox_id: self.told.update([inbox_id]))

    def wait_until_healthy(self, *inbox_ids: int) -> None:
        wait_until(f"IDLE in {inbox_ids}", lambda: self.hub.healthy() == set(inbox_ids))

    def wait_until_told(self, inbox_id: int, times: int = 1) -> None:
        wait_until(f"news of {inbox_id}", lambda: self.told[inbox_id] >= times)


@pytest.fixture
def hold() -> Iterator[Callable[..., Held]]:
    made: list[Held] = []

    def hold(**options: Any) -> Held:
        made.append(Held(**options))
        return made[-1]

    yield hold
    for held in made:
        held.hub.close()


Mailboxes = Callable[[int], tuple[Account, Cursor]]


def test_arriving_mail_is_told_and_nothing_else(
    mail_server: MailServer, hold: Callable[..., Held], mailbox: Mailboxes
) -> None:
    one, other = mailbox(1), mailbox(2)
    held = hold()
    held.hub.hold([one, other])
    held.wait_until_healthy(1, 2)
    mail_server.append(one[0].email_address, MAIL)
    held.wait_until_told(1)
    assert held.told[2] == 0


def test_mail_that_came_before_the_connection_is_told(
    mail_server: MailServer, hold: Callable[..., Held], mailbox: Mailboxes
) -> None:
    account, cursor = mailbox(3)
    mail_server.append(account.email_address, MAIL)
    held = hold()
    held.hub.hold([(account, cursor)])
    held.wait_until_told(3)


def test_deleting_and_flagging_is_no_news(
    mail_server: MailServer, hold: Callable[..., Held], mailbox: Mailboxes
) -> None:
    account, _ = mailbox(4)
    for _ in range(3):
        mail_server.append(account.email_address, MAIL)
    held = hold()
    held.hub.hold([(account, read(account))])
    held.wait_until_healthy(4)
    with mail_server.client(account.email_address) as client:
        client.select_folder("INBOX")
        client.add_flags([1, 2], [b"\\Seen"])
        client.delete_messages([1])
        client.expunge()
    mail_server.append(account.email_address, MAIL)  # told after whatever came before it
    held.wait_until_told(4)
    assert held.told[4] == 1


def test_idle_is_renewed_and_mail_is_told_afterwards(
    mail_server: MailServer, proxy: Proxy, hold: Callable[..., Held], mailbox: Mailboxes
) -> None:
    held = hold(renew_seconds=0.05)
    account, cursor = mailbox(5)
    before = proxy.connections
    held.hub.hold([(account, cursor)])
    for times in range(1, 5):
        mail_server.append(account.email_address, MAIL)
        held.wait_until_told(5, times)
    assert proxy.connections == before + 1


def test_renewal_speaks_as_rfc_2177_has_it(hold: Callable[..., Held]) -> None:
    with ScriptedImap({"IDLE": "+ idling"}, capabilities="IMAP4rev1 IDLE") as script:
        held = hold(renew_seconds=0.01)
        held.hub.hold([(scripted_account(script), Cursor(uid_validity=7, last_uid=1))])
        wait_until("DONE", lambda: "DONE" in script.heard)
        assert "I IDLE" in script.heard


def test_a_lost_connection_comes_back_and_mail_in_between_is_told(
    mail_server: MailServer, proxy: Proxy, hold: Callable[..., Held], mailbox: Mailboxes
) -> None:
    account, cursor = mailbox(6)
    held = hold()
    held.hub.hold([(account, cursor)])
    held.wait_until_healthy(6)
    proxy.cut_after = 0  # nobody gets in
    proxy.drop_all()
    held.wait_until_healthy()
    mail_server.append(account.email_address, MAIL)
    assert held.told[6] == 0
    proxy.cut_after = None
    held.wait_until_told(6)
    held.wait_until_healthy(6)


def test_a_reconnection_tells_no_old_news(
    mail_server: MailServer, proxy: Proxy, hold: Callable[..., Held], mailbox: Mailboxes
) -> None:
    account, cursor = mailbox(7)
    held = hold()
    held.hub.hold([(account, cursor)])
    held.wait_until_healthy(7)
    mail_server.append(account.email_address, MAIL)
    held.wait_until_told(7)
    held.hub.hold([(account, read(account))])
    before = proxy.connections
    proxy.drop_all()
    wait_until("another connection", lambda: proxy.connections > before)
    held.wait_until_healthy(7)
    assert held.told[7] == 1


def test_mailboxes_come_and_go_at_run_time(
    mail_server: MailServer, hold: Callable[..., Held], mailbox: Mailboxes
) -> None:
    one, other = mailbox(8), mailbox(9)
    held = hold()
    held.hub.hold([one])
    held.wait_until_healthy(8)
    held.hub.hold([other])
    held.wait_until_healthy(9)
    mail_server.append(one[0].email_address, MAIL)
    mail_server.append(other[0].email_address, MAIL)
    held.wait_until_told(9)
    assert held.told[8] == 0
    held.hub.hold([])
    held.wait_until_healthy()


def test_no_more_are_held_than_allowed(hold: Callable[..., Held], mailbox: Mailboxes) -> None:
    held = hold(limit=2)
    held.hub.hold([mailbox(10), mailbox(11), mailbox(12)])
    held.wait_until_healthy(10, 11)


def test_wrong_credentials_are_not_tried_again_until_they_change(
    hold: Callable[..., Held], mailbox: Mailboxes, proxy: Proxy
) -> None:
    account, cursor = mailbox(13)
    wrong = replace(account, secrets={**account.secrets, "password": "wrong"})
    held = hold()
    held.hub.hold([(wrong, cursor)])
    wait_until("the refusal", lambda: 13 in held.hub.refused())
    assert isinstance(held.hub.refused()[13], AuthenticationFailed)
    held.hub.hold([(account, cursor)])
    held.wait_until_healthy(13)
    assert held.hub.refused() == {}


def test_a_server_without_idle_is_left_to_polling(hold: Callable[..., Held]) -> None:
    with ScriptedImap() as script:
        held = hold()
        held.hub.hold([(scripted_account(script), Cursor(uid_validity=7, last_uid=1))])
        wait_until("the refusal", lambda: 99 in held.hub.refused())
        assert isinstance(held.hub.refused()[99], ServerRefused)


@pytest.mark.parametrize("answer", ["{tag} NO no idling here", "* BYE bye", None, "+ ok\r\n* BYE bye", "x" * 200_000])
def test_a_server_that_breaks_off_is_tried_again_with_pauses(hold: Callable[..., Held], answer: str | None) -> None:
    with ScriptedImap({"IDLE": answer}, capabilities="IMAP4rev1 IDLE") as script:
        held = hold(retry_seconds=(0.01, 0.05))
        held.hub.hold([(scripted_account(script), Cursor(uid_validity=7, last_uid=1))])
        wait_until("the third attempt", lambda: sum(line.endswith("IDLE") for line in script.heard) >= 3)


def test_many_lines_in_one_packet_are_one_piece_of_news(hold: Callable[..., Held]) -> None:
    idling = (
        "+ idling\r\n* OK Still here\r\n* 1 EXISTS\r\n* 2 EXISTS\r\n* 3 EXISTS\r\n* 1 RECENT\r\n* 2 FETCH (FLAGS ())"
    )
    with ScriptedImap({"IDLE": idling}, capabilities="IMAP4rev1 IDLE") as script:
        held = hold()
        held.hub.hold([(scripted_account(script), Cursor(uid_validity=7, last_uid=1))])
        held.wait_until_told(99)
        held.wait_until_healthy(99)
        assert held.told[99] == 1


@pytest.mark.parametrize(
    "line", ["* " + "9" * 5_000 + " EXISTS", "* " + "9" * 5_000 + " EXPUNGE", "* ² EXISTS", "\0", "I"]
)
def test_what_one_server_says_ends_the_idle_of_no_other(
    mail_server: MailServer, hold: Callable[..., Held], mailbox: Mailboxes, line: str
) -> None:
    with ScriptedImap({"IDLE": f"+ idling\r\n{line}\r\n* 9 EXISTS"}, capabilities="IMAP4rev1 IDLE") as script:
        held = hold()
        account, cursor = mailbox(15)
        held.hub.hold([(scripted_account(script), Cursor(uid_validity=7, last_uid=0)), (account, cursor)])
        held.wait_until_told(99)
        wait_until("IDLE in the other", lambda: 15 in held.hub.healthy())
        mail_server.append(account.email_address, MAIL)
        held.wait_until_told(15)


def test_a_server_that_breaks_a_rule_nobody_thought_of_is_tried_again_and_ends_no_other(
    mail_server: MailServer, hold: Callable[..., Held], mailbox: Mailboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    grows = imap_idle._grows

    def stumbles(connection: Any, line: bytes) -> bool:
        if line == b"* nobody thought of this":
            raise ValueError("not that")
        return grows(connection, line)

    monkeypatch.setattr(imap_idle, "_grows", stumbles)
    answers = {"IDLE": "+ idling\r\n* nobody thought of this"}
    with ScriptedImap(answers, capabilities="IMAP4rev1 IDLE") as script:
        held = hold(retry_seconds=(0.01, 0.05))
        account, cursor = mailbox(16)
        held.hub.hold([(scripted_account(script), Cursor(uid_validity=7, last_uid=0)), (account, cursor)])
        wait_until("the third attempt", lambda: sum(line.endswith("IDLE") for line in script.heard) >= 3)
        held.wait_until_healthy(16)
        mail_server.append(account.email_address, MAIL)
        held.wait_until_told(16)


def test_a_hub_that_ended_holds_nothing_and_says_so(hold: Callable[..., Held], mailbox: Mailboxes) -> None:
    held = hold()

    async def waits() -> list[int]:
        waiting = asyncio.ensure_future(_all(held.hub.arrivals()))
        await asyncio.sleep(0)
        await asyncio.to_thread(held.hub.close)
        return await asyncio.wait_for(waiting, 30)

    assert asyncio.run(waits()) == []
    assert asyncio.run(_all(held.hub.arrivals())) == [], "also who comes later waits for nothing"
    with pytest.raises(RuntimeError, match="has ended"):
        held.hub.hold([mailbox(17)])


async def _all(arrivals: AsyncIterator[int]) -> list[int]:
    return [inbox_id async for inbox_id in arrivals]


def test_servers_that_take_connections_and_are_silent_hold_up_no_other(
    mail_server: MailServer, hold: Callable[..., Held], mailbox: Mailboxes
) -> None:
    silent = socket.create_server(("127.0.0.1", 0), backlog=200)
    port = silent.getsockname()[1]
    connection = {"host": "127.0.0.1", "port": port, "security": "plain"}
    many = [Account(number, 1, "a@example.org", "imap", connection, {"password": "p"}) for number in range(2000, 2060)]
    held = hold()
    held.hub.hold([*((one, Cursor(uid_validity=7, last_uid=1)) for one in many), mailbox(18)])
    wait_until(
        "IDLE in the other", lambda: 18 in held.hub.healthy(), seconds=4
    )  # the silent ones take ten seconds each
    silent.close()


def test_a_folder_that_went_back_is_told_at_the_next_connection(
    mail_server: MailServer, hold: Callable[..., Held], mailbox: Mailboxes
) -> None:
    account, cursor = mailbox(19)
    held = hold()
    held.hub.hold([(account, replace(cursor, last_uid=(cursor.last_uid or 0) + 100))])
    held.wait_until_told(19)


def test_an_event_loop_can_wait_for_arrivals(
    mail_server: MailServer, hold: Callable[..., Held], mailbox: Mailboxes
) -> None:
    account, cursor = mailbox(14)
    held = hold()

    async def first_arrival() -> int:
        arrivals = held.hub.arrivals()
        waiting = asyncio.ensure_future(anext(arrivals))
        held.hub.hold([(account, cursor)])
        await asyncio.to_thread(held.wait_until_healthy, 14)
        await asyncio.to_thread(mail_server.append, account.email_address, MAIL)
        inbox_id = await asyncio.wait_for(waiting, 30)
        await arrivals.aclose()
        return inbox_id

    assert asyncio.run(first_arrival()) == 14


def test_two_hundred_mailboxes_on_one_thread(
    mail_server: MailServer, hold: Callable[..., Held], mailbox: Mailboxes
) -> None:
    if mail_server.name != "dovecot":
        pytest.skip("needs Dovecot, which is not installed")
    mailboxes = [mailbox(number) for number in range(1000, 1200)]
    held = hold()
    held.hub.hold(mailboxes)
    held.wait_until_healthy(*range(1000, 1200))
    for account, _ in mailboxes:
        mail_server.append(account.email_address, MAIL)
    wait_until("all their news", lambda: len(held.told) == 200)


def scripted_account(script: ScriptedImap) -> Account:
    connection = {"host": "127.0.0.1", "port": script.port, "security": "plain"}
    return Account(99, 1, "a@example.org", "imap", connection, {"password": "p"})
