"""Persist, set-based: one round trip for each statement and slice, all of it in one transaction (invariant 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from inboxops.core import autorespond
from inboxops.core.copies import Original, derived_id, line_marks
from inboxops.core.inbox import Inbox
from inboxops.core.model import TicketFacts
from inboxops.core.outbound import NewOutbound
from inboxops.core.plan import Facts, Item, KnownMessage, LinkedBounce, Plan, Slice
from inboxops.core.reading import Reading
from inboxops.db.database import Database, Transaction, jsonb
from inboxops.db.outbound import add_outbound
from inboxops.db.outbox import add_event, event

_reading = msgspec.json.Decoder(Reading)

PlanMaker = Callable[[Sequence[Item], Facts], Plan]
Responder = Callable[..., NewOutbound | None]


class PersistStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def persist(
        self,
        inbox: Inbox,
        make_plan: PlanMaker,
        *,
        respond: Responder | None,
        own_addresses: frozenset[str],
        after: int,
        limit: int,
        in_order: bool = False,
    ) -> Slice:
        """Take the next classified rows through `make_plan` and write what it says.

        in_order: only those that came before every row which is still to be read. One that lies before `after` was read already,
        and somebody sent it back: it holds no other up.

        respond: makes the automatic answer to a new ticket (`stories.autorespond`), None when the inbox gives none.
        The slice has no items when none is left. Nothing is written when anything fails.
        """
        with self._database.transaction() as t:
            # What joins what depends on what is there: one run decides for an inbox at a time. Ticket numbers come from the
            # tenant's row under its lock, so that two inboxes of a tenant never take the same.
            t.rows("lock_inbox", inbox_id=inbox.id)
            before = t.value("first_stored", inbox_id=inbox.id, after=after) if in_order else None
            rows = t.rows("classified", inbox_id=inbox.id, after=after, before=before, limit=limit)
            items = list(map(_item, rows))
            if not items:
                return Slice()
            facts = replace(facts_of(t, inbox, items, own_addresses), auto_response=respond is not None)
            plan = make_plan(items, facts)
            with t.connection.pipeline():  # the server works at a statement while the next is made up
                numbers = _write(t, inbox, items, plan, respond)
            known = {ticket: facts.tickets[ticket].ticket_number for ticket in facts.tickets}
            return Slice(items, plan, known | numbers)

    def facts(self, inbox: Inbox, items: Sequence[Item], *, own_addresses: frozenset[str]) -> Facts:
        """What is known of everything that the items mention; writes nothing."""
        with self._database.transaction() as t:
            return facts_of(t, inbox, items, own_addresses)

    def next_classified(self, inbox_id: int, *, after: int) -> int | None:
        with self._database.transaction() as t:
            found: int | None = t.value("next_classified", inbox_id=inbox_id, after=after)
            return found


def _item(row: dict[str, Any]) -> Item:
    return Item(
        inbound_id=row["id"],
        message_id=row["reserved_message_id"],
        received_at=row["received_at"],
        imported=row["imported"],
        released=row["released"],
        provider_thread_id=row["provider_thread_id"],
        reading=_reading.decode(row["reading"]),
        replayed=row["replay_id"] is not None,
    )


def facts_of(t: Transaction, inbox: Inbox, items: Sequence[Item], own_addresses: frozenset[str]) -> Facts:
    """What is known of everything that the items mention."""
    readings = [item.reading for item in items]
    own_ids = {r.message_id for r in readings}
    mentioned = own_ids.union(*(r.keys.ids for r in readings)).union(
        *(r.verdict.bounce.original_ids for r in readings if r.verdict.bounce)
    )
    messages = _with_originals(t, inbox, readings, _known_messages(t, inbox, mentioned))
    sent = _sent(
        t, inbox, {message for r in readings if r.verdict.bounce for _, message in r.verdict.bounce.signed_ids}
    )
    unseen = {key for r in readings for key in r.keys.ids} - messages.keys() - own_ids
    children = {
        row["reference_id"]: tuple(row["array_agg"])
        for name, keys in (("children", own_ids), ("siblings", unseen))
        if keys
        for row in t.rows(name, inbox_id=inbox.id, keys=list(keys))
    }
    aside = {
        row["message_id_header"]: frozenset(row["array_agg"])
        for row in t.rows("aside", inbox_id=inbox.id, keys=list(own_ids), **{"except": [i.inbound_id for i in items]})
    }
    numbers = [r.keys.subject_number for r in readings if r.keys.subject_number is not None]
    threads = [r.keys.provider_thread_id for r in readings if r.keys.provider_thread_id]
    by_number: dict[int, int] = {}
    by_thread: dict[str, int] = {}
    if numbers:
        rows = t.rows("tickets_by_number", tenant_id=inbox.tenant_id, inbox_id=inbox.id, numbers=numbers)
        by_number = {row["ticket_number"]: row["id"] for row in rows}
    if threads:
        by_thread = {
            row["provider_thread_id"]: row["id"]
            for row in t.rows("tickets_by_thread", inbox_id=inbox.id, threads=threads)
        }
    held = {m.ticket_id for m in (*messages.values(), *sent.values())}.union(*children.values())
    wanted = {*by_number.values(), *by_thread.values()}
    for r in readings:
        wanted.update(r.keys.signed_id_tickets, r.keys.marker_tickets)
    tickets = _tickets(t, inbox, wanted, held)
    return Facts(
        now=datetime.now(UTC),
        reopen_days=inbox.reopen_days,
        own_addresses=own_addresses,
        agents=inbox.agents,
        tickets=tickets,
        messages=messages,
        sent=sent,
        children={
            key: tuple(tickets[one].ticket_id if one in tickets else one for one in ids)
            for key, ids in children.items()
        },
        aside=aside,
        by_provider_thread=by_thread,
        by_number=by_number,
    )


def _tickets(t: Transaction, inbox: Inbox, wanted: set[int], held: set[int]) -> dict[int, TicketFacts]:
    """By the ids that were asked for and by their own: a ticket that was merged answers for the one it became part of.

    held: those of messages that are known; wanted: those that mails name.
    """
    tickets: dict[int, TicketFacts] = {}
    if not (wanted or held):
        return tickets
    named = {"ids": list(wanted), "held": list(held)}
    for row in t.rows("ticket_facts", tenant_id=inbox.tenant_id, inbox_id=inbox.id, **named):
        tickets[row["asked"]] = tickets[row["id"]] = TicketFacts(
            ticket_id=row["id"],
            ticket_number=row["ticket_number"],
            status=row["status"],
            closed_at=row["closed_at"],
            normalised_subject=row["normalised_subject"],
            participants=frozenset(row["participants"]),
            requester=row["requester"],
        )
    return tickets


def _known_messages(t: Transaction, inbox: Inbox, keys: Iterable[str]) -> dict[str, KnownMessage]:
    rows = t.rows("known_messages", inbox_id=inbox.id, keys=list(keys))
    return {row["key"]: KnownMessage(row["id"], row["ticket_id"], row["outbound"], row["content_hash"]) for row in rows}


def _sent(t: Transaction, inbox: Inbox, ids: set[int]) -> dict[int, KnownMessage]:
    """Messages of ours by their own ids, which stand in the ids that we sign."""
    if not ids:
        return {}
    rows = t.rows("sent_messages", inbox_id=inbox.id, ids=list(ids))
    return {row["id"]: KnownMessage(row["id"], row["ticket_id"], outbound=True, content_hash="") for row in rows}


def _with_originals(
    t: Transaction, inbox: Inbox, readings: Sequence[Reading], messages: dict[str, KnownMessage]
) -> dict[str, KnownMessage]:
    """Where an id of the slice is known with other content: what tells a copy, and whether that content was taken in under an id of
    its own."""
    other = {
        r.message_id: r
        for r in readings
        if (known := messages.get(r.message_id)) and (known.outbound or known.content_hash != r.content_hash)
    }
    if not other:
        return messages
    derived = [derived_id(r.message_id, r.content_hash) for r in readings if r.message_id in other]
    found = messages | _known_messages(t, inbox, derived)
    ids = {messages[key].id: key for key in other if not messages[key].outbound}
    for row in t.rows("originals", ids=list(ids)) if ids else ():
        lines, files = frozenset(line_marks(row["text"] or "")), frozenset(row["file_marks"])
        original = Original(row["author"], row["sent_date"], lines, files)
        found[ids[row["id"]]] = replace(messages[ids[row["id"]]], original=original)
    return found


def _write(
    t: Transaction, inbox: Inbox, items: Sequence[Item], plan: Plan, respond: Responder | None
) -> dict[int, int]:
    """The numbers of the tickets that were opened, by their handles."""
    numbers = _add_tickets(t, inbox, plan)
    ids = {handle: id_ for handle, (id_, _) in numbers.items()}

    def ticket(handle: int) -> int:
        return ids.get(handle, handle)

    rows = [{**msgspec.to_builtins(message), "ticket": ticket(message.ticket)} for message in plan.messages]
    if rows:
        payload = jsonb(rows)
        t.run("add_messages", rows=payload)
        if files := _attachments(items, plan):
            t.run("add_attachments", tenant_id=inbox.tenant_id, rows=jsonb(files))
        t.run("add_participants", tenant_id=inbox.tenant_id, rows=payload)
        t.run("add_references", inbox_id=inbox.id, rows=payload)
    if plan.bounces:
        add_bounces(t, inbox, plan.bounces)
    if plan.canaries:
        t.run("canaries_back", inbox_id=inbox.id, rows=jsonb(plan.canaries))
    for source, into in plan.merges.items():
        t.run("move_messages", ticket=source, into=ticket(into))
    if plan.labels:
        labels = [{"ticket": ticket(to), **msgspec.to_builtins(added)} for to, added in plan.labels.items()]
        t.run("label_tickets", rows=jsonb(labels))
    if plan.reopened:
        t.run("reopen", tickets=[ticket(handle) for handle in plan.reopened])
    t.run("finish_inbound", rows=jsonb(plan.outcomes))
    if rows:
        settled = {reference for message in plan.messages for reference in message.references}
        t.run("settle_unknown", inbox_id=inbox.id, ids=list(settled))
        _announce(t, inbox, rows, opened=dict(numbers.values()))
    if plan.responses and respond is not None:
        _respond(t, inbox, plan, numbers, respond)
    return {handle: number for handle, (_, number) in numbers.items()}


def add_bounces(t: Transaction, inbox: Inbox, bounces: Sequence[LinkedBounce]) -> None:
    """What reports say, and that replies of ours did not arrive."""
    rows = [
        {**msgspec.to_builtins(b.bounce), **{k: getattr(b, k) for k in ("inbound_id", "message_id", "received_at")}}
        for b in bounces
    ]
    t.run("add_bounces", tenant_id=inbox.tenant_id, inbox_id=inbox.id, rows=jsonb(rows))
    marked = [
        {"message_id": b.message_id, "received_at": b.received_at} for b in bounces if b.marks_message and b.message_id
    ]
    if marked:
        for row in t.rows("mark_bounced", rows=jsonb(marked)):
            add_event(t, inbox.tenant_id, "message.bounced", row)


def _attachments(items: Sequence[Item], plan: Plan) -> list[dict[str, Any]]:
    files = {item.inbound_id: item.reading.attachments for item in items}
    return [
        {"message_id": message.id, **msgspec.to_builtins(file)}
        for message in plan.messages
        for file in files[message.inbound_id]
    ]


def _respond(t: Transaction, inbox: Inbox, plan: Plan, numbers: dict[int, tuple[int, int]], respond: Responder) -> None:
    """Automatic answers, in the transaction that opens their tickets. The tenant's row, which gave the numbers, is locked,
    so that another inbox of the tenant sees these before it counts its own."""
    answered = t.rows(
        "auto_responses_to_mail", tenant_id=inbox.tenant_id, ids=[one.message_id for one in plan.responses]
    )
    recent = t.rows(
        "auto_responses_to_addresses",
        tenant_id=inbox.tenant_id,
        addresses=[one.to.address.lower() for one in plan.responses],
        hours=autorespond.WINDOW_HOURS,
    )
    domains = t.rows("auto_responses_to_domains", tenant_id=inbox.tenant_id, hours=autorespond.WINDOW_HOURS)
    for wanted in autorespond.within_caps(
        plan.responses,
        answered=[row["message_id"] for row in answered],
        recent={row["address"]: row["count"] for row in recent},
        domains={row["domain"]: row["count"] for row in domains},
    ):
        ticket_id, number = numbers[wanted.ticket]
        new = respond(wanted, id=t.value("next_message_id"), ticket_id=ticket_id, ticket_number=number)
        if new is not None:
            add_outbound(t, new)


def _add_tickets(t: Transaction, inbox: Inbox, plan: Plan) -> dict[int, tuple[int, int]]:
    """Real ids and numbers for the plan's new tickets: handle -> (id, number)."""
    count = len(plan.tickets)
    if not count:
        return {}
    last = t.value("take_ticket_numbers", tenant_id=inbox.tenant_id, count=count)
    ids = [row["nextval"] for row in t.rows("take_ticket_ids", count=count)]
    rows = [
        {**msgspec.to_builtins(new), "id": id_, "ticket_number": last - count + 1 + position}
        for position, (new, id_) in enumerate(zip(plan.tickets, ids, strict=True))
    ]
    t.run("add_tickets", tenant_id=inbox.tenant_id, inbox_id=inbox.id, rows=jsonb(rows))
    return {new.handle: (row["id"], row["ticket_number"]) for new, row in zip(plan.tickets, rows, strict=True)}


def _announce(t: Transaction, inbox: Inbox, rows: list[dict[str, Any]], *, opened: dict[int, int]) -> None:
    """Outbox rows in the same transaction: what browsers and Redis hear of after the commit.

    opened: numbers of the tickets that the slice opened, which are unread and new as they are.
    """
    touched = list(dict.fromkeys(row["ticket"] for row in rows))
    numbers = dict(opened)
    if joined := [ticket for ticket in touched if ticket not in opened]:
        numbers |= {row["id"]: row["ticket_number"] for row in t.rows("touch", tickets=joined)}
    told = {ticket: {"ticket_id": ticket, "ticket_number": numbers.get(ticket)} for ticket in touched}
    events = [
        event("ticket.message_added", {**told[row["ticket"]], "message_id": row["id"], "type": row["type"]})
        for row in rows
    ]
    events += [event("ticket.updated", told[ticket]) for ticket in touched]
    t.run("add_outbox", tenant_id=inbox.tenant_id, rows=jsonb(events))
