"""`inboxops rehearse`: what mail in files would have become, by the same reading, rules and plan, without any server."""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from inboxops.core import headers
from inboxops.core.mail_rules.model import NO_RULES, RuleSet
from inboxops.core.mime import parse
from inboxops.core.model import InboxContext
from inboxops.core.plan import Facts, Item, Plan, plan
from inboxops.core.text import printable
from inboxops.stories.classify import read_message
from inboxops.stories.mailfiles import Source, mails, spread

_LOOKED_AT = 300  # mails that tell whose mailbox it is
_HEAD = 16_384  # bytes of each
_FOR = re.compile(rb"^(Delivered-To|X-Original-To|To):[ \t]*([^\r\n]{1,2000})", re.IGNORECASE | re.MULTILINE)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_REOPEN_DAYS = 36_500  # nothing is closed here


@dataclass(frozen=True, slots=True)
class Read:
    """A mail as the plan takes it, or why it can't be read."""

    source: Source
    item: Item | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """tickets: subject, customer, messages (path, verdict, placed_by). aside: path, state, reason. own: whose mailbox it is."""

    tickets: list[dict[str, Any]]
    aside: list[dict[str, Any]]
    own: frozenset[str]


def rehearse(
    paths: Sequence[Path],
    *,
    agents: frozenset[str] = frozenset(),
    own: frozenset[str] = frozenset(),
    mail_rules: RuleSet = NO_RULES,
) -> Rehearsal:
    """What mails in files, folders, Maildirs and mboxes would have become, oldest first.

    agents: addresses and domains of the desk's people. own: addresses of the mailbox; when none is given, whom most mail is for.
    mail_rules: the tenant's.
    Raises InvalidInput for a path that does not exist.
    """
    own = own or _owner(paths)
    context = InboxContext(0, 0, next(iter(sorted(own)), ""), own_addresses=own, agents=agents, mail_rules=mail_rules)
    reads = list(spread(mails(paths), partial(_read, context)))
    items = [_numbered(read.item, number) for number, read in enumerate(reads, start=1) if read.item is not None]
    items.sort(key=lambda item: item.received_at)
    facts = Facts(now=datetime.now(UTC), reopen_days=_REOPEN_DAYS, own_addresses=own, agents=agents)
    return _told(reads, {item.inbound_id: item for item in items}, plan(items, facts), own)


def run(
    paths: list[Path],
    *,
    json: bool,
    agents: frozenset[str],
    own: frozenset[str],
    mail_rules: RuleSet = NO_RULES,
) -> int:
    """Write the rehearsal to standard output. Returns the exit code."""
    found = rehearse(paths, agents=agents, own=own, mail_rules=mail_rules)
    if json:
        import msgspec

        said = {"tickets": found.tickets, "aside": found.aside, "own": sorted(found.own)}
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
    else:
        sys.stdout.writelines(_sentences(found))
    return 0


def _owner(paths: Iterable[Path]) -> frozenset[str]:
    """Whom most mail is for: as mailboxes note it (Delivered-To), else as it is addressed."""
    delivered, addressed = Counter[str](), Counter[str]()
    looked_at = 0
    for source in islice(mails(paths), _LOOKED_AT):
        looked_at += 1
        found: dict[bool, set[str]] = {True: set(), False: set()}
        for name, value in _FOR.findall(source.read()[:_HEAD].partition(b"\n\n")[0]):
            people = headers.addresses(value.decode("utf-8", "replace"))
            found[name.lower() == b"to"] |= {one.address.lower() for one in people if "@" in one.address}
        addressed.update(found[True])
        delivered.update(found[False])
    for counted in (delivered, addressed):
        if counted and counted.most_common(1)[0][1] * 2 > looked_at:
            return frozenset({counted.most_common(1)[0][0]})
    return frozenset()


def _read(context: InboxContext, source: Source) -> Read:
    try:
        raw = source.read()
        reading = read_message(parse(raw), context, provider_thread_id=None, size_bytes=len(raw))
    except Exception as exc:  # noqa: BLE001 - the guard of one message, as in `stories.classify`
        return Read(source, None, f"reading it failed: {type(exc).__name__}: {exc}")
    item = Item(
        inbound_id=0,
        message_id=0,
        received_at=reading.date or _LONG_AGO,
        imported=True,
        released=False,
        provider_thread_id=None,
        reading=reading,
    )
    return Read(source, item)


def _numbered(item: Item, number: int) -> Item:
    return replace(item, inbound_id=number, message_id=number)


def _told(reads: Sequence[Read], items: dict[int, Item], planned: Plan, own: frozenset[str]) -> Rehearsal:
    filed = {message.inbound_id: message for message in planned.messages}
    outcomes = {outcome.inbound_id: outcome for outcome in planned.outcomes}
    on: dict[int, list[dict[str, Any]]] = defaultdict(list)
    written_by: dict[int, set[str]] = defaultdict(set)
    aside: list[dict[str, Any]] = []
    for number, read in enumerate(reads, start=1):
        if read.item is None:
            aside.append({"path": read.source.shown, "state": "parked", "reason": read.error})
        elif (message := filed.get(number)) is not None:
            reading = items[number].reading
            written_by[message.ticket].add(reading.sender.address.lower())
            on[message.ticket].append(
                {
                    "path": read.source.shown,
                    "verdict": reading.verdict.kind.value,
                    "placed_by": message.placed_by,
                    "at": items[number].received_at,
                }
            )
        else:
            aside.append(
                {"path": read.source.shown, "state": outcomes[number].state, "reason": outcomes[number].reason}
            )
    tickets = []
    for ticket in planned.tickets:
        messages = sorted(on[ticket.handle], key=lambda message: message.pop("at"))
        if own and written_by[ticket.handle] <= own:
            reason = "the mailbox itself wrote it, and nobody answered"
            aside += [{"path": message["path"], "state": "own", "reason": reason} for message in messages]
            continue
        tickets.append({"subject": ticket.subject, "customer": ticket.requester_address, "messages": messages})
    return Rehearsal(tickets, aside, own)


def _sentences(found: Rehearsal) -> Iterator[str]:
    """For a person: a line a ticket and a line a mail."""
    for number, ticket in enumerate(found.tickets, start=1):
        yield f"#{number}  {printable(ticket['subject']) or '(no subject)'}  from {printable(ticket['customer']) or 'nobody'}\n"
        for message in ticket["messages"]:
            yield f"      {message['verdict']}, {message['placed_by']}: {printable(message['path'])}\n"
    if found.aside:
        yield "\nset aside\n"
        for one in found.aside:
            yield f"      {one['state']}, {printable(one['reason'])}: {printable(one['path'])}\n"
    states = Counter(one["state"] for one in found.aside)
    mails_filed = sum(len(ticket["messages"]) for ticket in found.tickets)
    told = ", ".join(f"{count} {state}" for state, count in states.most_common()) or "none"
    owner = f" of {', '.join(sorted(found.own))}" if found.own else ""
    yield f"\n{mails_filed + len(found.aside)} mails{owner}: {len(found.tickets)} tickets; set aside: {told}\n"
