"""Corrections: what a person's word changes, in one transaction with what was before and with the events that tell of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from inboxops.core.corrections import Aside, Change, Effect, Facts, Kind, Message, Request, Ticket
from inboxops.core.model import Address
from inboxops.db.changes import write
from inboxops.db.database import Database, Row, Transaction, jsonb
from inboxops.db.outbox import add_event
from inboxops.errors import Conflict, NotFound

Decide = Callable[[Request, Facts], Effect]
Undo = Callable[..., Effect]


class CorrectionStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def correct(self, tenant_id: int, request: Request, decide: Decide, *, own_addresses: frozenset[str]) -> Row:
        """Take what the request names through `decide` and write what it says. The correction as it is listed, with `wakes`.

        Raises NotFound for an id that names nothing of this tenant, and what `decide` raises; nothing is written then.
        """
        with self._database.transaction() as t:
            _hold_filing(t, tenant_id, request)
            facts = _facts(t, tenant_id, request, own_addresses)
            effect = decide(request, facts)
            to = facts.to.id if facts.to else None
            if effect.opening:
                effect, to = _open(t, tenant_id, effect, facts)
            changes, joined = _write(t, tenant_id, effect)
            id_ = t.value(
                "add_correction",
                tenant_id=tenant_id,
                kind=request.kind,
                by=request.by,
                message_id=request.message_id,
                inbound_id=request.inbound_id,
                ticket_id=facts.ticket.id if facts.ticket else None,
                to_ticket_id=to,
                reply_id=request.reply_id,
                customer=jsonb(request.customer) if request.customer else None,
                changes=jsonb(changes),
                joined=jsonb(joined),
            )
            return _told(t, tenant_id, id_, effect, undone=False)

    def undo(self, tenant_id: int, correction_id: int, undo: Undo, *, by: str, own_addresses: frozenset[str]) -> Row:
        """Take a correction back. Raises NotFound, and Conflict when it was taken back or something later stands in the way."""
        with self._database.transaction() as t:
            row = t.row("correction_to_undo", tenant_id=tenant_id, id=correction_id)
            if row is None:
                raise NotFound(f"there is no correction {correction_id}")
            if row["undone_at"] is not None:
                raise Conflict(f"correction {correction_id} was taken back already")
            kind = Kind(row["kind"])
            concerned = Request(
                kind,
                by,
                inbound_id=row["inbound_id"] if kind is Kind.NOT_SPAM else None,
                ticket_id=row["to_ticket_id"] if kind is Kind.SPLIT else row["ticket_id"],
                to_ticket_id=row["ticket_id"] if kind is Kind.SPLIT else row["to_ticket_id"],
            )
            _hold_filing(t, tenant_id, concerned)
            facts = _facts(t, tenant_id, concerned, own_addresses)
            made = [(Change(one["table"], one["id"], one["become"], {}), one["before"]) for one in row["changes"]]
            effect = undo(kind, made, facts, by=by)
            _write(t, tenant_id, effect)
            if row["joined"]:
                t.run("part_people", tenant_id=tenant_id, rows=jsonb(row["joined"]))
            t.run("undone", tenant_id=tenant_id, id=correction_id, by=by)
            return _told(t, tenant_id, correction_id, effect, undone=True)

    def listed(
        self, tenant_id: int, *, ticket_id: int | None = None, before: int | None = None, limit: int = 200
    ) -> list[Row]:
        """The newest first. ticket_id: those that took something from it or brought something to it."""
        with self._database.transaction() as t:
            return t.rows(
                "corrections", tenant_id=tenant_id, ticket_id=ticket_id, id=None, before_id=before, limit=limit
            )

    def examples(self, tenant_id: int, *, after: int, limit: int) -> list[Row]:
        """Corrections that stand, oldest first, each with the mail that it was about."""
        with self._database.transaction() as t:
            return t.rows("correction_examples", tenant_id=tenant_id, after_id=after, limit=limit)


def _hold_filing(t: Transaction, tenant_id: int, request: Request) -> None:
    """Mail that is being filed into the same tickets waits, and then sees what was put right."""
    concerned = t.rows(
        "inboxes_of",
        tenant_id=tenant_id,
        messages=[one for one in (request.message_id, request.reply_id) if one],
        tickets=[one for one in (request.ticket_id, request.to_ticket_id) if one],
        inbound=request.inbound_id,
    )
    for row in concerned:
        t.rows("lock_inbox", inbox_id=row["inbox_id"])


def _facts(t: Transaction, tenant_id: int, request: Request, own_addresses: frozenset[str]) -> Facts:
    facts = Facts(now=datetime.now(UTC))
    wanted = {"id": request.message_id, "ticket_id": request.ticket_id, "inbound_id": None}
    if request.kind is Kind.NOT_SPAM:
        wanted["inbound_id"] = request.inbound_id  # a ticket by now, when it is taken back
    named = [_message(row, own_addresses) for row in t.rows("messages_to_correct", tenant_id=tenant_id, **wanted)]
    meant = [
        one
        for one in named
        if one.id == request.message_id or (one.inbound_id and one.inbound_id == wanted["inbound_id"])
    ]
    if request.message_id is not None and not meant:
        raise NotFound(f"there is no message {request.message_id}")
    if meant:
        facts = replace(facts, message=meant[0])
    source = request.ticket_id or (meant[0].ticket_id if meant else None)
    if source is not None:
        # Its lock first: whoever is storing a reply is waited for, and read below.
        ticket = _ticket(t, tenant_id, source)
        rows = t.rows("messages_to_correct", tenant_id=tenant_id, id=None, ticket_id=source, inbound_id=None)
        facts = replace(facts, ticket=ticket, thread=[_message(row, own_addresses) for row in rows])
    if request.inbound_id is not None:
        row = t.row("inbound_to_correct", tenant_id=tenant_id, id=request.inbound_id)
        if row is None:
            raise NotFound(f"there is no inbound message {request.inbound_id}")
        facts = replace(facts, aside=Aside(**row))
    to = request.to_ticket_id
    if request.reply_id is not None:
        rows = t.rows("messages_to_correct", tenant_id=tenant_id, id=request.reply_id, ticket_id=None, inbound_id=None)
        if not rows:
            raise NotFound(f"there is no message {request.reply_id}")
        reply = _message(rows[0], own_addresses)
        facts, to = replace(facts, reply=reply, bounce_id=_bounce(t, tenant_id, request, facts)), reply.ticket_id
    return facts if to is None else replace(facts, to=_ticket(t, tenant_id, to))


def _bounce(t: Transaction, tenant_id: int, request: Request, facts: Facts) -> int | None:
    inbound_id = facts.message.inbound_id if facts.message else request.inbound_id
    if inbound_id is None:
        return None
    t.run("ensure_bounce", tenant_id=tenant_id, inbound_id=inbound_id, reply_id=request.reply_id)
    found: int | None = t.value("bounce_to_correct", tenant_id=tenant_id, inbound_id=inbound_id)
    return found


def _ticket(t: Transaction, tenant_id: int, ticket_id: int) -> Ticket:
    row = t.row("ticket_to_correct", tenant_id=tenant_id, id=ticket_id)
    if row is None:
        raise NotFound(f"there is no ticket {ticket_id}")
    requester = Address(row.pop("requester_name"), row.pop("requester_address"))
    return Ticket(**row, requester=requester)


def _message(row: Row, own_addresses: frozenset[str]) -> Message:
    customer, sender = row["customer"], Address(row["from_name"], row["from_address"])
    written_to = (one["address"] for part in row["recipients"].values() for one in part or ())
    named = (sender.address, *([customer["address"]] if customer else []), *written_to)
    people = dict.fromkeys(one.lower() for one in named if one)
    same = ("id", "ticket_id", "inbound", "type", "verdict", "rule", "unknown_sender", "subject", "inbound_id")
    return Message(
        **{name: row[name] for name in same},
        sender=sender,
        customer=Address(customer["name"], customer["address"]) if customer else None,
        people=tuple(one for one in people if one not in own_addresses),
    )


def _open(t: Transaction, tenant_id: int, effect: Effect, facts: Facts) -> tuple[Effect, int]:
    opening, source = effect.opening, facts.ticket
    assert opening is not None and source is not None
    id_: int = t.value(
        "open_ticket",
        tenant_id=tenant_id,
        number=t.value("take_ticket_numbers", tenant_id=tenant_id, count=1),
        source=source.id,
        subject=opening.subject,
        normalised_subject=opening.normalised_subject,
        address=opening.requester.address,
        name=opening.requester.name,
    )
    moved = tuple(Change("messages", one, {"ticket_id": id_}, {"ticket_id": source.id}) for one in opening.messages)
    return replace(
        effect, changes=(*effect.changes, *moved), people={id_: opening.people}, touched=(*effect.touched, id_)
    ), id_


def _write(t: Transaction, tenant_id: int, effect: Effect) -> tuple[list[dict[str, Any]], list[Row]]:
    """The changes with what was before, and the participants that are new."""
    done, missed = write(t, tenant_id, effect.changes)
    if missed:
        first = missed[0]
        what = "inbound message" if first.table == "inbound" else first.table.removesuffix("s")
        raise Conflict(
            f"{what} {first.id} was changed since",
            fix="Look at it as it is now; take back what was put right later first",
        )
    _check_places(t, tenant_id, [one["id"] for one in done if "ticket_id" in one["become"]])
    bounced = {ids["message_id"] for one in done if one["table"] == "bounces" for ids in (one["become"], one["before"])}
    if bounced:
        t.run("recount_bounced", tenant_id=tenant_id, ids=[one for one in bounced if one])
    people = [{"ticket": ticket, "address": one} for ticket, addresses in effect.people.items() for one in addresses]
    return done, t.rows("join_people", tenant_id=tenant_id, rows=jsonb(people)) if people else []


def _check_places(t: Transaction, tenant_id: int, messages: Sequence[int]) -> None:
    buried = t.row("buried", tenant_id=tenant_id, ids=list(messages)) if messages else None
    if buried:
        raise Conflict(
            f"ticket #{buried['number']} became part of #{buried['merged_into']} since", fix="Take that back first"
        )


def _told(t: Transaction, tenant_id: int, correction_id: int, effect: Effect, *, undone: bool) -> Row:
    """The correction as it is listed; whoever watches one of its tickets hears of it."""
    numbers: Mapping[int, int] = {
        row["id"]: row["ticket_number"]
        for row in t.rows("touch_corrected", tenant_id=tenant_id, ids=list(effect.touched))
    }
    row = t.row("corrections", tenant_id=tenant_id, ticket_id=None, id=correction_id, before_id=None, limit=1)
    assert row is not None
    for ticket_id, number in numbers.items():
        add_event(t, tenant_id, "ticket.updated", {"ticket_id": ticket_id, "ticket_number": number})
    about = {name: row[name] for name in ("kind", "ticket_id", "to_ticket_id", "message_id", "inbound_id")}
    add_event(
        t, tenant_id, "correction.undone" if undone else "correction.made", {"correction_id": correction_id, **about}
    )
    return row | {"wakes": effect.wakes}
