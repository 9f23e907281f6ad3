"""What stored mails would become today: set-aside ones by the plan that files mail, messages by the tickets that they name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from inboxops.core.model import Placement, ThreadCandidates
from inboxops.core.plan import Facts, Item, plan, told_of, writers
from inboxops.core.reading import Bodies
from inboxops.core.replay import DUPLICATE, Compared, Group, Kept, Today, compare
from inboxops.core.thread import place


@dataclass(frozen=True, slots=True)
class Reread:
    """A mail as it is read now, as a plan takes it."""

    item: Item
    bodies: Bodies


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows of all that some mails of an inbox mention. moved: tickets of which people said what is in them."""

    facts: Facts
    moved: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Judged:
    kept: Kept
    reread: Reread
    today: Today
    compared: Compared


def judge(reread: Sequence[Reread], kept: Mapping[int, Kept], known: Known) -> list[Judged]:
    """Pure. Mails of one inbox in the order in which they came; those that nothing is kept of, because they went, are left out."""
    there = [one for one in reread if one.item.inbound_id in kept]
    outcomes = _outcomes([one.item for one in there if kept[one.item.inbound_id].message is None], known.facts)
    judged = []
    for one in there:
        mail = kept[one.item.inbound_id]
        today = Today(one.item.reading, one.bodies)
        if mail.message is not None:
            referred = (*mail.message["in_reply_to"], *mail.message["reference_ids"])
            placed = named_ticket(one.item, known.facts, referred)
            ticket = known.facts.tickets.get(placed.ticket_id) if placed.ticket_id is not None else None
            ours = told_of(one.item.reading, known.facts.messages, known.facts.sent)
            today = replace(
                today,
                place=placed,
                number=ticket.ticket_number if ticket else None,
                returned=ours.id if ours else None,
            )
            if {placed.ticket_id, mail.ticket.id if mail.ticket else None} & known.moved:
                mail = replace(mail, corrected=mail.corrected | {Group.TICKET})
        else:
            outcome, reason = outcomes[one.item.inbound_id]
            today = replace(today, outcome=outcome, reason=reason)
        judged.append(Judged(mail, one, today, compare(mail, today)))
    return judged


def _outcomes(items: Sequence[Item], facts: Facts) -> dict[int, tuple[str, str]]:
    """Inbound id -> what the plan makes of it, and the reason. "": it repeats what came by another way since."""
    planned = plan(items, facts)
    opened = {ticket.opened_by for ticket in planned.tickets}
    filed = {message.inbound_id: message.type for message in planned.messages}
    found = {}
    for one in planned.outcomes:
        outcome = "" if one.state == DUPLICATE else one.state
        if one.inbound_id in filed:
            is_note = filed[one.inbound_id] == "note"
            outcome = "a ticket" if one.inbound_id in opened else "a note" if is_note else "a reply"
        found[one.inbound_id] = (outcome, one.reason)
    return found


def named_ticket(item: Item, facts: Facts, known: Collection[str]) -> Placement:
    """The ticket that a message names beyond doubt: by a token that we signed, or by an id that is not `known` to be its reference.

    Where it was placed by a subject or by who takes part depended on what was there when it came, and is not asked again.
    """
    reading, keys = item.reading, item.reading.keys
    agents = facts.own_addresses | facts.agents
    returned = reading.verdict.bounce.original_ids if reading.verdict.bounce else ()
    by_id = {
        key: facts.tickets[facts.messages[key].ticket_id]
        for key in (*returned, *keys.ids)
        if key in facts.messages and facts.messages[key].ticket_id in facts.tickets
    }
    signed = (*keys.signed_id_tickets, *keys.marker_tickets)
    placed = place(
        keys,
        ThreadCandidates(by_id, {one: facts.tickets[one] for one in signed if one in facts.tickets}),
        reading.verdict,
        people=writers(reading, agents),
        agents=agents,
        reopen_days=facts.reopen_days,
        now=facts.now,
    )
    decided = next((key for key in keys.ids if key in by_id), None)
    return Placement(None, how="as it was") if placed.how == "message_id" and decided in known else placed
