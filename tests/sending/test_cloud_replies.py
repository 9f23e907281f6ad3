"""A reply through the product from a Gmail and a Microsoft inbox, and what becomes of it when something breaks on the way."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from pydantic import SecretStr

from inboxops.composition import canaries, certifying, connecting, mailboxes
from inboxops.composition.world import World
from inboxops.core.ids import normalise_message_id
from inboxops.core.mime import parse
from inboxops.core.model import ParsedMessage
from inboxops.errors import (
    AuthenticationFailed,
    InboxOpsError,
    InvalidInput,
    MessageRefused,
    OutcomeUnknown,
    TransientError,
)
from inboxops.settings import Settings
from inboxops.stories.files import take_upload
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.proxy import Proxy
from inboxops_local.standins.client import settings_for
from inboxops_local.standins.http import Fault
from tests.providers.cloud_kits import GmailServer, GraphServer, consented, sent_by
from tests.sending.conftest import Agent
from tests.sending.test_kills import TIMES, start
from tests.stories.conftest import Mailbox, mail

SENDS = r"POST .*/(send|sendMail)($|\?)"


@dataclass
class CloudMail:
    """A stand-in as the mail server of an inbox."""

    server: GmailServer | GraphServer

    def append(self, user: str, raw: bytes) -> None:
        self.server.stand_in.deliver(user, raw)


@dataclass
class CloudDesk(Agent):
    """An agent whose inbox lives at a provider."""

    server: GmailServer | GraphServer
    proxy: Proxy

    def arrived(self) -> list[ParsedMessage]:
        return [parse(raw) for raw in sent_by(self.server, self.box.user)]

    def conversations(self) -> set[str]:
        """As the provider sorts the mailbox's messages."""
        mailbox: Any = self.server.stand_in.mailbox(self.box.user)
        of_gmail = self.box.inbox.connection_type == "gmail"
        return {
            m.thread_id if of_gmail else m.resource(immutable=True)["conversationId"] for m in mailbox.messages.values()
        }

    def file(self, size_bytes: int) -> int:
        """The id of an uploaded attachment."""
        world = self.world
        taken = take_upload(
            self.tenant_id,
            world.attachments,
            world.objects,
            file_name="file.bin",
            content_type="application/octet-stream",
            content=b"x" * size_bytes,
        )
        return taken.id


@pytest.fixture(params=["gmail", "microsoft"])
def cloud(request: pytest.FixtureRequest, services: Settings, tenant: str) -> Iterator[CloudDesk]:
    server = request.getfixturevalue("gmail_server" if request.param == "gmail" else "graph_server")
    proxy = Proxy(server.serving.port)
    names = settings_for("gmail" if request.param == "gmail" else "graph", server.serving.url, server.serving.ca_file)
    values: dict[str, Any] = {name.removeprefix("INBOXOPS_").lower(): value for name, value in names.items()}
    values |= {name: SecretStr(value) for name, value in values.items() if name.endswith("_secret")}
    values["google_api_url" if request.param == "gmail" else "microsoft_graph_url"] = f"https://localhost:{proxy.port}"
    world = World(services.model_copy(update=values))
    address = f"{tenant}@example.org"
    server.stand_in.mailbox(address)
    consent = consented(server.consent(), address, server.ca_file)
    inbox_id = world.inboxes.add(
        tenant_id=world.inboxes.tenant_id(tenant),
        name="cloud",
        email_address=address,
        display_name="Helpers",
        connection_type=request.param,
        connection=consent.connection,
        credentials=world.vault.seal(consent.secrets),
        first_sync_days=7,
        first_sync_messages=500,
    )
    assert inbox_id is not None
    yield CloudDesk(Mailbox(world, cast(MailServer, CloudMail(server)), address, inbox_id), server, proxy)
    server.stand_in.heal()
    server.stand_in.at = lambda when, line: None
    server.stand_in.replaces_message_id = False
    proxy.stop()
    world.close()


def test_a_reply_goes_out_and_threads(cloud: CloudDesk) -> None:
    ticket = cloud.ticket(subject="Größe?", id="first", more="References: <root@customer.example>")
    accepted = cloud.reply(ticket, "Ja, natürlich.")
    assert cloud.send(accepted) == "sent"
    [arrived] = cloud.arrived()
    assert arrived.message_id == accepted.message_id_header
    assert arrived.in_reply_to == ("first@customer.example",)
    assert arrived.references == ("root@customer.example", "first@customer.example")
    assert arrived.subject == f"Re: Größe? [#{accepted.ticket_number}]"
    assert (arrived.sender.name, arrived.sender.address) == ("Helpers", cloud.box.user)
    assert arrived.text.startswith("Ja, natürlich.")
    assert cloud.row(accepted.message_id)["wire_message_id"] in (None, accepted.message_id_header)


