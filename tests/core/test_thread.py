"""Which ticket a message joins: the trust order, the sender gate, closed tickets, and what never threads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inboxops.core import ids
from inboxops.core.model import (
    Bounce,
    Evidence,
    Placement,
    ThreadCandidates,
    ThreadKeys,
    TicketFacts,
    Verdict,
    VerdictKind,
)
from inboxops.core.thread import MOST_IDS, normalise_subject, place, thread_keys
from tests.core.mails import INBOX, KEY, mail

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANNA = "anna@cust.example"


def ticket(
    number: int, *, status: str = "open", closed_days: int = 0, subject: str = "hi", people: tuple[str, ...] = (ANNA,)
) -> TicketFacts:
    closed = NOW - timedelta(days=closed_days) if status == "closed" else None
    return TicketFacts(number, number, status, closed, subject, frozenset(people))


def verdict(kind: VerdictKind = VerdictKind.HUMAN, bounce: Bounce | None = None) -> Verdict:
    return Verdict(kind, "rule", "test", (Evidence("x", "y"),), bounce)


def placed(
    keys: ThreadKeys,
    candidates: ThreadCandidates,
    *,
    kind: VerdictKind = VerdictKind.HUMAN,
    bounce: Bounce | None = None,
    sender: str = ANNA,
    agents: frozenset[str] = frozenset(),
) -> Placement:
    return place(keys, candidates, verdict(kind, bounce), people=[sender], agents=agents, reopen_days=14, now=NOW)


@pytest.mark.parametrize(
    "subject",
    [
        "Order 7",
        "Re: Order 7",
        "RE: re: Order 7",
        "Re[2]: Order 7",
        "AW: WG: Order 7",
        "SV:  Order   7",
        "Fwd: [#12] Order 7",
        "[#12] Re: Order 7",
        "Re: Order 7 [#12]",
        "回复: Order 7",
        "答复：Order 7",
        "R: I: Order 7",
        "Antw: Order 7",
        "Odp: ORDER 7",
        "Rif: Order 7",
        "Отв: Order 7",
    ],
)
def test_prefixes_of_replies_do_not_make_another_subject(subject: str) -> None:
    assert normalise_subject(subject) == "order 7"


@given(st.text(max_size=200))
def test_normalising_a_subject_twice_changes_nothing(subject: str) -> None:
    once = normalise_subject(subject)
    assert normalise_subject(once) == once


def test_keys_name_the_parent_first_then_the_newest_reference() -> None:
    keys = thread_keys(mail(In_Reply_To="<c@x>", References="<a@x> <b@x> <c@x>"), INBOX)
    assert keys.ids == ("c@x", "b@x", "a@x")


def test_a_header_of_a_thousand_references_is_looked_up_in_part_newest_first() -> None:
    keys = thread_keys(mail(References=" ".join(f"<{number}@x>" for number in range(1000))), INBOX)
    assert len(keys.ids) == MOST_IDS
    assert keys.ids[0] == "999@x"


def test_our_number_is_the_last_and_another_desks_stands_before_it() -> None:
    assert thread_keys(mail(Subject="[#4711] Re: Pump [#12]"), INBOX).subject_number == 12


def test_signed_ids_and_markers_name_their_ticket_without_any_row() -> None:
    own = ids.make_message_id(ticket_id=5, message_id=9, domain="shop.example", signing_key=KEY)
    marker = ids.make_body_marker(6, KEY)
    keys = thread_keys(mail(f"Thanks\n\n> bye\n> {marker}\n", In_Reply_To=f"<{own}>"), INBOX)
    assert keys.signed_id_tickets == (5,)
    assert keys.marker_tickets == (6,)


def test_participants_are_everybody_but_ourselves() -> None:
    keys = thread_keys(mail(Cc="Bob <BOB@cust.example>", To="Support@shop.example"), INBOX)
    assert keys.participants == {ANNA, "bob@cust.example"}


ANSWERS = ThreadCandidates(
    by_id={"parent@x": ticket(2), "older@x": ticket(3)},
    by_ticket_id={4: ticket(4), 5: ticket(5)},
    by_provider_thread=ticket(6),
    by_number=ticket(7),
)
EVERYTHING = ThreadKeys(
    ids=("parent@x", "older@x"),
    signed_id_tickets=(4,),
    marker_tickets=(5,),
    provider_thread_id="t",
    subject_number=7,
    normalised_subject="hi",
    participants=frozenset({ANNA}),
)
ORDER = [
    (2, "message_id", "ids", ()),
    (4, "signed_id", "signed_id_tickets", ()),
    (5, "body_marker", "marker_tickets", ()),
    (6, "provider_thread", "", None),
]


def test_the_most_trustworthy_answer_wins_and_each_in_turn() -> None:
    from dataclasses import replace

    keys, answers = EVERYTHING, ANSWERS
    for number, how, name, empty in ORDER:
        found = placed(keys, answers)
        assert (found.ticket_id, found.how) == (number, how)
        if name:
            keys = replace(keys, **{name: empty})
        else:
            answers = replace(answers, by_provider_thread=None)
    assert placed(keys, answers) == Placement(7, "subject_number")
    assert placed(keys, replace(answers, by_number=None)) == Placement(None, "new")


def test_of_several_tickets_the_newest_reference_wins() -> None:
    keys = ThreadKeys(ids=("unknown@x", "parent@x", "older@x"))
    assert placed(keys, ANSWERS).ticket_id == 2


def test_an_equal_subject_alone_is_a_new_ticket() -> None:
    assert placed(ThreadKeys(normalised_subject="hi"), ThreadCandidates()).ticket_id is None


def test_the_number_in_a_subject_counts_for_participants_and_agents_only() -> None:
    keys = ThreadKeys(subject_number=7)
    answers = ThreadCandidates(by_number=ticket(7))
    assert placed(keys, answers).ticket_id == 7
    assert placed(keys, answers, sender="eve@evil.example").ticket_id is None
    assert placed(keys, answers, sender="Agent@shop.example", agents=frozenset({"agent@shop.example"})).ticket_id == 7


def test_a_providers_thread_needs_a_shared_subject_or_person() -> None:
    answers = ThreadCandidates(by_provider_thread=ticket(6, subject="order", people=("bob@cust.example",)))
    eve = "eve@evil.example"
    assert (
        placed(ThreadKeys(normalised_subject="other", participants=frozenset({eve})), answers, sender=eve).ticket_id
        is None
    )
    assert (
        placed(ThreadKeys(normalised_subject="order", participants=frozenset({eve})), answers, sender=eve).ticket_id
        == 6
    )
    shared = frozenset({eve, "bob@cust.example"})
    assert placed(ThreadKeys(normalised_subject="other", participants=shared), answers, sender=eve).ticket_id == 6


def test_a_stranger_with_a_valid_header_joins_behind_a_mark() -> None:
    keys = ThreadKeys(ids=("parent@x",))
    assert placed(keys, ANSWERS, sender="eve@evil.example") == Placement(2, "message_id", unknown_sender=True)
    assert placed(keys, ANSWERS, sender=ANNA.upper()) == Placement(2, "message_id")


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (3, Placement(2, "message_id", reopen=True)),
        (14, Placement(2, "message_id", reopen=True)),
        (15, Placement(None, "message_id", follows=2)),
    ],
)
def test_a_closed_ticket_opens_again_for_a_while_and_is_followed_later(days: int, expected: Placement) -> None:
    answers = ThreadCandidates(by_id={"parent@x": ticket(2, status="closed", closed_days=days)})
    assert placed(ThreadKeys(ids=("parent@x",)), answers) == expected


@pytest.mark.parametrize("kind", [VerdictKind.AUTO_REPLY, VerdictKind.BOUNCE, VerdictKind.DELAY, VerdictKind.RECEIPT])
def test_notes_never_open_a_closed_ticket(kind: VerdictKind) -> None:
    answers = ThreadCandidates(by_id={"parent@x": ticket(2, status="closed", closed_days=400)})
    found = placed(ThreadKeys(ids=("parent@x",)), answers, kind=kind)
    assert (found.ticket_id, found.reopen) == (2, False)


def test_a_bounce_goes_to_the_ticket_of_what_it_returns_not_of_what_it_answers() -> None:
    bounce = Bounce("hard", ("x@y.example",), "5.1.1", "", ("older@x",))
    found = placed(
        ThreadKeys(ids=("parent@x",)),
        ANSWERS,
        kind=VerdictKind.BOUNCE,
        bounce=bounce,
        sender="mailer-daemon@mx.example",
    )
    assert found == Placement(3, "returned_message")


def test_a_bounce_of_our_signed_id_finds_its_ticket_without_a_row() -> None:
    bounce = Bounce("hard", (), "", "", ("gone@x",), ((4, 77),))
    assert placed(ThreadKeys(), ANSWERS, kind=VerdictKind.BOUNCE, bounce=bounce).ticket_id == 4


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        (VerdictKind.OWN_LOOP, "own_loop"),
        (VerdictKind.SPAM, "spam"),
        (VerdictKind.BOUNCE, "unlinked"),
        (VerdictKind.AUTO_REPLY, "unlinked"),
        (VerdictKind.BULK, "new"),
    ],
)
def test_what_joins_nothing_is_new_or_listed(kind: VerdictKind, how: str) -> None:
    assert placed(ThreadKeys(), ThreadCandidates(), kind=kind) == Placement(None, how)


def test_spam_joins_no_ticket_even_with_a_valid_header() -> None:
    assert placed(EVERYTHING, ANSWERS, kind=VerdictKind.SPAM).ticket_id is None


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=100))
def test_any_header_text_makes_keys_that_are_bounded(references: str, reply_to: str, subject: str) -> None:
    message = mail(
        References=references.replace("\n", " "),
        In_Reply_To=reply_to.replace("\n", " "),
        Subject=subject.replace("\n", " "),
    )
    keys = thread_keys(message, INBOX)
    assert len(keys.ids) <= MOST_IDS
    assert all(keys.ids)
