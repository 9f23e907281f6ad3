"""Lineage: the life of a mail in the order of time, from the provider to its ticket and what became of the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from inboxops.core.canary import means
from inboxops.core.ids import id_key
from inboxops.errors import InvalidInput, NotFound


@dataclass(frozen=True, slots=True)
class Wanted:
    """By what a mail is looked for; one of them is set. message_id: without brackets. inbound_id: the number in lists of mail.
    canary_id: that of a canary, also of one that came nowhere."""

    message_id: str = ""
    ticket_number: int | None = None
    inbound_id: int | None = None
    address: str = ""
    canary_id: int | None = None


@dataclass(frozen=True, slots=True)
class Traced:
    """A mail's row with its events, bounces, corrections, what replays changed of it, and the canary that it is."""

    mail: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    bounces: Sequence[Mapping[str, Any]]
    corrections: Sequence[Mapping[str, Any]]
    replays: Sequence[Mapping[str, Any]] = ()
    canaries: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """`where` says in which part of the house it happened."""

    at: datetime
    where: str
    what: str


def wanted(text: str) -> Wanted:
    """`#12` is a ticket, `mail 481` a mail of a list, `canary 7` a canary, `<...>` a Message-ID, anything else with an @ that or an
    address.

    Raises InvalidInput for what is none of them.
    """
    text = text.strip()
    if found := re.fullmatch(r"#?([1-9][0-9]{0,17})", text):
        return Wanted(ticket_number=int(found[1]))
    if found := re.fullmatch(r"mail ([1-9][0-9]{0,17})", text):
        return Wanted(inbound_id=int(found[1]))
    if found := re.fullmatch(r"canary ([1-9][0-9]{0,17})", text):
        return Wanted(canary_id=int(found[1]))
    if text.startswith("<") and text.endswith(">"):
        return Wanted(message_id=id_key(text[1:-1]))
    if "@" in text:
        return Wanted(message_id=id_key(text), address=text.lower())
    raise InvalidInput(
        f"{text!r} is no ticket, mail, Message-ID or address",
        fix="Write #12, mail 481, canary 7, <id@host> or name@host",
    )


def unknown(text: str) -> NotFound:
    """Nothing fits."""
    return NotFound(
        f"nothing here knows {text}", fix="Was it erased, or past its retention? Is it in the mailbox at all?"
    )


def steps(traced: Traced) -> list[Step]:
    """In the order of time."""
    return sorted([*_arrival(traced.mail), *_departure(traced.mail), *_later(traced)], key=lambda step: step.at)


def _arrival(mail: Mapping[str, Any]) -> list[Step]:
    if mail["inbound_id"] is None:
        return []
    way = "imported by the first sync" if mail["imported"] else "taken in"
    if mail["fetched_by"]:
        way += f" ({mail['fetched_by']})"
    place = "its bytes are not kept"
    if mail["storage_key"]:
        start, end = mail["storage_offset"], mail["storage_offset"] + mail["storage_length"]
        place = f"{mail['storage_key']} bytes {start} to {end}"
    told = [
        Step(mail["received_at"], "provider", f"had it as {mail['provider_key']}"),
        Step(mail["stored_at"], "fetch", f"{way}, {mail['size_bytes']} bytes: {place}"),
    ]
    if mail["verdict"]:
        why = "; ".join(f"{one['where']}: {one['value']}" for one in mail["evidence"] or ())
        judged = f"{_judged(mail)}{', because ' + why if why else ''}"
        told.append(Step(mail["filed_at"] or mail["stored_at"], "classify", judged))
    if mail["message_id"]:
        released = ", let out by a person" if mail["released"] else ""
        filed = f"{mail['type']} {mail['message_id']} of ticket #{mail['ticket_number']}, placed by {mail['placed_by']}{released}"
        told.append(Step(mail["filed_at"], "persist", filed))
    elif mail["state"] not in ("stored", "classified"):
        told.append(Step(mail["stored_at"], "persist", f"{mail['state']}: {mail['reason'] or 'no reason was kept'}"))
    return told


