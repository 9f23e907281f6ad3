"""Who gets an automatic answer, once, and who never does."""

from __future__ import annotations

import uuid

import pytest

from inboxops.composition import sending
from inboxops.core.autorespond import MOST_PER_ADDRESS
from inboxops.errors import InvalidInput
from tests.sending.conftest import Desk
from tests.stories.conftest import connect, mail

TEMPLATE = "Hello {{ sender_name }}, this is ticket {{ ticket_number }} at {{ org_name }} ({{ inbox_name }})."


@pytest.fixture
def polite(desk: Desk) -> Desk:
    """An inbox that answers new tickets by itself, connected before the mail of the test comes."""
    desk.box.run()
    desk.world.inboxes.change(
        desk.box.inbox_id, display_name="Acme support", auto_response_enabled=True, auto_response_body=TEMPLATE
    )
    return desk


def responses(desk: Desk) -> list[int]:
    rows = desk.box.query(
        "SELECT id FROM messages WHERE tenant_id = %s AND type = 'auto_response' ORDER BY id", desk.tenant_id
    )
    return [int(str(id_)) for (id_,) in rows]


def test_a_person_who_opens_a_ticket_is_answered_by_the_rules_of_rfc_3834(polite: Desk) -> None:
    polite.ticket(subject="Größe?", id="first", sender="Jürgen <j@customer.example>")
    (message_id,) = responses(polite)
    assert sending.send(polite.world, message_id, 0).state == "sent"
    (taken,) = polite.taken
    message = taken.message
    assert (taken.sender, taken.recipients) == ("", ["j@customer.example"])
    assert message.text.startswith("Hello Jürgen, this is ticket 1 at Test Ltd (Acme support).")
    assert message.subject == "Re: Größe? [#1]"
    assert (message.in_reply_to, message.references) == (("first@customer.example",), ("first@customer.example",))
    assert dict(message.headers).get("Auto-Submitted") == "auto-replied"
    assert dict(message.headers).get("X-Auto-Response-Suppress") == "All"
    orders = polite.box.query("SELECT count(*) FROM outbox WHERE kind = 'send' AND name = %s", f"{message_id}-0")
    assert orders == [(1,)], "it leaves by the same order as a reply"


@pytest.mark.parametrize(
    ("says", "answered"),
    [
        ("dmarc=fail; spf=pass", 0),
        ("spf=fail; dkim=none", 0),
        ("spf=softfail", 0),
        ("spf=fail; dkim=pass; dmarc=pass", 1),  # as a list or a forward passes it on
        ("spf=fail; dkim=pass", 1),
        ("spf=none; dkim=none; dmarc=none", 1),  # most small senders
    ],
)
def test_forged_mail_makes_us_write_to_nobody(polite: Desk, says: str, answered: int) -> None:
    polite.world.inboxes.change(polite.box.inbox_id, trusted_authserv_ids=["mx.acme.example"])
    polite.ticket(more=f"Authentication-Results: mx.acme.example; {says}")
    polite.ticket(sender="other@customer.example", more="Authentication-Results: mx.forger.example; dmarc=fail")
    assert len(responses(polite)) == answered + 1, "what a stranger's header says counts for nothing"


def test_its_answer_joins_the_ticket_and_is_not_answered_again(polite: Desk) -> None:
    polite.ticket(id="a")
    polite.ticket(answers="a")
    assert len(responses(polite)) == 1


@pytest.mark.parametrize(
    "about",
    [
        {"more": "Auto-Submitted: auto-replied"},
        {"more": "Auto-Submitted: auto-generated"},
        {"more": "Precedence: bulk"},
        {"more": "List-Id: <l.customer.example>"},
        {"more": "Return-Path: <>"},
        {"more": "X-Spam-Flag: YES"},
        {"sender": "no-reply@customer.example"},
        {"sender": "MAILER-DAEMON@customer.example"},
        {"sender": "root@customer.example"},
        {"sender": "list-request@customer.example"},
        {"more": "Reply-To: noreply@customer.example"},
        {"sender": "not an address"},
    ],
)
def test_what_is_never_answered(polite: Desk, about: dict[str, str]) -> None:
    polite.box.deliver(mail(**about))
    polite.box.run()
    assert responses(polite) == []


def test_our_own_mailboxes_are_never_answered(polite: Desk) -> None:
    polite.box.deliver(
        mail(sender=polite.box.inbox.email_address), mail(more=f"Reply-To: {polite.box.inbox.email_address}")
    )
    polite.box.run()
    assert responses(polite) == []


def test_mail_that_is_older_than_the_inbox_is_not_answered(desk: Desk) -> None:
    desk.world.inboxes.change(desk.box.inbox_id, auto_response_enabled=True, auto_response_body=TEMPLATE)
    desk.ticket()
    assert responses(desk) == []


def test_spam_that_a_person_lets_out_is_not_answered(polite: Desk) -> None:
    polite.box.deliver(mail(more="X-Spam-Flag: YES"))
    polite.box.run()
    rows = polite.box.query("SELECT id FROM inbound WHERE inbox_id = %s", polite.box.inbox_id)
    polite.world.inbound.send_back(int(str(rows[0][0])), release=True)
    polite.box.run()
    assert len(polite.box.tickets()) == 1
    assert responses(polite) == []


def test_one_address_is_answered_so_often_in_a_day_and_others_go_on(polite: Desk) -> None:
    for _ in range(MOST_PER_ADDRESS + 2):
        polite.ticket(sender="Robot@loop.example")
    polite.box.deliver(*(mail(sender="ROBOT@loop.example") for _ in range(3)), mail(sender="ann@customer.example"))
    polite.box.run()
    assert len(responses(polite)) == MOST_PER_ADDRESS + 1


def test_the_same_mail_to_two_inboxes_is_answered_once(polite: Desk, tenant: str) -> None:
    other = connect(polite.world, tenant, polite.box.server, "sales")
    other.run()
    polite.world.inboxes.change(other.inbox_id, auto_response_enabled=True, auto_response_body=TEMPLATE)
    raw = mail(id=uuid.uuid4().hex)
    for box in (polite.box, other):
        box.deliver(raw)
        box.run()
    assert len(other.tickets()) == 1
    assert len(responses(polite)) == 1


def test_an_html_template_goes_out_as_both_with_values_escaped(polite: Desk) -> None:
    polite.world.inboxes.change(polite.box.inbox_id, auto_response_body="<p>Hi {{ sender_name }}</p>")
    polite.ticket(sender='"<img src=x onerror=y> Eve" <eve@customer.example>')
    sending.send(polite.world, responses(polite)[0], 0)
    message = polite.taken[0].message
    assert "<img" not in message.html
    assert "&lt;img" in message.html
    assert message.text.startswith("Hi <img src=x onerror=y> Eve")


def test_a_template_with_an_unknown_variable_is_not_saved(desk: Desk) -> None:
    with pytest.raises(InvalidInput, match="Known variables"):
        desk.world.inboxes.change(desk.box.inbox_id, auto_response_body="{{ customer_name }}")
    assert desk.box.inbox.auto_response_body == ""