def test_a_canary_leaves_comes_back_and_opens_no_ticket(cloud: CloudDesk) -> None:
    number = canaries.send(cloud.world, cloud.box.inbox_id)
    assert number is not None
    cloud.box.deliver(*(sent_by(cloud.server, cloud.box.user)))
    cloud.box.run()
    assert (cloud.world.canaries.one(number)["state"], cloud.box.tickets()) == ("back", [])


def test_a_canary_is_deleted_where_the_consent_covers_that_and_else_says_what_is_missing(cloud: CloudDesk) -> None:
    world, inbox_id = cloud.world, cloud.box.inbox_id
    world.canaries.wish(inbox_id, minutes=None, from_id=None, delete=True)
    number = canaries.send(world, inbox_id)
    assert number is not None
    cloud.box.deliver(*(sent_by(cloud.server, cloud.box.user)))
    cloud.box.run()
    canaries.tend(world)
    if isinstance(cloud.server, GmailServer):
        assert "INBOXOPS_GOOGLE_MAY_MODIFY=true" in world.canaries.one(number)["removal_error"]
        assert cloud.box.inbox.state == "connected"
        consent = consented(cloud.server.consent(may_modify=True), cloud.box.user, cloud.server.ca_file)
        again = (
            "UPDATE canaries SET removal_tried_at = NULL WHERE id = %s RETURNING 1",
            "UPDATE inboxes SET credentials_encrypted = %s WHERE id = %s RETURNING 1",
        )
        cloud.box.query(again[0], number)
        cloud.box.query(again[1], world.vault.seal(consent.secrets), inbox_id)
        canaries.tend(world)
    assert world.canaries.one(number)["removed"] == "trashed"
    cloud.box.run()
    assert cloud.box.states() == {"dropped": 1}, "what went into the trash is no news"
    made = certifying.certify(world, cloud.tenant_id)
    assert (made.unaccounted, made.skipped) == (0, 0)


def test_the_mailbox_shows_the_reply_in_the_customers_thread(cloud: CloudDesk) -> None:
    cloud.send(cloud.reply(cloud.ticket()))
    assert len(cloud.conversations()) == 1


def test_an_answer_to_the_id_that_really_went_out_joins_the_ticket(cloud: CloudDesk) -> None:
    cloud.server.stand_in.replaces_message_id = True
    ticket = cloud.ticket()
    accepted = cloud.reply(ticket)
    assert cloud.send(accepted) == "sent"
    wire = cloud.row(accepted.message_id)["wire_message_id"]
    assert wire == normalise_message_id(cloud.arrived()[0].message_id) != accepted.message_id_header
    cloud.box.deliver(mail("another subject", more=f"In-Reply-To: <{wire}>"))
    cloud.box.run()
    assert cloud.box.query("SELECT DISTINCT ticket_id FROM messages WHERE inbox_id = %s", cloud.box.inbox_id) == [
        (ticket,)
    ]


def test_what_it_sent_is_not_taken_for_mail(cloud: CloudDesk) -> None:
    ticket = cloud.ticket()
    cloud.send(cloud.reply(ticket))
    cloud.box.run()
    assert cloud.box.query("SELECT count(*) FROM messages WHERE inbox_id = %s", cloud.box.inbox_id) == [(2,)]


@pytest.mark.parametrize("replaced", [False, True])
def test_an_answer_that_is_lost_is_settled_by_what_was_sent(cloud: CloudDesk, replaced: bool) -> None:
    cloud.server.stand_in.replaces_message_id = replaced
    accepted = cloud.reply(cloud.ticket())
    once(cloud, "behind", SENDS, cloud.proxy.drop_all)
    with pytest.raises(OutcomeUnknown):
        cloud.send(accepted)
    assert cloud.row(accepted.message_id)["send_status"] == "unknown"
    assert cloud.send(accepted) == "sent"
    [arrived] = cloud.arrived()
    wire = cloud.row(accepted.message_id)["wire_message_id"]
    assert (wire or accepted.message_id_header) == arrived.message_id


