"""What people put right: a mail that stands in the wrong place or was taken for the wrong thing.

Decided first, then done, as everything that is filed (ADR 4): `decide` says which rows become what, and the database keeps
what they were, so that each correction can be taken back. What people said stands above every rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from inboxops.core.compose import is_address
from inboxops.core.model import Address, VerdictKind
from inboxops.core.thread import normalise_subject
from inboxops.errors import Conflict, InvalidInput

Found = TypeVar("Found")

RULE = "agent"
"""The rule that a verdict or a customer has from a person."""

ASIDE = ("listed", "dropped", "conflict", "parked")
"""States of mail that can be let out into a ticket."""


class Kind(StrEnum):
    """move: a message belongs to another ticket. split: it is a matter of its own. merge: two tickets are one matter.
    spam, not_spam: the verdict was wrong. bounce: it tells that a reply of ours did not arrive. customer: who that is."""

    MOVE = "move"
    SPLIT = "split"
    MERGE = "merge"
    SPAM = "spam"
    NOT_SPAM = "not_spam"
    BOUNCE = "bounce"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants put right; which fields a kind needs stands in `NEEDS`.

    message_id: the message that is meant. inbound_id: mail that was set aside. ticket_id: the ticket that is meant. to_ticket_id:
    where to. reply_id: the reply of ours that bounced. onward: with a message, all that came after it in its ticket.
    """

    kind: Kind
    by: str
    message_id: int | None = None
    inbound_id: int | None = None
    ticket_id: int | None = None
    to_ticket_id: int | None = None
    reply_id: int | None = None
    onward: bool = False
    customer: Address | None = None


NEEDS: Mapping[Kind, tuple[frozenset[str], ...]] = {
    Kind.MOVE: (frozenset({"message_id", "to_ticket_id"}),),
    Kind.SPLIT: (frozenset({"message_id"}),),
    Kind.MERGE: (frozenset({"ticket_id", "to_ticket_id"}),),
    Kind.SPAM: (frozenset({"message_id"}),),
    Kind.NOT_SPAM: (frozenset({"inbound_id"}),),
    Kind.BOUNCE: (frozenset({"message_id", "reply_id"}), frozenset({"inbound_id", "reply_id"})),
    Kind.CUSTOMER: (frozenset({"ticket_id"}),),
}
"""Which ids each kind is told with: one of these sets, and no other."""


@dataclass(frozen=True, slots=True)
class Ticket:
    id: int
    number: int
    status: str
    merged_into: int | None  # number
    requester: Address


@dataclass(frozen=True, slots=True)
class Message:
    id: int
    ticket_id: int
    inbound: bool
    type: str
    verdict: str | None
    rule: str | None
    unknown_sender: bool
    sender: Address
    customer: Address | None  # where that is not the sender
    people: tuple[str, ...]  # who wrote and who was written to, lower-cased, without mailboxes of our own
    subject: str
    inbound_id: int | None


@dataclass(frozen=True, slots=True)
class Aside:
    """A row of `inbound`."""

    id: int
    inbox_id: int
    state: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is of what the request names, None for what it does not name.

    thread: all messages of the ticket that the message is in, or that is meant, in the order of their ids.
    """

    now: datetime
    ticket: Ticket | None = None
    to: Ticket | None = None
    message: Message | None = None
    thread: Sequence[Message] = ()
    aside: Aside | None = None
    reply: Message | None = None
    bounce_id: int | None = None  # the row of `bounces` of the mail that is meant


@dataclass(frozen=True, slots=True)
class Change:
    """A row that becomes something else, if it still is what `expect` says. Columns by name."""

    table: str  # messages, tickets, inbound, bounces
    id: int
    become: Mapping[str, Any]
    expect: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opening:
    """A ticket to be made for `messages`, which follow to it."""

    messages: tuple[int, ...]
    subject: str
    normalised_subject: str
    requester: Address
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a correction does. people: addresses that join a ticket. touched: tickets whose watchers hear of it. wakes: the
    inbox whose next run goes on from here."""

    changes: tuple[Change, ...] = ()
    opening: Opening | None = None
    people: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    touched: tuple[int, ...] = ()
    wakes: int | None = None


def check(request: Request) -> None:
    """Raises InvalidInput for a request that names too little or too much."""
    given = {
        name
        for name in ("message_id", "inbound_id", "ticket_id", "to_ticket_id", "reply_id")
        if getattr(request, name) is not None
    }
    if frozenset(given) not in NEEDS[request.kind]:
        wanted = " or ".join(" and ".join(sorted(names)) for names in NEEDS[request.kind])
        raise InvalidInput(f"{request.kind}: needs {wanted}, and no other id", fix="Name exactly these")
    if request.onward and request.kind not in (Kind.MOVE, Kind.SPLIT):
        raise InvalidInput("onward: only a message that is moved or split off takes others along")
    if (request.kind is Kind.CUSTOMER) != (request.customer is not None):
        raise InvalidInput("customer: this kind needs one, and no other takes one")
    if request.customer and not is_address(request.customer.address):
        raise InvalidInput("customer.address: this is no e-mail address")


