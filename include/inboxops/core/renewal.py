"""Renewal: what of a replayed mail is written, for the groups that were chosen. Decided here, carried out by the database (ADR 4).

Readings are renewed in place. A mail never leaves the ticket that it is on but for one that it names, mail that was set aside goes
through the ordinary stages again, and nothing is sent, answered or opened again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from inboxops.core.corrections import RULE, Change
from inboxops.core.keys import attachment_key, is_detached
from inboxops.core.labels import Labels
from inboxops.core.mail_rules.evaluate import orders
from inboxops.core.mail_rules.model import Priority
from inboxops.core.model import ABOUT_OURS, VerdictKind
from inboxops.core.plan import LinkedBounce, people
from inboxops.core.reading import Reading, StoredAttachment
from inboxops.core.replay import COLUMNS, OF_ROW, Difference, Group, Kept, Today, columns, described, moves_to
from inboxops.core.replay_words import told_rules
from inboxops.core.thread import normalise_subject

_NOTES = ABOUT_OURS | {VerdictKind.AUTO_REPLY}
_BOUNCES = frozenset({VerdictKind.BOUNCE, VerdictKind.DELAY})
_WITH: Mapping[Group, tuple[str, ...]] = {Group.VERDICT: ("ruleset", "evidence")}
_PEOPLE = ("customer", "from_address", "recipients")


@dataclass(frozen=True, slots=True)
class TicketNow:
    """A ticket as it stands. alone: it holds nothing but the message that is renewed."""

    id: int
    status: str
    subject: str
    requester_address: str
    requester_rule: str
    tags: tuple[str, ...]
    priority: str
    queue: str
    alone: bool


@dataclass(frozen=True, slots=True)
class Renewal:
    """changes: of the mail, which hang together. of_ticket: of its ticket, which a person may have changed since.

    people: who joins a ticket. references: ids that it refers to, None: as they were. files_gone: ids. files_new: position among
    those of today, and under which key. again: through the stages once more. touched: the ticket of a message, then the one that
    it moves to.
    """

    groups: tuple[Group, ...]
    changes: tuple[Change, ...] = ()
    of_ticket: tuple[Change, ...] = ()
    people: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    references: tuple[str, ...] | None = None
    files_gone: tuple[int, ...] = ()
    files_new: Mapping[int, StoredAttachment] = field(default_factory=dict)
    bounce: LinkedBounce | None = None
    again: bool = False
    touched: tuple[int, ...] = ()


def renew(
    kept: Kept,
    today: Today,
    differences: Collection[Difference],
    chosen: Collection[Group],
    *,
    tenant_id: int,
    replay_id: int,
    ticket: TicketNow | None,
    taken: Collection[str],
    own_addresses: Collection[str],
    now: datetime,
) -> Renewal | None:
    """None when nothing of what differs was chosen.

    ticket: of a message. taken: keys of files that the message has or had.
    """
    groups = tuple(group for group in Group if group in chosen and any(one.group is group for one in differences))
    if not groups:
        return None
    if kept.message is None or ticket is None or kept.message_id is None:
        return _of_aside(kept, today, groups, replay_id)
    fresh = columns(today.reading, today.bodies)
    become = {name: fresh[name] for group in groups for name in (*COLUMNS.get(group, ()), *_WITH.get(group, ()))}
    if Group.MAIL_RULES in groups:
        become["mail_rules"] = fresh["mail_rules"]
    if Group.VERDICT in groups:
        become["type"] = "note" if today.reading.verdict.kind in _NOTES else "message"
    row = {name: become[name] for name in OF_ROW if name in become}
    to = moves_to(kept, today) if Group.TICKET in groups else None
    joining: dict[int, tuple[str, ...]] = {}
    more: list[Change] = []
    if to is not None and today.place is not None:
        become |= {"ticket_id": to, "placed_by": f"replay: {today.place.how}"}
        joining[to] = () if today.place.unknown_sender else people(today.reading, own_addresses)
        if ticket.alone:
            absorbed = {"merged_into_ticket_id": to, "status": "closed", "closed_at": now}
            more.append(Change("tickets", ticket.id, absorbed, {"merged_into_ticket_id": None}))
    elif any(name in become and kept.message[name] != fresh[name] for name in _PEOPLE):
        joining[ticket.id] = () if kept.message["unknown_sender"] else people(today.reading, own_addresses)
    changes = [Change("messages", kept.message_id, become), *more]
    if row:
        changes.append(Change("inbound", kept.inbound_id, row))
    is_file_changed = Group.ATTACHMENTS in groups and _are_otherwise(kept, today.reading)
    refers = (*today.reading.in_reply_to, *today.reading.references)
    return Renewal(
        groups=groups,
        changes=tuple(changes),
        of_ticket=_of_ticket(kept, today, groups, ticket) if to is None else (),
        people=joining,
        references=tuple(dict.fromkeys(refers))[-64:] if Group.TICKET in groups else None,
        files_gone=tuple(id_ for id_, _ in kept.files) if is_file_changed else (),
        files_new=_files(kept.message_id, today.reading, tenant_id, taken) if is_file_changed else {},
        bounce=_bounce(kept, today) if Group.VERDICT in groups else None,
        touched=tuple(dict.fromkeys((ticket.id, *([to] if to else [])))),
    )


def _of_aside(kept: Kept, today: Today, groups: tuple[Group, ...], replay_id: int) -> Renewal:
    fresh = columns(today.reading, today.bodies)
    if today.becomes_message or (kept.state == "parked" and Group.VERDICT in groups):
        was = {name: kept.inbound[name] for name in OF_ROW}  # so that it is kept with what is changed
        again = {"state": "stored", "reason": "", "replay_id": replay_id, "message_id": None}
        return Renewal(groups, (Change("inbound", kept.inbound_id, was | again, {"state": kept.state}),), again=True)
    become: dict[str, Any] = {}
    if Group.VERDICT in groups:
        become |= {name: fresh[name] for name in ("verdict", "rule", "ruleset", "evidence")}
    if Group.MAIL_RULES in groups:
        become["mail_rules"] = fresh["mail_rules"]
    if kept.state != "parked" and today.outcome and {Group.VERDICT, Group.MAIL_RULES} & set(groups):
        become |= {"state": today.outcome, "reason": today.reason}
    if Group.TEXT in groups:
        become |= {name: fresh[name] for name in ("subject", "from_address")}
    return Renewal(groups, (Change("inbound", kept.inbound_id, become, {"state": kept.state}),))


def _of_ticket(kept: Kept, today: Today, groups: tuple[Group, ...], ticket: TicketNow) -> tuple[Change, ...]:
    """What follows for the ticket of a mail, as far as it still says what that mail said, and nobody said otherwise."""
    assert kept.message is not None
    become: dict[str, Any] = {}
    opened = bool(kept.ticket and kept.ticket.opened)
    who, reading = kept.message["customer"], today.reading
    if Group.CUSTOMER in groups and opened and ticket.requester_rule != RULE:
        was = who["address"] if who else kept.message["from_address"]
        if ticket.requester_address.lower() == was.lower():
            customer = reading.customer
            become |= {
                "requester_address": reading.customer_address.address,
                "requester_name": reading.customer_address.name,
                "requester_rule": customer.rule if customer else "from",
                "requester_claimed": bool(customer and customer.claimed),
                "requester_evidence": [
                    {"where": one.where, "value": one.value} for one in (customer.evidence if customer else ())
                ],
            }
    if Group.TEXT in groups and opened and ticket.subject == kept.message["subject"] != reading.subject:
        become |= {"subject": reading.subject, "normalised_subject": normalise_subject(reading.subject)}
    if Group.MAIL_RULES in groups:
        become |= _labelled(kept, reading, ticket)
    return (Change("tickets", ticket.id, become),) if become else ()


def _labelled(kept: Kept, reading: Reading, ticket: TicketNow) -> dict[str, Any]:
    """What rules add that did not hold when the mail came: what they added then, an agent may have taken away since."""
    assert kept.message is not None
    held = {name for name, _ in told_rules(kept.message["mail_rules"])}
    told = orders([one for one in reading.rulings if one.rule not in held])
    before = Labels(ticket.tags, Priority(ticket.priority), ticket.queue)
    after = before.joined(Labels(told.tags, told.priority, told.queue))
    if after == before or after.priority is None:
        return {}
    return {"tags": list(after.tags), "priority": after.priority.value, "queue": after.queue}


def _bounce(kept: Kept, today: Today) -> LinkedBounce | None:
    """That a reply of ours did not arrive, which the mail was not known to tell."""
    verdict = today.reading.verdict
    if verdict.bounce is None or verdict.kind not in _BOUNCES:
        return None
    is_final = verdict.kind is VerdictKind.BOUNCE
    return LinkedBounce(kept.inbound_id, today.returned, verdict.bounce, kept.received_at, marks_message=is_final)


def _are_otherwise(kept: Kept, reading: Reading) -> bool:
    assert kept.message is not None
    marks = kept.message["file_marks"]
    is_same_content = not marks or marks == list(reading.files)
    return not is_same_content or described([one for _, one in kept.files]) != described(reading.attachments)


def _files(message_id: int, reading: Reading, tenant_id: int, taken: Collection[str]) -> dict[int, StoredAttachment]:
    """Each file under a key that none of the message ever had: what it was stays where it is, to be taken back. A file that stands
    apart is a part of the raw mail, which nobody writes again."""
    files: dict[int, StoredAttachment] = {}
    used = set(taken)
    number = 0
    for position, file in enumerate(reading.attachments):
        key = file.storage_key
        while key in used and not is_detached(key):
            number += 1
            key = attachment_key(tenant_id, message_id, number, file.file_name)
        used.add(key)
        files[position] = StoredAttachment(
            file.file_name, key, file.content_type, file.size_bytes, file.content_id, file.inline
        )
    return files
