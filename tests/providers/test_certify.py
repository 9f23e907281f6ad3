"""Over a mailbox of each kind with all that mailboxes do, a certificate calls nothing missing that is not, and fetches what is."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from inboxops.composition.world import World
from inboxops.core import certificate
from inboxops.core.compose import Outgoing, compose
from inboxops.core.ids import make_message_id
from inboxops.core.inbox import Inbox
from inboxops.core.model import Address, Listed
from inboxops.ports import Account, Envelope, FetchLimits, Mailbox
from inboxops.providers import sender
from inboxops.stories import certify, fetch
from inboxops.stories.certify_mailbox import Door
from inboxops.stories.certify_objects import Stocktaking
from tests.providers.kits import Kit
from tests.providers.test_contract import mail
from tests.sending.sender_kits import KITS as SENDERS
from tests.sending.sender_kits import GmailSenderKit, GraphSenderKit, JmapSenderKit

LIMITS = FetchLimits(message_bytes=300_000)


def with_file() -> bytes:
    content = base64.encodebytes(random.Random(2).randbytes(20_000)).replace(b"\n", b"\r\n")
    return (
        b"From: a@example.com\r\nSubject: file\r\nMessage-ID: <file@example.com>\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment\r\n\r\n" + content
    )


@dataclass
class Case:
    """A mailbox, and the inbox that reads it."""

    kit: Kit
    world: World
    inbox_id: int
    stored: bytes = b""
    """What the object store is said to have of any mail."""

    @property
    def inbox(self) -> Inbox:
        return self.world.inboxes.get(self.inbox_id)

    def fetch(self) -> bool:
        about = (self.kit.account, self.kit.provider, self.world.inbound, self.world.inboxes, self.world.bulk_objects)
        return not fetch.fetch(self.inbox, *about, limits=LIMITS, max_batches=10).more

    def fetch_named(self, wanted: Sequence[Listed]) -> None:
        about = (self.kit.account, self.kit.provider, self.world.inbound, self.world.inboxes, self.world.bulk_objects)
        fetch.fetch_named(self.inbox, *about, wanted, limits=LIMITS)

    def account(self, *, meanwhile: Callable[[], None] = lambda: None) -> certificate.Account:
        """meanwhile: happens once, behind the first listing."""
        todo = [meanwhile]

        def door(inbox: Inbox) -> Door:
            return Door(
                inbox_id=inbox.id,
                tenant_id=inbox.tenant_id,
                account=self.kit.account,
                provider=Meddled(self.kit, todo),
                sender=sender(inbox.connection_type),
                fetch=self.fetch,
                fetch_named=self.fetch_named,
                stored=lambda id_: self.stored,
            )

        tenant_id = self.inbox.tenant_id
        now = datetime.now(UTC) + timedelta(hours=1)
        kept = timedelta(days=90)
        subject = certify.Subject(tenant_id, "t", [self.inbox], door, self.world.signing_key, kept, now)
        stock = Stocktaking(tenant_id, self.world.certificates, self.world.objects, self.world.bulk_objects)
        return certify.account(subject, self.world.certificates, stock)


@dataclass
class Meddled:
    """A provider beside whose first listing something happens."""

    kit: Kit
    todo: list[Callable[[], None]]

    def open(self, account: Account) -> AbstractContextManager[Mailbox]:
        return self._open(account)

    @contextmanager
    def _open(self, account: Account) -> Iterator[Mailbox]:
        with self.kit.provider.open(account) as mailbox:
            yield mailbox
        if self.todo:
            self.todo.pop()()


@pytest.fixture
def case(kit: Kit, world: World, tenant: str) -> Case:
    return reads(kit, world, tenant)


def reads(kit: Kit, world: World, tenant: str) -> Case:
    """An inbox that has read its mailbox for an hour."""
    account = kit.account
    inbox_id = world.inboxes.add(
        tenant_id=world.inboxes.tenant_id(tenant),
        name="box",
        email_address=account.email_address,
        display_name="",
        connection_type=account.connection_type,
        connection=account.connection,
        credentials=world.vault.seal(account.secrets),
        first_sync_days=7,
        first_sync_messages=500,
    )
    assert inbox_id is not None
    made = Case(kit, world, inbox_id)
    kit.deliver(mail("there before"), when=datetime.now(UTC) - timedelta(days=2))
    kit.deliver(mail("too old to be imported"), when=datetime.now(UTC) - timedelta(days=20))
    made.fetch()
    with world.database.transaction() as t:
        t.connection.execute(b"UPDATE inboxes SET first_read_at = now() - interval '1 hour' WHERE id = %s", (inbox_id,))
    return made


def test_no_false_alarm_over_all_that_happens_in_a_mailbox(case: Case) -> None:
    kit = case.kit
    for raw in (mail("plain"), mail("long", 50_000), with_file(), mail("huge", 400_000)):
        kit.deliver(raw)
    kit.deliver(b"Subject: bytes\r\n\r\n\xff\xfe 8-bit \x80\r\n.\r\n..dots\r\n")
    kit.deliver(mail("offer"), junk=True)
    for subject in ("filed before", "filed after", "there and back", "deleted"):
        kit.deliver(mail(subject))
    kit.move_away("filed before")
    case.fetch()
    kit.move_away("filed after")
    kit.move_away("there and back")
    kit.move_back("there and back")
    kit.delete("deleted")
    kit.deliver(mail("not polled yet"))

    def meanwhile() -> None:
        kit.deliver(mail("came meanwhile"))
        kit.move_away("plain")

    looked = case.account(meanwhile=meanwhile)
    assert list(looked.findings) == []
    assert looked.spans[0].skipped == ""
    assert looked.spans[0].listed >= 6
    kit.expire_cursor()
    again = case.account()
    assert (list(again.findings), again.spans[0].skipped) == ([], "")


def test_a_mail_that_was_never_fetched_is_fetched(case: Case) -> None:
    for number in range(3):
        case.kit.deliver(mail(f"m{number}", 2_000))
    case.fetch()
    with case.world.database.transaction() as t:
        (row,) = t.connection.execute(
            b"DELETE FROM inbound WHERE id = (SELECT max(id) FROM inbound WHERE inbox_id = %s) RETURNING provider_key AS key",
            (case.inbox_id,),
        ).fetchall()
    cursor = case.inbox.cursor
    looked = case.account()
    assert [(one.kind, one.key, one.repaired) for one in looked.findings] == [("mail_missing", row["key"], True)]
    assert case.inbox.cursor == cursor
    assert case.world.inbound.counts(case.inbox_id) == {"stored": 4}
    assert list(case.account().findings) == []


def test_a_mail_that_goes_before_it_can_be_fetched_is_not_missing(case: Case) -> None:
    case.kit.deliver(mail("going"))
    case.fetch()
    with case.world.database.transaction() as t:
        t.connection.execute(
            b"DELETE FROM inbound WHERE id = (SELECT max(id) FROM inbound WHERE inbox_id = %s)", (case.inbox_id,)
        )
    looked = case.account(meanwhile=lambda: case.kit.delete("going"))
    assert list(looked.findings) == []


def test_a_size_that_a_server_tells_wrong_is_a_finding_only_when_the_mail_is_another(case: Case) -> None:
    raw = mail("sized")
    case.kit.deliver(raw)
    case.fetch()
    with case.world.database.transaction() as t:
        t.connection.execute(b"UPDATE inbound SET size_bytes = size_bytes + 1 WHERE inbox_id = %s", (case.inbox_id,))
    tells = case.kit.account.connection_type in ("imap", "jmap")
    for stored, wanted in ((case.kit.as_served(raw), set()), (b"another", {"mail_differs"} if tells else set())):
        case.stored = stored
        assert {one.kind for one in case.account().findings} - {"object_altered"} == wanted


@pytest.fixture(params=["gmail", "jmap", "microsoft"])
def way_out(request: pytest.FixtureRequest) -> Iterator[GmailSenderKit | GraphSenderKit | JmapSenderKit]:
    make, server = SENDERS[request.param]
    made = make(request.getfixturevalue(server))
    yield made
    made.close()


@pytest.mark.parametrize("replaced", [False, True])
def test_what_left_is_held_against_what_the_mailbox_sent(
    way_out: GmailSenderKit | GraphSenderKit | JmapSenderKit, world: World, tenant: str, replaced: bool
) -> None:
    """With our id, and with the one that a provider put in its place."""
    case = reads(cast(Kit, way_out.box), world, tenant)
    if not isinstance(way_out, JmapSenderKit):
        way_out.box.stand_in.replaces_message_id = replaced
    replies(case, way_out)
    looked = case.account()
    assert (looked.sent, list(looked.findings), looked.spans[0].sent_unchecked) == (1, [], "")
    if isinstance(way_out, JmapSenderKit):
        way_out.box.client.destroy(way_out.box.client.ids("sent"))
    else:
        way_out.box.delete("Re: Question")
    assert [(one.kind, one.repaired) for one in case.account().findings] == [("not_in_sent", False)]


def replies(case: Case, way_out: GmailSenderKit | GraphSenderKit | JmapSenderKit) -> None:
    """A reply as the product composes and keeps it, in a ticket of its own."""
    ours, theirs = way_out.account.email_address, "ann@customer.example"
    (id_,) = case.world.inbound.reserve(1)
    key = case.world.signing_key
    header = make_message_id(ticket_id=1, message_id=id_, domain=ours.partition("@")[2], signing_key=key)
    reply = Outgoing(
        message_id=header,
        sender=Address("", ours),
        to=(Address("", theirs),),
        cc=(),
        subject="Re: Question",
        text="Here is your answer.",
        html="",
        date=datetime.now(UTC),
    )
    sent = way_out.sender.send(
        way_out.account, compose(reply), Envelope(ours, (theirs,)), commit=lambda: None, thread_id=None
    )
    with case.world.database.transaction() as t:
        t.connection.execute(
            b"WITH opened AS (INSERT INTO tickets (tenant_id, inbox_id, ticket_number) SELECT tenant_id, id, 1 FROM inboxes"
            b" WHERE id = %s RETURNING id, tenant_id, inbox_id), counted AS (UPDATE tenants SET last_ticket_number = 1"
            b" WHERE id = (SELECT tenant_id FROM opened))"
            b" INSERT INTO messages (id, tenant_id, inbox_id, ticket_id, direction, type, message_id_header, wire_message_id,"
            b" send_status, sent_at) SELECT %s, tenant_id, inbox_id, id, 'outbound', 'message', %s, %s, 'sent', now() FROM opened",
            (case.inbox_id, id_, header, sent.wire_message_id or None),
        )
