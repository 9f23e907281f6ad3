"""Decide first, then do: what a slice of classified messages becomes, as one plan that the database carries out.

Order matters only within the slice: each message sees what the ones before it became.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from inboxops.core import canary
from inboxops.core.autorespond import WantedResponse, addressee
from inboxops.core.copies import Original, derived_id, is_copy
from inboxops.core.customer import is_agent
from inboxops.core.ids import id_key
from inboxops.core.labels import Labels
from inboxops.core.mail_rules.evaluate import orders
from inboxops.core.model import (
    ABOUT_OURS,
    OPENS_TICKET,
    Bounce,
    Evidence,
    Placement,
    ThreadCandidates,
    TicketFacts,
    VerdictKind,
)
from inboxops.core.reading import Reading
from inboxops.core.thread import place


@dataclass(frozen=True, slots=True)
class Item:
    """One classified message of the slice. `released`: a person took it out of a list, so it becomes a ticket.

    replayed: it was set aside when it came and is judged anew: nobody is answered by a machine, and no closed ticket opens.
    """

    inbound_id: int
    message_id: int  # reserved for it when it was stored; names its attachments' keys
    received_at: datetime
    imported: bool
    released: bool
    provider_thread_id: str | None
    reading: Reading
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class KnownMessage:
    """A message of this inbox that the slice refers to or repeats."""

    id: int
    ticket_id: int
    outbound: bool
    content_hash: str
    original: Original | None = None  # known where the slice has another mail under its id


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database knows about everything the slice mentions, within its tenant and inbox.

    messages: by id key, ours also by the id that went over the wire. sent: ours by the number in an id that we signed. children: id
    key -> tickets of messages that refer to it, for ids of the slice's messages and for those that they refer to and nobody has
    seen. aside: id key -> content hashes of mail that was listed or dropped under that id. agents: who may write into any ticket,
    addresses and domains. auto_response: whether the inbox answers new tickets by itself.
    """

    now: datetime
    reopen_days: int
    own_addresses: frozenset[str]
    agents: frozenset[str] = frozenset()
    tickets: Mapping[int, TicketFacts] = field(default_factory=dict)
    messages: Mapping[str, KnownMessage] = field(default_factory=dict)
    sent: Mapping[int, KnownMessage] = field(default_factory=dict)
    children: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    aside: Mapping[str, frozenset[str]] = field(default_factory=dict)
    by_provider_thread: Mapping[str, int] = field(default_factory=dict)
    by_number: Mapping[int, int] = field(default_factory=dict)
    auto_response: bool = False


@dataclass(frozen=True, slots=True)
class NewTicket:
    """`handle` is negative: the database gives the real id."""

    handle: int
    subject: str
    normalised_subject: str
    requester_address: str
    requester_name: str
    requester_rule: str
    requester_claimed: bool
    requester_evidence: tuple[Evidence, ...]
    provider_thread_id: str | None
    follows: int | None
    opened_by: int  # inbound id
    created_at: datetime
    labels: Labels


@dataclass(frozen=True, slots=True)
class NewMessage:
    inbound_id: int
    id: int
    ticket: int  # an id, or the handle of a NewTicket
    type: str  # "message" or "note"
    message_id: str
    placed_by: str
    unknown_sender: bool
    participants: tuple[str, ...]
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The final state of an inbound row: persisted, duplicate, conflict, listed or dropped; a reason unless persisted."""

    inbound_id: int
    state: str
    reason: str = ""
    message_id: int | None = None


@dataclass(frozen=True, slots=True)
class Back:
    """A canary that came back: by which mail, and when its provider had that."""

    id: int
    inbound_id: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class LinkedBounce:
    inbound_id: int
    message_id: int | None
    bounce: Bounce
    received_at: datetime
    marks_message: bool  # a delay is recorded but does not set bounce_received_at


@dataclass(slots=True)
class Plan:
    tickets: list[NewTicket] = field(default_factory=list)
    messages: list[NewMessage] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    bounces: list[LinkedBounce] = field(default_factory=list)
    canaries: list[Back] = field(default_factory=list)
    merges: dict[int, int] = field(default_factory=dict)  # ticket -> the ticket it becomes part of
    reopened: set[int] = field(default_factory=set)
    responses: list[WantedResponse] = field(default_factory=list)
    labels: dict[int, Labels] = field(default_factory=dict)
    """What later mail, or a ticket that became part of it, adds to a ticket."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What was filed in one transaction. numbers: ticket id, or the plan's handle of a new one -> ticket number."""

    items: Sequence[Item] = ()
    plan: Plan = field(default_factory=Plan)
    numbers: Mapping[int, int] = field(default_factory=dict)