def _judged(one: Mapping[str, Any]) -> str:
    return f"{one['verdict']} by {one['rule']} (rules {one['ruleset'] or 'of people'})"


def _departure(mail: Mapping[str, Any]) -> list[Step]:
    if mail["direction"] != "outbound":
        return []
    who = mail["author"] or "InboxOps"
    told = [
        Step(
            mail["filed_at"],
            "reply",
            f"{mail['type']} {mail['message_id']} by {who} for ticket #{mail['ticket_number']}",
        )
    ]
    told += map(_tried, mail["send_tries"])
    if mail["sent_at"]:
        tries = "" if not mail["send_attempt"] else f" at try {mail['send_attempt'] + 1}"
        answer = f"; {mail['sent_answer']}" if mail["sent_answer"] else ""
        left = f"sent{tries}, over the wire as {mail['wire_message_id'] or mail['message_id_header']}{answer}"
        told.append(Step(mail["sent_at"], "send", left))
    elif mail["send_error"] and not mail["send_tries"]:  # from before tries were kept
        told.append(Step(mail["filed_at"], "send", f"{mail['state']}: {mail['send_error']}"))
    elif not mail["send_error"]:
        at = datetime.fromisoformat(mail["send_tries"][-1]["at"]) if mail["send_tries"] else mail["filed_at"]
        told.append(Step(at, "send", str(mail["state"])))
    return told


def _tried(one: Mapping[str, Any]) -> Step:
    """A try that did not say that it was sent. pending: another follows by itself."""
    what = "not sent yet" if one["status"] == "pending" else one["status"]
    return Step(datetime.fromisoformat(one["at"]), "send", f"try {one['attempt'] + 1}, {what}: {one['error']}")


def _later(traced: Traced) -> list[Step]:
    told = []
    for one in traced.events:
        left = (
            f"out at {one['done_at']:%H:%M:%S}"
            if one["done_at"]
            else f"waits, {one['attempts']} tries: {one['last_error'] or ''}"
        )
        told.append(Step(one["created_at"], "outbox", f"{one['kind']} {one['name']}, {left}"))
    for one in traced.bounces:
        to = ", ".join(one["recipients"])
        told.append(
            Step(one["received_at"], "bounce", f"{one['kind']} for {to} {one['status']} {one['diagnostic']}".rstrip())
        )
    for one in traced.corrections:
        told.append(Step(one["made_at"], "people", f"{one['kind']} by {one['made_by']} (correction {one['id']})"))
        if one["undone_at"]:
            told.append(Step(one["undone_at"], "people", f"taken back by {one['undone_by']}"))
    for one in traced.replays:
        told += _replayed(one)
    for one in traced.canaries:
        told += _flown(one)
    return told


def _replayed(change: Mapping[str, Any]) -> list[Step]:
    """What one replay changed of the mail, and whether that still stands."""
    name = f"replay {change['replay_id']}"
    stays = "; not taken back: something was changed or answered since" if change["yielded"] else ""
    was = change["judged"]
    judged = f"; until then {_judged(was)}" if was else ""
    changed = f"{name}, asked for by {change['asked_by']}, changed {', '.join(change['groups'])}{judged}{stays}"
    told = [Step(change["made_at"], "replay", changed)]
    if change["undone_at"]:
        told.append(
            Step(change["undone_at"], "replay", f"{name} was taken back: {', '.join(change['groups'])} as before")
        )
    return told


def _flown(canary: Mapping[str, Any]) -> list[Step]:
    """The way of a canary, to where it came back as this mail if it did."""
    name = f"canary {canary['id']}"
    told = [Step(canary["made_at"], "canary", f"{name} was made for this inbox, to be sent by {canary['sender']}")]
    if canary["sent_at"]:
        told.append(Step(canary["sent_at"], "canary", f"{name} was handed over by {canary['sender']}"))
    # Providers tell whole seconds, by their own clocks.
    left_at = canary["sent_at"] or canary["made_at"]
    told.append(Step(max(canary["back_at"] or left_at, left_at), "canary", f"{name}: {means(canary)}"))
    return told