def decide(request: Request, facts: Facts) -> Effect:
    """Pure. Raises Conflict when things are not as the request takes them to be."""
    return _DECISIONS[request.kind](request, facts)


def undo(kind: Kind, changes: Sequence[tuple[Change, Mapping[str, Any]]], facts: Facts, *, by: str) -> Effect:
    """What takes a correction back: each change with what its row was before.

    What came meanwhile is never lost: a ticket that was split off goes back with all that joined it, and mail that was let out
    and became a ticket is spam there. Raises Conflict when a later change stands in the way.
    """
    if kind is Kind.SPLIT:
        return _merge(Request(Kind.MERGE, by), facts)
    if kind is Kind.NOT_SPAM and facts.message is not None:
        return _spam(Request(Kind.SPAM, by), facts)
    back = tuple(reversed_(change, before) for change, before in changes)
    touched = {value for one in back for value in (one.become.get("ticket_id"), one.expect.get("ticket_id")) if value}
    touched |= {one.id for one in back if one.table == "tickets"}
    return Effect(changes=back, touched=tuple(sorted(touched)))


_YIELDING = frozenset({"status", "closed_at"})
"""Columns that people set otherwise meanwhile: a ticket that was opened again by hand stays open."""


def reversed_(change: Change, before: Mapping[str, Any]) -> Change:
    """What makes a row again what it was, where it still is what the change made of it."""
    expect = {name: value for name, value in change.become.items() if name not in _YIELDING}
    return Change(change.table, change.id, become=before, expect=expect)


def _move(request: Request, facts: Facts) -> Effect:
    message, source, to = _present(facts.message), _present(facts.ticket), _present(facts.to)
    _is_open(to)
    if source.id == to.id:
        raise Conflict(f"message {message.id} is in ticket #{to.number} already")
    moved = _moved(request, facts)
    changes = [_placed(one, to.id) for one in moved]
    if len(moved) == len(facts.thread):
        changes.append(_absorbed(source, to, facts.now))
    people = tuple(dict.fromkeys(one for each in moved if not each.unknown_sender for one in each.people))
    return Effect(tuple(changes), people={to.id: people}, touched=(source.id, to.id))


def _split(request: Request, facts: Facts) -> Effect:
    message, source = _present(facts.message), _present(facts.ticket)
    if not message.inbound:
        raise Conflict(f"message {message.id} is one of ours", fix="Split off the mail that it answers")
    moved = _moved(request, facts)
    if len(moved) == len(facts.thread):
        raise Conflict(f"ticket #{source.number} has nothing but that", fix="It is a ticket of its own already")
    people = tuple(dict.fromkeys(one for each in moved for one in each.people))
    opening = Opening(
        messages=tuple(one.id for one in moved),
        subject=message.subject,
        normalised_subject=normalise_subject(message.subject),
        requester=message.customer or message.sender,
        people=people,
    )
    return Effect(opening=opening, touched=(source.id,))


def _merge(request: Request, facts: Facts) -> Effect:
    source, to = _present(facts.ticket), _present(facts.to)
    _is_open(source)
    _is_open(to)
    if source.id == to.id:
        raise Conflict(f"ticket #{to.number} can't become part of itself")
    changes = (*(_placed(one, to.id) for one in facts.thread), _absorbed(source, to, facts.now))
    people = tuple(dict.fromkeys(one for each in facts.thread if not each.unknown_sender for one in each.people))
    return Effect(changes, people={to.id: people}, touched=(source.id, to.id))


def _spam(request: Request, facts: Facts) -> Effect:
    message, ticket = _present(facts.message), _present(facts.ticket)
    if not message.inbound:
        raise Conflict(f"message {message.id} is one of ours")
    if (message.verdict, message.rule) == (VerdictKind.SPAM, RULE):
        raise Conflict(f"message {message.id} is marked as spam already")
    changes = [Change("messages", message.id, _judged(VerdictKind.SPAM, request.by))]
    others = [one for one in facts.thread if one.id != message.id and one.type == "message"]
    if ticket.status != "closed" and all(one.inbound and one.verdict == VerdictKind.SPAM for one in others):
        changes.append(Change("tickets", ticket.id, {"status": "closed", "closed_at": facts.now}))
    return Effect(tuple(changes), touched=(ticket.id,))


def _not_spam(request: Request, facts: Facts) -> Effect:
    aside = _present(facts.aside)
    if aside.state not in ASIDE:
        raise Conflict(f"inbound message {aside.id} is not set aside: it is {aside.state}")
    change = Change("inbound", aside.id, {"state": "stored", "released": True, "reason": ""}, {"state": aside.state})
    return Effect((change,), wakes=aside.inbox_id)