def plan(items: Sequence[Item], facts: Facts) -> Plan:
    """Pure: equal arguments, equal plan. Every item gets exactly one outcome."""
    desk = _Desk(facts)
    for item in items:
        desk.take(item)
    return desk.finish()


class _Desk:
    """The facts as they change while the slice is worked through."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.plan = Plan()
        self.tickets = dict(facts.tickets)
        self.messages = dict(facts.messages)
        self.children = {key: list(tickets) for key, tickets in facts.children.items()}
        self.aside = {key: set(hashes) for key, hashes in facts.aside.items()}
        self.by_provider_thread = dict(facts.by_provider_thread)

    def take(self, item: Item) -> None:
        if not item.released:
            if self._is_repeat(item):
                return
            item = self._under_its_own_id(item)
        reading, kind = item.reading, item.reading.verdict.kind
        if item.released:
            self._file(item, self._place(item), "message")
        elif (number := canary.of_verdict(reading.verdict)) is not None:
            self.plan.canaries.append(Back(number, item.inbound_id, item.received_at))
            self._set_aside(item, "dropped", "a canary came back")
        elif kind is VerdictKind.OWN_LOOP:
            self._set_aside(item, "dropped", "our own mail came back")
        elif kind in ABOUT_OURS:
            self._report(item)
        elif reason := orders(reading.rulings).set_aside:
            self._set_aside(item, "listed", reason)
        elif kind is VerdictKind.SPAM:
            self._set_aside(item, "listed", f"spam: {reading.verdict.rule}")
        elif kind is VerdictKind.AUTO_REPLY:
            placement = self._place(item)
            if placement.ticket_id is None:
                self._set_aside(item, "listed", "an automatic reply that answers nothing we know")
            else:
                self._file(item, replace(placement, reopen=False), "note")
        else:
            assert kind in OPENS_TICKET, kind
            self._file(item, self._place(item), "message")

    def finish(self) -> Plan:
        """Tickets of this slice that became part of another are never made."""
        plan = self.plan
        plan.messages = [replace(message, ticket=self._root(message.ticket)) for message in plan.messages]
        plan.reopened = {self._root(ticket) for ticket in plan.reopened}
        for ticket in plan.tickets:
            if ticket.handle in plan.merges:
                self._label(ticket.handle, ticket.labels)
        labels, plan.labels = plan.labels, {}
        for handle, added in labels.items():
            self._label(self._root(handle), added)
        plan.tickets = [ticket for ticket in plan.tickets if ticket.handle not in plan.merges]
        plan.responses = [one for one in plan.responses if one.ticket not in plan.merges]
        plan.merges = {ticket: self._root(into) for ticket, into in plan.merges.items() if ticket > 0}
        return plan

    def _is_repeat(self, item: Item) -> bool:
        """Whether the same mail, or a copy of it by another way, was taken in before (invariant 2)."""
        key, content = item.reading.message_id, item.reading.content_hash
        keys = (key, derived_id(key, content))
        for known in filter(None, map(self.messages.get, keys)):
            if known.outbound and _is_by_us(item.reading, self.facts.own_addresses):
                self._outcome(item, "duplicate", "our own message", known.id)
                return True
            if not known.outbound and known.content_hash == content:
                self._outcome(item, "duplicate", "the same message was taken in before", known.id)
                return True
            if known.original is not None and is_copy(_original(item.reading), known.original):
                self._outcome(
                    item, "duplicate", "a copy by another way of a message that was taken in before", known.id
                )
                return True
        if any(content in self.aside.get(one, ()) for one in keys):
            self._outcome(item, "duplicate", "the same message was set aside before")
            return True
        return False

    def _under_its_own_id(self, item: Item) -> Item:
        """Another mail under a known id: judged like any other, under an id made of both. Where the id is ours, a gateway answers
        or reports with the id of what it is about."""
        reading, known = item.reading, self.messages.get(item.reading.message_id)
        if known is None:
            return item
        keys = reading.keys
        if known.outbound:
            keys = replace(keys, ids=(*keys.ids, reading.message_id))
        derived = derived_id(reading.message_id, reading.content_hash)
        return replace(item, reading=replace(reading, message_id=derived, keys=keys))

    def _report(self, item: Item) -> None:
        """A bounce, delay, receipt or complaint: linked to what we sent, or listed.

        A tenant's rule may keep it from the ticket; that a reply did not arrive is known all the same.
        """
        verdict = item.reading.verdict
        ours = told_of(item.reading, self.messages, self.facts.sent)
        if verdict.bounce is not None and verdict.kind in (VerdictKind.BOUNCE, VerdictKind.DELAY):
            self.plan.bounces.append(
                LinkedBounce(
                    inbound_id=item.inbound_id,
                    message_id=ours.id if ours else None,
                    bounce=verdict.bounce,
                    received_at=item.received_at,
                    marks_message=verdict.kind is VerdictKind.BOUNCE,
                )
            )
        if reason := orders(item.reading.rulings).set_aside:
            self._set_aside(item, "listed", reason)
        elif ours is None:
            self._set_aside(item, "listed", f"a {verdict.kind} that names no message we sent")
        else:
            self._file(item, Placement(ticket_id=ours.ticket_id, how="returned message"), "note")

    def _place(self, item: Item) -> Placement:
        reading, agents = item.reading, self.facts.own_addresses | self.facts.agents
        keys = reading.keys
        by_id = {
            key: self.tickets[ticket]
            for key in keys.ids
            if key in self.messages and (ticket := self._root(self.messages[key].ticket_id)) in self.tickets
        }
        tickets = {t: self.tickets[t] for t in (*keys.signed_id_tickets, *keys.marker_tickets) if t in self.tickets}
        unseen = [
            self._root(t) for key in keys.ids if key not in self.messages for t in self.children.get(key, ())[::-1]
        ]
        thread = self.by_provider_thread.get(keys.provider_thread_id or "")
        number = self.facts.by_number.get(keys.subject_number) if keys.subject_number is not None else None
        return place(
            keys,
            ThreadCandidates(
                by_id=by_id,
                by_ticket_id=tickets,
                by_provider_thread=self.tickets.get(self._root(thread)) if thread is not None else None,
                by_number=self.tickets.get(self._root(number)) if number is not None else None,
                by_reference=tuple(self.tickets[t] for t in dict.fromkeys(unseen) if t in self.tickets),
            ),
            reading.verdict,
            people=writers(reading, agents),
            agents=agents,
            reopen_days=self.facts.reopen_days,
            now=self.facts.now,
        )

    def _root(self, ticket: int) -> int:
        """The ticket that a ticket has become part of within this slice."""
        while ticket in self.plan.merges:
            ticket = self.plan.merges[ticket]
        return ticket

    def _file(self, item: Item, placement: Placement, type_: str) -> None:
        """Put the message on its ticket, and bring together the replies that came before it."""
        reading = item.reading
        # A released conflict can't have the id that another message holds.
        taken = reading.message_id in self.messages
        message_id = f"{reading.message_id[:200]}#released-{item.inbound_id}" if taken else reading.message_id
        early = list(dict.fromkeys(self._root(t) for t in self.children.get(message_id, ())))
        early = [t for t in early if t in self.tickets]
        how = placement.how
        if placement.ticket_id is not None:
            ticket = self._root(placement.ticket_id)
            if placement.reopen and (item.released or not item.replayed):
                self.plan.reopened.add(ticket)
                self.tickets[ticket] = replace(self.tickets[ticket], status="open", closed_at=None)
            self._label(ticket, _labels(reading))
        elif early:
            ticket, how = early[0], "its reply came first"
            self._label(ticket, _labels(reading))
        else:
            ticket = self._open(item, placement)
            self._answer(item, placement, ticket)
        for other in early:
            if other != ticket:
                self.plan.merges[other] = ticket
                self._join(ticket, self.tickets[other].participants)
        joining = () if placement.unknown_sender else people(reading, self.facts.own_addresses)
        self._join(ticket, joining)
        references = tuple(dict.fromkeys((*reading.in_reply_to, *reading.references)))[-64:]
        self.plan.messages.append(
            NewMessage(
                inbound_id=item.inbound_id,
                id=item.message_id,
                ticket=ticket,
                type=type_,
                message_id=message_id,
                placed_by=how,
                unknown_sender=placement.unknown_sender,
                participants=joining,
                references=references,
            )
        )
        self.messages[message_id] = KnownMessage(
            item.message_id, ticket, outbound=False, content_hash=reading.content_hash, original=_original(reading)
        )
        for reference in references:
            if reference not in self.messages:
                self.children.setdefault(reference, []).append(ticket)
        if reading.keys.provider_thread_id:
            self.by_provider_thread.setdefault(reading.keys.provider_thread_id, ticket)
        self._outcome(item, "persisted", message_id=item.message_id)

    def _open(self, item: Item, placement: Placement) -> int:
        reading, handle = item.reading, -1 - len(self.plan.tickets)
        requester, customer = reading.customer_address, reading.customer
        self.plan.tickets.append(
            NewTicket(
                handle=handle,
                subject=reading.subject,
                normalised_subject=reading.keys.normalised_subject,
                requester_address=requester.address,
                requester_name=requester.name,
                requester_rule=customer.rule if customer else "from",
                requester_claimed=bool(customer and customer.claimed),
                requester_evidence=customer.evidence if customer else (),
                provider_thread_id=item.provider_thread_id,
                follows=placement.follows,
                opened_by=item.inbound_id,
                created_at=item.received_at,
                labels=_labels(reading),
            )
        )
        self.tickets[handle] = TicketFacts(
            ticket_id=handle,
            ticket_number=0,
            status="open",
            closed_at=None,
            normalised_subject=reading.keys.normalised_subject,
            participants=frozenset(),
            requester=requester.address.lower(),
        )
        return handle

    def _answer(self, item: Item, placement: Placement, ticket: int) -> None:
        """Have the sender of a new ticket answered. Old mail, and what a person let out of a list, is not."""
        reading = item.reading
        if not self.facts.auto_response or item.imported or item.released or item.replayed or placement.unknown_sender:
            return
        if orders(reading.rulings).never_respond:
            return
        to = addressee(reading, self.facts.own_addresses, self.facts.agents)
        if to is not None:
            self.plan.responses.append(
                WantedResponse(
                    ticket=ticket,
                    to=to,
                    sender_name=to.name or reading.sender.name or to.address.partition("@")[0],
                    subject=reading.subject,
                    message_id=reading.original_id,
                    references=reading.references or reading.in_reply_to[:1],
                )
            )

    def _join(self, ticket: int, people: Iterable[str]) -> None:
        facts = self.tickets[ticket]
        self.tickets[ticket] = replace(facts, participants=facts.participants | frozenset(people))

    def _label(self, ticket: int, added: Labels) -> None:
        if added != Labels():
            self.plan.labels[ticket] = self.plan.labels.get(ticket, Labels()).joined(added)

    def _set_aside(self, item: Item, state: str, reason: str) -> None:
        self.aside.setdefault(item.reading.message_id, set()).add(item.reading.content_hash)
        self._outcome(item, state, reason)

    def _outcome(self, item: Item, state: str, reason: str = "", message_id: int | None = None) -> None:
        self.plan.outcomes.append(Outcome(item.inbound_id, state, reason, message_id))


def people(reading: Reading, own_addresses: Collection[str]) -> tuple[str, ...]:
    """Who takes part in a mail, lower-cased, without mailboxes of our own."""
    wrote = (reading.sender, reading.customer_address, *reading.reply_to)
    addresses = (a.address.lower() for a in (*wrote, *reading.to, *reading.cc))
    return tuple(a for a in dict.fromkeys(addresses) if a and a not in own_addresses)


def told_of(
    reading: Reading, messages: Mapping[str, KnownMessage], sent: Mapping[int, KnownMessage]
) -> KnownMessage | None:
    """The message of ours whose fate a report tells: by an id that it names or bears, else by what we signed in its words."""
    bounce = reading.verdict.bounce
    ids = (*(bounce.original_ids if bounce else ()), *reading.keys.ids, id_key(reading.original_id))
    named = (messages[key] for key in ids if key in messages and messages[key].outbound)
    signed = (sent[message] for _, message in (bounce.signed_ids if bounce else ()) if message in sent)
    return next(named, None) or next(signed, None)


def _labels(reading: Reading) -> Labels:
    told = orders(reading.rulings)
    return Labels(told.tags, told.priority, told.queue)


def writers(reading: Reading, agents: Collection[str]) -> list[str]:
    """Who may have written it, as far as more than its text says so: From, and the customer where the tenant named the form or the
    list that writes for him, or a rule of the tenant says who he is. Anybody may put anybody into Reply-To or X-Original-From.

    agents: addresses and domains of the tenant, its inboxes among them.
    """
    sender, customer = reading.sender.address, reading.customer
    is_named = customer is not None and (customer.rule.startswith("mail_rule.") or is_agent(sender, agents))
    return [sender, customer.address.address] if customer and is_named and not customer.claimed else [sender]


def _is_by_us(reading: Reading, own_addresses: Collection[str]) -> bool:
    """Whether a mail under an id of ours is ours. A report is about ours, whatever of our header its server kept in its own."""
    is_report = reading.verdict.kind in ABOUT_OURS
    return reading.sender.address.lower() in own_addresses or (reading.loop and not is_report)


def _original(reading: Reading) -> Original:
    """A list that rewrites From for DMARC (RFC 7960, 4.1.3.3) brings the author's mail in its own name: the author is compared."""
    customer = reading.customer
    author = customer.address if customer and not customer.claimed else reading.sender
    return Original(author.address.lower(), reading.date, frozenset(reading.lines), frozenset(reading.files))