def test_a_server_error_is_settled_by_waiting_and_looking(cloud: CloudDesk) -> None:
    cloud.server.stand_in.fail(Fault(SENDS, status=503))
    accepted = cloud.reply(cloud.ticket())
    with pytest.raises(OutcomeUnknown):
        cloud.send(accepted)
    with pytest.raises(TransientError, match="not in the Sent folder yet"):
        cloud.send(accepted)
    cloud.let_an_hour_pass(accepted.message_id)
    assert cloud.send(accepted) == "sent"
    assert len(cloud.arrived()) == 1


def test_throttling_waits_and_a_refusal_fails(cloud: CloudDesk) -> None:
    accepted = cloud.reply(cloud.ticket())
    cloud.server.stand_in.fail(Fault(SENDS, status=429, headers={"Retry-After": "9"}))
    with pytest.raises(TransientError):
        cloud.send(accepted)
    assert cloud.row(accepted.message_id)["send_status"] == "pending"
    cloud.server.stand_in.fail(Fault(SENDS, status=400))
    with pytest.raises(MessageRefused):
        cloud.send(accepted)
    assert cloud.row(accepted.message_id)["send_status"] == "failed"
    attempt = cloud.world.outbound.retry(cloud.tenant_id, accepted.message_id)
    assert cloud.send(accepted, attempt) == "sent"
    assert len(cloud.arrived()) == 1


def test_a_consent_that_was_taken_back_disconnects_the_inbox(cloud: CloudDesk) -> None:
    accepted = cloud.reply(cloud.ticket())
    cloud.server.stand_in.authority.revoke_user(cloud.box.user)
    with pytest.raises(AuthenticationFailed):
        cloud.send(accepted)
    assert cloud.box.inbox.state == "disconnected"


def test_the_inbox_can_be_tried_in_and_out_but_not_with_a_password(cloud: CloudDesk) -> None:
    inbox = cloud.box.inbox
    assert mailboxes.look(cloud.world, inbox).server == f"localhost:{cloud.proxy.port}"
    with pytest.raises(InvalidInput, match="no password"):
        connecting.reconnect(cloud.world, inbox, inbox.connection, {"password": "x"})


@pytest.mark.parametrize("when", ["before", "behind"])
@pytest.mark.parametrize("attempt", range(TIMES))
def test_a_kill_at_the_request_that_sends_leads_to_one_mail(cloud: CloudDesk, when: str, attempt: int) -> None:
    """The server carries the request out although nobody waits for the answer any more: the worst case."""
    accepted = cloud.reply(cloud.ticket())
    killed_at(cloud, when, SENDS, accepted.message_id)
    settle(cloud, accepted)
    assert cloud.row(accepted.message_id)["send_status"] == "sent"
    assert len(cloud.arrived()) == 1


@pytest.mark.parametrize(
    "step", [r"POST .*/messages$", r"POST .*/attachments$", "createUploadSession", "PUT /uploads", SENDS]
)
@pytest.mark.parametrize("attempt", range(TIMES))
@pytest.mark.parametrize("cloud", ["microsoft"], indirect=True)
def test_a_kill_on_the_way_to_a_large_mail_leads_to_one_mail(cloud: CloudDesk, step: str, attempt: int) -> None:
    accepted = cloud.reply(cloud.ticket(), attachment_ids=(cloud.file(4_200_000), cloud.file(10)))
    killed_at(cloud, "behind", step, accepted.message_id)
    settle(cloud, accepted)
    assert cloud.row(accepted.message_id)["send_status"] == "sent"
    assert len(cloud.arrived()) == 1


def once(cloud: CloudDesk, when: str, step: str, do: Any) -> None:
    def at(now: str, line: str) -> None:
        if now == when and re.search(step, line):
            cloud.server.stand_in.at = lambda when, line: None
            do()

    cloud.server.stand_in.at = at


def killed_at(cloud: CloudDesk, when: str, step: str, message_id: int) -> None:
    """A process of its own sends, and is killed there."""
    senders: list[subprocess.Popen[bytes]] = []

    def kill() -> None:
        senders[0].kill()
        senders[0].wait()

    once(cloud, when, step, kill)
    sender = start(cloud, message_id)
    senders.append(sender)
    assert sender.stdin is not None
    sender.stdin.close()
    assert sender.wait(timeout=60) == -9


def settle(cloud: CloudDesk, accepted: Any) -> None:
    """As Airflow's next tries, or drain_outbox, would do after the lease."""
    cloud.let_lease_end(accepted.message_id)
    for _ in range(2):
        try:
            cloud.send(accepted)
        except InboxOpsError as exc:
            assert exc.kind == "transient"