def _bounce(request: Request, facts: Facts) -> Effect:
    reply = _present(facts.reply)
    if reply.inbound:
        raise Conflict(f"message {reply.id} is not one of ours", fix="Name the reply that did not arrive")
    if facts.bounce_id is None:
        raise Conflict("this mail can't be told of as a bounce: it was not taken in by this installation")
    changes = [Change("bounces", facts.bounce_id, {"message_id": reply.id})]
    touched = {reply.ticket_id}
    if facts.message is not None:
        message, source = facts.message, _present(facts.ticket)
        judged = {**_judged(VerdictKind.BOUNCE, request.by), "type": "note"}
        if source.id != reply.ticket_id:
            judged["ticket_id"] = reply.ticket_id
            if len(facts.thread) == 1:
                changes.append(_absorbed(source, _present(facts.to), facts.now))
        changes.append(Change("messages", message.id, judged, {"ticket_id": source.id}))
        touched.add(source.id)
    else:
        aside = _present(facts.aside)
        if aside.state not in ASIDE:
            raise Conflict(f"inbound message {aside.id} is not set aside: it is {aside.state}")
        settled = {"state": "persisted", "message_id": reply.id, "reason": f"a bounce of ours, said {request.by}"}
        changes.append(Change("inbound", aside.id, settled, {"state": aside.state}))
    return Effect(tuple(changes), touched=tuple(sorted(touched)))


def _customer(request: Request, facts: Facts) -> Effect:
    ticket = _present(facts.ticket)
    _is_open(ticket)
    name, address = _present(request.customer).name, _present(request.customer).address
    said = {"requester_name": name, "requester_address": address, "requester_rule": RULE, "requester_claimed": False}
    changes = [Change("tickets", ticket.id, {**said, "requester_evidence": [_evidence(request.by)]})]
    # An answer goes to whom the newest message names: those of the customer that was taken for the one name the right one now.
    wrong = ticket.requester.address.lower()
    told = {"name": name, "address": address, "rule": RULE, "claimed": False}
    changes += [
        Change("messages", one.id, {"customer": told})
        for one in facts.thread
        if one.inbound and (one.customer or one.sender).address.lower() == wrong
    ]
    return Effect(tuple(changes), people={ticket.id: (address.lower(),)}, touched=(ticket.id,))


def example(row: Mapping[str, Any], *, personal: bool) -> dict[str, Any]:
    """A correction as a labelled mail, in the form of `tests/corpus/labels.jsonl`: what it should have become.

    personal: with the customer's address. Without it the label names nobody but our own reply's id.
    """
    label: dict[str, Any] = {"path": f"{row['inbound_id']}.eml", "kind": row["kind"], "correction": row["id"]}
    verdict = _LABELS.get(row["kind"])
    if verdict is not None:
        label |= {"label": verdict.value, "want": {"verdict": verdict.value}}
    if row["kind"] == Kind.BOUNCE:
        original = {"original_message_id": row["reply_message_id"]}
        label |= {"bounce": original, "want": label["want"] | original}
    elif row["kind"] == Kind.CUSTOMER:
        label["want"] = {"customer": row["customer"]["address"]} if personal else {}
    elif row["kind"] == Kind.SPLIT:
        label["thread"] = {"opens": True}
    elif row["kind"] in (Kind.MOVE, Kind.MERGE):
        label["thread"] = {"joins": f"{row['joins_inbound_id']}.eml"}
    return label


_LABELS = {Kind.SPAM: VerdictKind.SPAM, Kind.NOT_SPAM: VerdictKind.HUMAN, Kind.BOUNCE: VerdictKind.BOUNCE}

_DECISIONS = {
    Kind.MOVE: _move,
    Kind.SPLIT: _split,
    Kind.MERGE: _merge,
    Kind.SPAM: _spam,
    Kind.NOT_SPAM: _not_spam,
    Kind.BOUNCE: _bounce,
    Kind.CUSTOMER: _customer,
}


def _moved(request: Request, facts: Facts) -> list[Message]:
    message = _present(facts.message)
    return [one for one in facts.thread if one.id == message.id or (request.onward and one.id > message.id)]


def _placed(message: Message, ticket: int) -> Change:
    return Change("messages", message.id, {"ticket_id": ticket}, {"ticket_id": message.ticket_id})


def _absorbed(source: Ticket, into: Ticket, now: datetime) -> Change:
    """A ticket that became part of another answers by its number for that one."""
    become = {"merged_into_ticket_id": into.id, "status": "closed", "closed_at": now}
    return Change("tickets", source.id, become, {"merged_into_ticket_id": None})


def _judged(verdict: VerdictKind, by: str) -> dict[str, Any]:
    return {"verdict": verdict.value, "rule": RULE, "ruleset": None, "evidence": [_evidence(by)]}


def _evidence(by: str) -> dict[str, str]:
    return {"where": "agent", "value": by}


def _is_open(ticket: Ticket) -> None:
    if ticket.merged_into is not None:
        raise Conflict(f"ticket #{ticket.number} became part of #{ticket.merged_into}", fix="Name that one")


def _present(found: Found | None) -> Found:
    """What the facts hold for every request that passed `check`."""
    assert found is not None
    return found
