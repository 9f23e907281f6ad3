"""Who gets an automatic answer, once, and who never does."""

from __future__ import annotations

import uuid

import pytest

from inboxops.composition import mailboxes, sending
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


@pytest.mark.parametrize(
    ("says", "answered"),
    [
        ("spf=fail; dkim=fail; dmarc=none", 0),
        ("spf=fail; dkim=fail; dmarc=temperror", 0),
        ("spf=fail; dkim=none; dmarc=permerror", 0),
        ('spf=fail smtp.mailfrom="a;dmarc=pass"@evil.example; dmarc=fail', 0),
        ("spf=fail (of (a) ; dmarc=pass) ; dmarc=fail", 0),
        ("dmarc=none; compauth=fail reason=601", 0),
        ("spf=pass; dkim=none; dmarc=none", 1),
        ("dmarc=bestguesspass; spf=fail", 1),
    ],
)
def test_no_word_of_dmarc_leaves_the_question_to_spf_and_dkim(polite: Desk, says: str, answered: int) -> None:
    polite.world.inboxes.change(polite.box.inbox_id, trusted_authserv_ids=["mx.acme.example"])
    polite.ticket(more=f"Authentication-Results: mx.acme.example; {says}")
    assert len(responses(polite)) == answered


def test_an_inbox_that_knows_no_server_is_told_of_with_the_one_its_mails_name(polite: Desk) -> None:
    def told() -> list[str]:
        return [one.proposed for one in mailboxes.unguarded(polite.world) if one.tenant == polite.box.inbox.tenant]

    assert told() == [""]
    for says in ("spf=pass", "spf=fail"):
        polite.ticket(
            more=f"Authentication-Results: mx.acme.example; {says}\r\nAuthentication-Results: evil.example; none"
        )
    assert told() == ["mx.acme.example"]
    polite.ticket(more="Authentication-Results: evil.example; dmarc=pass")
    assert told() == [""], "which of them is the tenant's own is not known"
    polite.world.inboxes.change(polite.box.inbox_id, trusted_authserv_ids=["mx.acme.example"])
    assert told() == []


@pytest.mark.parametrize("between", ["", "\r\nReceived: from evil.example by mx.acme.example", "\r\nX-Mailer: evil"])
def test_what_a_stranger_wrote_below_the_trusted_servers_word_makes_nothing_better(polite: Desk, between: str) -> None:
    polite.world.inboxes.change(polite.box.inbox_id, trusted_authserv_ids=["mx.acme.example"])
    said = "Authentication-Results: mx.acme.example; spf=fail"
    polite.ticket(more=f"{said}{between}\r\nAuthentication-Results: mx.acme.example; dmarc=pass; dkim=pass")
    assert responses(polite) == []


@pytest.mark.parametrize(
    ("sender", "reply_to", "answered"),
    [
        ("ann@customer.example", "Ann <ann.private@customer.example>", ["ann.private@customer.example"]),
        ("ann@mail.customer.example", "ann@customer.example", ["ann@customer.example"]),
        ("ann@customer.example", "ann@desk.customer.example", ["ann@desk.customer.example"]),
        ("eve@evil.example", "victim@v.example", []),
        ("eve@evil.example", "victim@notevil.example", []),
        ("eve@a.hosting.example", "victim@b.hosting.example", []),
        ("eve@evil.example", "victim@example", []),
        ("form@evil.example", "victim@v.example", []),
        ('"Ann via Shop" <eve@evil.example>', "victim@v.example", []),
    ],
)
def test_who_names_somebody_else_in_reply_to_has_us_write_to_nobody(
    polite: Desk, sender: str, reply_to: str, answered: list[str]
) -> None:
    """A reflector: DMARC holds for the stranger's own domain, and Reply-To is whoever he likes."""
    polite.world.inboxes.change(polite.box.inbox_id, trusted_authserv_ids=["mx.acme.example"])
    polite.ticket(sender=sender, more=f"Reply-To: {reply_to}\r\nAuthentication-Results: mx.acme.example; dmarc=pass")
    rows = polite.box.query(
        "SELECT recipients #>> '{to,0,address}' FROM messages WHERE tenant_id = %s AND type = 'auto_response'",
        polite.tenant_id,
    )
    assert [address for (address,) in rows] == answered
    [(why,)] = polite.box.query(
        "SELECT evidence::text FROM messages WHERE tenant_id = %s AND direction = 'inbound'", polite.tenant_id
    )
    assert ("no machine answers" in str(why)) is not bool(answered)


@pytest.mark.parametrize(
    ("agents", "says", "answered"),
    [
        (["forms.acme.example"], "mx.acme.example; dmarc=pass", 1),
        (["web@forms.acme.example"], "mx.acme.example; dmarc=pass", 1),
        (["forms.acme.example"], "mx.acme.example; dmarc=none; spf=pass", 0),
        (["forms.acme.example"], "unknown.example; dmarc=fail", 1),  # nobody's word counts: as with any forged From
        ([], "mx.acme.example; dmarc=pass", 0),
    ],
)
def test_a_form_of_the_tenants_own_has_its_customer_answered(
    polite: Desk, agents: list[str], says: str, answered: int
) -> None:
    polite.world.inboxes.set_agents(polite.box.inbox.tenant, agents)
    polite.world.inboxes.change(polite.box.inbox_id, trusted_authserv_ids=["mx.acme.example"])
    more = f"Reply-To: Carla <carla@kunde.example>\r\nAuthentication-Results: {says}"
    polite.ticket(sender="Website <web@forms.acme.example>", more=more)
    assert len(responses(polite)) == answered


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
