"""What a slice of classified mail becomes: the plan alone, no database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inboxops.core.labels import Labels
from inboxops.core.mail_rules.model import Actions, Priority
from inboxops.core.model import Address, Bounce, Customer, Ruling, ThreadKeys, TicketFacts, Verdict, VerdictKind
from inboxops.core.plan import Facts, Item, KnownMessage, Plan, plan
from inboxops.core.reading import Reading

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
US = "support@acme.example"
FACTS = Facts(now=NOW, reopen_days=14, own_addresses=frozenset({US}))


def mail(
    number: int,
    *,
    id: str = "",
    sender: str = "ann@customer.example",
    answers: tuple[str, ...] = (),
    kind: VerdictKind = VerdictKind.HUMAN,
    content: str = "",
    bounce: Bounce | None = None,
    released: bool = False,
    subject_number: int | None = None,
    ruled: Actions | None = None,
) -> Item:
    message_id = id or f"m{number}@customer.example"
    return Item(
        inbound_id=number,
        message_id=1000 + number,
        received_at=NOW,
        imported=False,
        released=released,
        provider_thread_id=None,
        reading=Reading(
            message_id=message_id,
            original_id=message_id,
            content_hash=content or f"content of {message_id}",
            sender=Address("", sender),
            reply_to=(),
            to=(Address("", US),),
            cc=(),
            subject="Help",
            date=NOW,
            in_reply_to=answers[:1],
            references=answers,
            verdict=Verdict(kind, "a rule", "1", (), bounce),
            keys=ThreadKeys(
                ids=answers,
                normalised_subject="help",
                participants=frozenset({sender, US}),
                subject_number=subject_number,
            ),
            rulings=(Ruling("a-rule", 1, (), ruled),) if ruled else (),
        ),
    )


def as_read(item: Item, **reading: Any) -> Item:
    return replace(item, reading=replace(item.reading, **reading))


def ticket(id: int, *people: str, status: str = "open", closed_at: datetime | None = None) -> TicketFacts:
    return TicketFacts(id, id + 100, status, closed_at, "help", frozenset(people or ("ann@customer.example",)))


def sent(message: int, ticket: int) -> KnownMessage:
    return KnownMessage(message, ticket, outbound=True, content_hash="")


def received(message: int, ticket: int, content: str = "") -> KnownMessage:
    return KnownMessage(message, ticket, outbound=False, content_hash=content)


def outcome(done: Plan, number: int) -> str:
    [found] = [o for o in done.outcomes if o.inbound_id == number]
    return found.state


def ticket_of(done: Plan, number: int) -> int:
    [found] = [m for m in done.messages if m.inbound_id == number]
    return found.ticket


def test_a_new_mail_opens_a_ticket_and_its_reply_in_the_same_slice_joins_it() -> None:
    done = plan([mail(1), mail(2, answers=("m1@customer.example",))], FACTS)
    assert len(done.tickets) == 1
    assert ticket_of(done, 1) == ticket_of(done, 2) == done.tickets[0].handle


def test_a_reply_that_comes_before_its_parent_is_joined_by_it() -> None:
    done = plan([mail(2, answers=("m1@customer.example",)), mail(1)], FACTS)
    assert len(done.tickets) == 1
    assert ticket_of(done, 1) == ticket_of(done, 2)


def test_a_parent_joins_the_ticket_that_an_earlier_slice_opened_for_its_reply() -> None:
    facts = replace(FACTS, tickets={7: ticket(7)}, children={"m1@customer.example": (7,)})
    done = plan([mail(1)], facts)
    assert not done.tickets
    assert ticket_of(done, 1) == 7


def test_replies_that_opened_tickets_apart_are_brought_together_by_their_parent() -> None:
    facts = replace(FACTS, tickets={7: ticket(7), 8: ticket(8)}, children={"m1@customer.example": (7, 8)})
    done = plan([mail(1)], facts)
    assert ticket_of(done, 1) == 7
    assert done.merges == {8: 7}


def test_a_parent_that_answers_an_older_ticket_takes_its_early_reply_along() -> None:
    facts = replace(
        FACTS,
        tickets={5: ticket(5), 7: ticket(7)},
        messages={"old@customer.example": received(1, 5)},
        children={"m1@customer.example": (7,)},
    )
    done = plan([mail(1, answers=("old@customer.example",))], facts)
    assert ticket_of(done, 1) == 5
    assert done.merges == {7: 5}


def test_tickets_of_one_slice_that_turn_out_to_be_one_are_made_once() -> None:
    parent = mail(3, id="p@customer.example")
    done = plan([mail(1, answers=("p@customer.example",)), mail(2, answers=("p@customer.example",)), parent], FACTS)
    assert len(done.tickets) == 1
    assert {ticket_of(done, n) for n in (1, 2, 3)} == {done.tickets[0].handle}
    assert not done.merges


@pytest.mark.parametrize(
    ("known", "sender", "loop"),
    [
        (received(50, 7, "same"), "ann@customer.example", False),
        (sent(50, 7), US, False),
        (sent(50, 7), "list@groups.example", True),
    ],
    ids=["taken in before", "from one of our mailboxes", "by a list that rewrites From"],
)
def test_a_repeated_mail_is_a_duplicate_and_never_a_second_message(
    known: KnownMessage, sender: str, loop: bool
) -> None:
    facts = replace(FACTS, tickets={7: ticket(7)}, messages={"m1@customer.example": known})
    done = plan([as_read(mail(1, content="same", sender=sender), loop=loop)], facts)
    assert outcome(done, 1) == "duplicate"
    assert not done.messages
    assert done.outcomes[0].reason


OURS = "io.7.50@acme.example"
SENT = replace(FACTS, tickets={7: ticket(7)}, messages={OURS: sent(50, 7)})


@pytest.mark.parametrize("loop", [False, True])
def test_a_report_that_bears_the_id_of_what_it_returns_is_recorded(loop: bool) -> None:
    bounce = Bounce("hard", ("gone@there.example",), "5.1.1", "", ())
    daemon = mail(1, id=OURS, sender="mailer-daemon@gateway.example", kind=VerdictKind.BOUNCE, bounce=bounce)
    done = plan([as_read(daemon, loop=loop)], SENT)
    assert [(b.message_id, b.marks_message) for b in done.bounces] == [(50, True)]
    assert [(m.ticket, m.type) for m in done.messages] == [(7, "note")]


def test_a_persons_answer_that_bears_our_id_is_on_its_ticket_and_its_repeat_is_none() -> None:
    answer = mail(1, id=OURS, content="an answer")
    done = plan([answer, replace(answer, inbound_id=2)], SENT)
    assert [(m.ticket, m.type, m.placed_by) for m in done.messages] == [(7, "message", "message_id")]
    assert (outcome(done, 1), outcome(done, 2)) == ("persisted", "duplicate")


def test_a_listed_report_that_bears_a_known_id_is_listed_once() -> None:
    bounce = Bounce("hard", (), "5.1.1", "", ())
    report = mail(1, id="m9@customer.example", kind=VerdictKind.BOUNCE, bounce=bounce, content="a report")
    facts = replace(FACTS, tickets={7: ticket(7)}, messages={"m9@customer.example": received(50, 7, "a mail")})
    done = plan([report, replace(report, inbound_id=2)], facts)
    assert (outcome(done, 1), outcome(done, 2)) == ("listed", "duplicate")


def test_a_report_is_linked_by_the_id_that_we_signed_when_it_names_no_other() -> None:
    bounce = Bounce("hard", ("gone@there.example",), "5.1.1", "", (), ((7, 50),))
    facts = replace(FACTS, tickets={7: ticket(7)}, sent={50: sent(50, 7)})
    done = plan([mail(1, kind=VerdictKind.BOUNCE, bounce=bounce)], facts)
    assert [(b.message_id, b.marks_message) for b in done.bounces] == [(50, True)]
    assert [(m.ticket, m.type) for m in done.messages] == [(7, "note")]


@pytest.mark.parametrize(
    ("author", "by_list", "states"),
    [
        (
            "ann@customer.example",
            Customer(Address("Ann", "ann@customer.example"), "original_from"),
            ["persisted", "duplicate"],
        ),
        ("ann@customer.example", Customer(Address("Eve", "eve@evil.example"), "reply_to"), ["persisted", "persisted"]),
        (
            "ann@customer.example",
            Customer(Address("Ann", "ann@customer.example"), "forward.inline", claimed=True),
            ["persisted", "persisted"],
        ),
    ],
    ids=["the author", "another author", "an author whom the text claims"],
)
@pytest.mark.parametrize("list_first", [False, True])
def test_a_copy_by_a_list_that_rewrites_from_is_a_duplicate_when_its_author_wrote_it(
    author: str, by_list: Customer, states: list[str], list_first: bool
) -> None:
    direct = as_read(mail(1, id="x@customer.example", sender=author, content="direct"), lines=(1, 2))
    copy = mail(2, id="x@customer.example", sender="list@groups.example", content="by the list")
    copy = as_read(copy, lines=(1, 2, 3), customer=by_list)
    done = plan([copy, direct] if list_first else [direct, copy], FACTS)
    assert [one.state for one in done.outcomes] == states


def test_another_mail_under_a_known_id_is_filed_under_an_id_of_its_own_and_its_repeat_is_a_duplicate() -> None:
    facts = replace(FACTS, tickets={7: ticket(7)}, messages={"m1@customer.example": received(50, 7, "other")})
    done = plan([mail(1, content="same"), mail(2, id="m1@customer.example", content="same")], facts)
    assert [outcome(done, 1), outcome(done, 2)] == ["persisted", "duplicate"]
    assert [one.message_id for one in done.messages] == ["m1@customer.example#same"]
    assert len(done.tickets) == 1


def test_a_released_conflict_becomes_a_message_under_an_id_of_its_own() -> None:
    facts = replace(FACTS, tickets={7: ticket(7)}, messages={"m1@customer.example": received(50, 7, "other")})
    done = plan([mail(1, released=True)], facts)
    assert outcome(done, 1) == "persisted"
    assert done.messages[0].message_id != "m1@customer.example"


def test_spam_is_listed_and_a_released_one_opens_a_ticket() -> None:
    done = plan([mail(1, kind=VerdictKind.SPAM), mail(2, kind=VerdictKind.SPAM, released=True)], FACTS)
    assert outcome(done, 1) == "listed"
    assert outcome(done, 2) == "persisted"
    assert len(done.tickets) == 1


def test_spam_that_comes_twice_is_listed_once() -> None:
    done = plan([mail(1, kind=VerdictKind.SPAM), mail(2, id="m1@customer.example", kind=VerdictKind.SPAM)], FACTS)
    assert [outcome(done, n) for n in (1, 2)] == ["listed", "duplicate"]


def test_a_bounce_marks_what_we_sent_and_stands_as_a_note_on_its_ticket() -> None:
    facts = replace(FACTS, tickets={7: ticket(7)}, messages={"io.7.50@acme.example": sent(50, 7)})
    bounce = Bounce("hard", ("ann@customer.example",), "5.1.1", "no such user", ("io.7.50@acme.example",))
    done = plan([mail(1, sender="mailer-daemon@mx.example", kind=VerdictKind.BOUNCE, bounce=bounce)], facts)
    assert not done.tickets
    assert [(m.ticket, m.type) for m in done.messages] == [(7, "note")]
    assert [(b.message_id, b.marks_message) for b in done.bounces] == [(50, True)]


def test_a_bounce_of_nothing_we_sent_is_listed_and_opens_no_ticket() -> None:
    bounce = Bounce("hard", ("ann@customer.example",), "5.1.1", "no such user", ("unknown@acme.example",))
    done = plan([mail(1, kind=VerdictKind.BOUNCE, bounce=bounce)], FACTS)
    assert outcome(done, 1) == "listed"
    assert not done.tickets
    assert [b.message_id for b in done.bounces] == [None]


def test_a_bounce_that_names_a_customers_mail_does_not_mark_it() -> None:
    facts = replace(FACTS, tickets={7: ticket(7)}, messages={"x@customer.example": received(50, 7)})
    bounce = Bounce("hard", (), "5.1.1", "", ("x@customer.example",))
    assert [b.message_id for b in plan([mail(1, kind=VerdictKind.BOUNCE, bounce=bounce)], facts).bounces] == [None]


def test_a_delay_is_recorded_and_marks_nothing() -> None:
    facts = replace(FACTS, tickets={7: ticket(7)}, messages={"io.7.50@acme.example": sent(50, 7)})
    bounce = Bounce("delayed", (), "4.4.1", "", ("io.7.50@acme.example",))
    done = plan([mail(1, kind=VerdictKind.DELAY, bounce=bounce)], facts)
    assert [(b.message_id, b.marks_message) for b in done.bounces] == [(50, False)]


def test_an_out_of_office_reply_is_a_note_that_reopens_nothing() -> None:
    closed = ticket(7, status="closed", closed_at=NOW - timedelta(days=1))
    facts = replace(FACTS, tickets={7: closed}, messages={"io.7.50@acme.example": sent(50, 7)})
    done = plan([mail(1, kind=VerdictKind.AUTO_REPLY, answers=("io.7.50@acme.example",))], facts)
    assert [(m.ticket, m.type) for m in done.messages] == [(7, "note")]
    assert not done.reopened


def test_an_out_of_office_reply_to_nothing_is_listed() -> None:
    assert outcome(plan([mail(1, kind=VerdictKind.AUTO_REPLY)], FACTS), 1) == "listed"


def test_our_own_mail_that_comes_back_is_dropped_and_counted() -> None:
    assert outcome(plan([mail(1, kind=VerdictKind.OWN_LOOP)], FACTS), 1) == "dropped"


def test_a_reply_reopens_a_ticket_closed_lately_and_follows_one_closed_long_ago() -> None:
    def after(days: int) -> Plan:
        closed = ticket(7, status="closed", closed_at=NOW - timedelta(days=days))
        facts = replace(FACTS, tickets={7: closed}, messages={"io.7.50@acme.example": sent(50, 7)})
        return plan([mail(1, answers=("io.7.50@acme.example",))], facts)

    assert after(3).reopened == {7}
    late = after(30)
    assert not late.reopened
    assert [t.follows for t in late.tickets] == [7]


def test_a_stranger_with_a_valid_thread_header_is_marked_and_takes_no_part() -> None:
    facts = replace(FACTS, tickets={7: ticket(7)}, messages={"io.7.50@acme.example": sent(50, 7)})
    done = plan([mail(1, sender="mallory@evil.example", answers=("io.7.50@acme.example",))], facts)
    assert [(m.ticket, m.unknown_sender, m.participants) for m in done.messages] == [(7, True, ())]


def test_a_ticket_number_in_the_subject_counts_only_from_a_participant() -> None:
    facts = replace(FACTS, tickets={7: ticket(7)}, by_number={107: 7})
    assert ticket_of(plan([mail(1, subject_number=107)], facts), 1) == 7
    assert len(plan([mail(1, subject_number=107, sender="mallory@evil.example")], facts).tickets) == 1


@pytest.mark.parametrize("rule", ["reply_to", "original_from"])
def test_whom_anybody_may_name_opens_no_ticket_unless_the_tenant_named_who_names_him(rule: str) -> None:
    facts = replace(FACTS, tickets={7: ticket(7)}, by_number={107: 7}, messages={OURS: sent(50, 7)})
    victim = Customer(Address("", "ann@customer.example"), rule)

    def by(sender: str, customer: Customer = victim, **more: Any) -> Plan:
        return plan([as_read(mail(1, sender=sender, **more), customer=customer)], facts)

    assert len(by("eve@evil.example", subject_number=107).tickets) == 1
    assert by("eve@evil.example", answers=(OURS,)).messages[0].unknown_sender
    assert ticket_of(by("eve@evil.example", replace(victim, rule="mail_rule.shop"), subject_number=107), 1) == 7
    facts = replace(facts, agents=frozenset({"forms.example"}))
    assert not by("web@forms.example", answers=(OURS,)).messages[0].unknown_sender


@st.composite
def conversations(draw: st.DrawFn) -> list[Item]:
    """Messages that answer earlier ones of the conversation, in any order of arrival."""
    count = draw(st.integers(2, 8))
    items = [mail(1)]
    for number in range(2, count + 1):
        parent = draw(st.integers(1, number - 1))
        items.append(mail(number, answers=(f"m{parent}@customer.example",)))
    return draw(st.permutations(items))


@given(conversations())
def test_one_conversation_is_one_ticket_whatever_the_order_and_every_mail_has_one_outcome(items: list[Item]) -> None:
    done = plan(items, FACTS)
    assert sorted(o.inbound_id for o in done.outcomes) == sorted(i.inbound_id for i in items)
    assert {m.ticket for m in done.messages} == {done.tickets[0].handle}
    assert len(done.tickets) == 1


def test_what_a_rule_of_the_tenant_sets_aside_is_listed_with_its_reason_and_can_be_released() -> None:
    ads = Actions(set_aside="advertising", tags=("ad",))
    done = plan([mail(1, ruled=ads), mail(2, ruled=ads, released=True)], FACTS)
    assert (outcome(done, 1), outcome(done, 2)) == ("listed", "persisted")
    assert done.outcomes[0].reason == "mail rule a-rule: advertising"
    assert [one.labels for one in done.tickets] == [Labels(("ad",))]
    again = plan(
        [mail(1, ruled=ads)],
        replace(FACTS, aside={"m1@customer.example": frozenset({"content of m1@customer.example"})}),
    )
    assert outcome(again, 1) == "duplicate"


def test_our_own_mail_is_dropped_whatever_a_rule_says() -> None:
    assert outcome(plan([mail(1, kind=VerdictKind.OWN_LOOP, ruled=Actions(set_aside="x"))], FACTS), 1) == "dropped"


def test_that_a_reply_came_back_is_known_also_when_a_rule_sets_the_bounce_aside() -> None:
    facts = replace(FACTS, tickets={7: ticket(7)}, messages={"io.7.50@acme.example": sent(50, 7)})
    bounce = Bounce("hard", ("ann@customer.example",), "5.1.1", "no such user", ("io.7.50@acme.example",))
    done = plan([mail(1, kind=VerdictKind.BOUNCE, bounce=bounce, ruled=Actions(set_aside="noise"))], facts)
    assert (outcome(done, 1), done.messages) == ("listed", [])
    assert [(one.message_id, one.marks_message) for one in done.bounces] == [(50, True)]


def test_a_rule_keeps_the_machine_from_answering() -> None:
    facts = replace(FACTS, auto_response=True)
    assert len(plan([mail(1)], facts).responses) == 1
    assert plan([mail(1, ruled=Actions(never_respond=True))], facts).responses == []


def test_later_mail_adds_to_a_tickets_labels_and_takes_nothing_away() -> None:
    first = mail(1, ruled=Actions(tags=("a",), priority=Priority.HIGH, queue="billing"))
    answers = ("m1@customer.example",)
    later = [
        mail(2, answers=answers, ruled=Actions(tags=("b",), priority=Priority.LOW, queue="sales")),
        mail(3, answers=answers, ruled=Actions(tags=("b", "c"), priority=Priority.URGENT)),
    ]
    done = plan([first, *later], FACTS)
    [opened] = done.tickets
    assert opened.labels == Labels(("a",), Priority.HIGH, "billing")
    assert done.labels == {opened.handle: Labels(("b", "c"), Priority.URGENT, "sales")}


def test_labels_of_tickets_that_turn_out_to_be_one_come_together() -> None:
    parent = mail(3, id="p@customer.example", ruled=Actions(tags=("c",)))
    replies = [mail(n, answers=("p@customer.example",), ruled=Actions(tags=(str(n),))) for n in (1, 2)]
    strangers = [
        replace(one, reading=replace(one.reading, sender=Address("", f"{n}@else.example")))
        for n, one in enumerate(replies)
    ]
    for order in (replies, strangers):
        done = plan([*order, parent], FACTS)
        [opened] = done.tickets
        assert set(opened.labels.joined(done.labels[opened.handle]).tags) == {"1", "2", "c"}
