"""Replay: a stored mail as it would be read today, beside what is stored of it. Pure; `core.renewal` says what is written.

What people said stands above it, as above every rule: where a verdict, a customer or a place came from a person, it is no
difference that a machine sees it otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from inboxops.core import replay_words as words
from inboxops.core.mail_rules.shown import shown
from inboxops.core.model import Address, Placement
from inboxops.core.reading import Bodies, Reading, StoredAttachment


class Group(StrEnum):
    """verdict: what it is taken for, and whether that makes it a ticket. mail_rules: which of the tenant's hold. customer: whom it
    is from. ticket: what it refers to, and so where it belongs. attachments: its files. text: subject, bodies, recipients, date."""

    VERDICT = "verdict"
    MAIL_RULES = "mail_rules"
    CUSTOMER = "customer"
    TICKET = "ticket"
    ATTACHMENTS = "attachments"
    TEXT = "text"


COLUMNS: Mapping[Group, tuple[str, ...]] = {
    Group.VERDICT: ("verdict", "rule"),
    Group.CUSTOMER: ("customer", "from_name", "from_address"),
    Group.TICKET: ("in_reply_to", "reference_ids"),
    Group.ATTACHMENTS: ("omitted_attachments", "file_marks"),
    Group.TEXT: (
        *("subject", "body_text", "body_new", "body_html", "recipients", "sent_date", "marks", "authentication"),
    ),
}
"""Columns of `messages` that are compared as they are. The same verdict by an older rule set or on other evidence is none."""
OF_ROW = ("verdict", "rule", "ruleset", "evidence", "mail_rules", "subject", "from_address")
"""Columns of a message that its row in `inbound` has, too."""

CORRECTED = "corrected by a person"
ANSWERED = "answered by a person"
UNREADABLE = "can't be read"
"""Why something is left out of a replay. ANSWERED: where an agent has written since, mail and customer stay together."""

DUPLICATE = "duplicate"
"""The state of mail that repeats what was taken in before."""

TOGETHER = frozenset({Group.CUSTOMER, Group.TICKET})
"""What an agent who wrote in the ticket went by."""


@dataclass(frozen=True, slots=True)
class OnTicket:
    """The ticket that a message is on. opened: by that message. follows: it was opened because another was closed for long."""

    id: int
    number: int
    opened: bool
    follows: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """What is stored of a mail. inbound: columns of its row. message: columns of what it became, None where it was set aside.

    files: of the message, in their order, each with its id. corrected: groups in which a person had a word.
    answered: an agent wrote in the ticket after it.
    """

    inbound_id: int
    inbox_id: int
    received_at: datetime
    state: str
    inbound: Mapping[str, Any]
    message_id: int | None = None
    message: Mapping[str, Any] | None = None
    ticket: OnTicket | None = None
    files: tuple[tuple[int, StoredAttachment], ...] = ()
    corrected: frozenset[Group] = frozenset()
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Today:
    """The mail as it is read now. place: of a message, the ticket that it names beyond doubt, with its number.

    returned: the message of ours whose fate it tells. outcome: of set-aside mail, what a plan makes of it: "a ticket", "a reply",
    "a note", or the state it is listed under.
    """

    reading: Reading
    bodies: Bodies
    place: Placement | None = None
    number: int | None = None
    returned: int | None = None
    outcome: str = ""
    reason: str = ""

    @property
    def becomes_message(self) -> bool:
        return self.outcome in ("a ticket", "a reply", "a note")


@dataclass(frozen=True, slots=True)
class Difference:
    group: Group
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Compared:
    """left_out: why a difference is none, each reason once."""

    differences: tuple[Difference, ...] = ()
    left_out: tuple[str, ...] = ()


def compare(kept: Kept, today: Today) -> Compared:
    """Pure: in which groups the mail would be otherwise."""
    found = list(_of_aside(kept, today) if kept.message is None else _of_message(kept, kept.message, today))
    left = []
    if any(one.group in kept.corrected for one in found):
        left.append(CORRECTED)
        found = [one for one in found if one.group not in kept.corrected]
    if kept.answered and any(one.group in TOGETHER for one in found):
        left.append(ANSWERED)
        found = [one for one in found if one.group not in TOGETHER]
    return Compared(tuple(found), tuple(left))


def columns(reading: Reading, bodies: Bodies) -> dict[str, Any]:
    """What is compared and renewed, in the shape in which a row has it."""
    customer, verdict = reading.customer, reading.verdict
    people = {"to": reading.to, "cc": reading.cc, "reply_to": reading.reply_to}
    told = {"rule": customer.rule, "claimed": customer.claimed} if customer and customer.rule != "from" else None
    return {
        "verdict": verdict.kind.value,
        "rule": verdict.rule,
        "ruleset": verdict.ruleset,
        "evidence": [{"where": one.where, "value": one.value} for one in verdict.evidence],
        "mail_rules": shown(reading.rulings) or None,
        "customer": _person(customer.address) | told if customer and told else None,
        "in_reply_to": list(reading.in_reply_to),
        "reference_ids": list(reading.references),
        "omitted_attachments": [
            {"file_name": one.file_name, "size_bytes": one.size_bytes, "reason": one.reason} for one in reading.omitted
        ],
        "file_marks": list(reading.files),
        "subject": reading.subject,
        "body_text": bodies.text,
        "body_new": bodies.new,
        "body_html": bodies.html,
        "from_name": reading.sender.name,
        "from_address": reading.sender.address,
        "recipients": {name: list(map(_person, each)) for name, each in people.items()},
        "sent_date": reading.date,
        "marks": list(reading.marks),
        "authentication": dict(reading.authentication),
    }


def moves_to(kept: Kept, today: Today) -> int | None:
    """The ticket that a message would move to. A ticket that follows a closed one keeps its mail."""
    if today.place is None or kept.ticket is None or kept.ticket.follows or today.place.ticket_id == kept.ticket.id:
        return None
    return today.place.ticket_id


def _of_message(kept: Kept, was: Mapping[str, Any], today: Today) -> Iterator[Difference]:
    now = columns(today.reading, today.bodies)
    if not was["file_marks"]:  # of older mail, or of none
        now["file_marks"] = was["file_marks"]
    otherwise = {
        group: name for group, names in COLUMNS.items() if (name := next((n for n in names if was[n] != now[n]), None))
    }
    if Group.VERDICT in otherwise:
        yield Difference(Group.VERDICT, words.verdict(was), words.verdict(now))
    if words.told_rules(was["mail_rules"]) != words.told_rules(now["mail_rules"]):
        yield Difference(Group.MAIL_RULES, words.rules(was["mail_rules"]), words.rules(now["mail_rules"]))
    if Group.CUSTOMER in otherwise:
        yield Difference(Group.CUSTOMER, words.customer(was), words.customer(now))
    if moves_to(kept, today) is not None and kept.ticket and today.place:
        by = today.place.how.replace("_", " ")
        yield Difference(Group.TICKET, f"#{kept.ticket.number}", f"#{today.number} (by {by})")
    elif Group.TICKET in otherwise:
        yield Difference(Group.TICKET, words.references(was), words.references(now))
    files = [one for _, one in kept.files]
    if Group.ATTACHMENTS in otherwise or described(files) != described(today.reading.attachments):
        told = words.files(files, was["omitted_attachments"])
        yield Difference(Group.ATTACHMENTS, told, words.files(today.reading.attachments, now["omitted_attachments"]))
    if name := otherwise.get(Group.TEXT):
        yield Difference(Group.TEXT, *words.around(name, was[name], now[name]))


def _of_aside(kept: Kept, today: Today) -> Iterator[Difference]:
    """Mail that became nothing. Where it would become a message, that is its verdict's matter if that differs, else its place's."""
    was, now = kept.inbound, columns(today.reading, today.bodies)
    is_judged_otherwise = any(was[name] != now[name] for name in COLUMNS[Group.VERDICT])
    is_ruled_otherwise = words.told_rules(was["mail_rules"]) != words.told_rules(now["mail_rules"])
    verdicts = f"{words.verdict(was)}, {kept.state}", f"{words.verdict(now)}, {today.outcome or kept.state}"
    if today.becomes_message:
        is_of_verdict = is_judged_otherwise or is_ruled_otherwise or kept.state == "parked"
        yield Difference(Group.VERDICT if is_of_verdict else Group.TICKET, *verdicts)
        return
    if kept.state == DUPLICATE:  # as what it repeats, which is read itself
        return
    if is_judged_otherwise or (kept.state == "parked" and today.outcome):
        yield Difference(Group.VERDICT, *verdicts)
    if is_ruled_otherwise:
        yield Difference(Group.MAIL_RULES, words.rules(was["mail_rules"]), words.rules(now["mail_rules"]))
    if name := next((one for one in ("subject", "from_address") if was[one] != now[one]), None):
        yield Difference(Group.TEXT, *words.around(name, was[name], now[name]))


def described(files: Sequence[StoredAttachment]) -> list[tuple[Any, ...]]:
    """What a person sees of files."""
    return [(one.file_name, one.content_type, one.size_bytes, one.content_id, one.inline) for one in files]


def _person(one: Address) -> dict[str, Any]:
    return {"name": one.name, "address": one.address}
