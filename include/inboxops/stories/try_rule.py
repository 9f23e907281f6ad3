"""Try: what a mail rule would do to the mail of the last days, read again from the object store; writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from inboxops.core.model import Ruling
from inboxops.core.replay_report import Report
from inboxops.ports import TriedRow
from inboxops.stories.classify import Read
from inboxops.stories.raw_mail import Gets
from inboxops.stories.replay import Comparer, Desk, Stored, in_their_packs, reread

PAGE = 500
EXAMPLES = 10


class TriedMail(Protocol):
    """What a trial asks of the database."""

    def to_try(
        self, tenant_id: int, inbox_ids: Sequence[int], *, days: int, before: tuple[datetime, int] | None, limit: int
    ) -> list[TriedRow]: ...


@dataclass(frozen=True, slots=True)
class Example:
    """One mail that the rule holds for. state, ticket_number: what became of it when it came."""

    inbound_id: int
    received_at: datetime
    inbox: str
    sender: str
    subject: str
    verdict: str
    state: str
    ticket_id: int | None
    ticket_number: int | None
    ruling: Ruling


@dataclass(frozen=True, slots=True)
class Trial:
    """Counts of mails, and the newest examples.

    read: how many were read, down to the time `since` (None: none was there). complete: these were all of the days asked for.
    unreadable: parked or damaged ones, for which no rule can hold. Of those that match, tickets: are mail on a ticket, which a
    rule that sets aside would have kept off; verdicts, states: what they were taken for, and what became of them.
    differences: what would be otherwise on stored mail by the rule, beside whatever differs without it.
    """

    rule: str
    read: int
    unreadable: int
    matched: int
    tickets: int
    verdicts: Mapping[str, int]
    states: Mapping[str, int]
    examples: Sequence[Example]
    since: datetime | None
    complete: bool
    differences: Report


def try_rule(
    name: str,
    desks: Mapping[int, Desk],
    mail: TriedMail,
    stored: Stored,
    objects: Gets,
    *,
    tenant_id: int,
    days: int,
    most: int,
) -> Trial:
    """What the rule of that name does within the rules of the desks, as they stand there, on at most `most` mails, the newest.

    desks: by inbox id, each with its context `without` the rule. Each mail is read once, and memory holds one chunk at a time.
    Raises TransientError when the database or the object store is away.
    """
    read = unreadable = tickets = 0
    verdicts, states = Counter[str](), Counter[str]()
    examples: list[Example] = []
    differences = Report()
    comparer = Comparer(desks, stored, objects)
    before: tuple[datetime, int] | None = None
    while read < most:
        rows = mail.to_try(tenant_id, list(desks), days=days, before=before, limit=min(PAGE, most - read))
        if not rows:
            break
        before = (rows[-1].mail.stored.received_at, rows[-1].mail.stored.id)
        read += len(rows)
        known = {row.mail.stored.id: row for row in rows}
        found: list[Example] = []
        for chunk in in_their_packs([row.mail for row in rows]):
            for inbox_id, reads in reread(chunk, desks, objects, lambda position: None).items():
                desk = desks[inbox_id]
                differences += comparer.compared(desk, reads)
                unreadable += sum(isinstance(one, str) for _, one in reads)
                found += [
                    one for row, each in reads if (one := _tried(name, known[row.stored.id], each, desk.inbox.name))
                ]
        for one in found:
            verdicts[one.verdict] += 1
            states[one.state] += 1
            tickets += one.ticket_id is not None
        found.sort(key=lambda example: (example.received_at, example.inbound_id), reverse=True)
        examples += found[: EXAMPLES - len(examples)]
    complete = read < most or not mail.to_try(tenant_id, list(desks), days=days, before=before, limit=1)
    since = before[0] if before else None
    counts = (read, unreadable, states.total(), tickets, dict(verdicts), dict(states))
    return Trial(name, *counts, examples, since, complete, differences)


def _tried(name: str, row: TriedRow, read: Read | str, inbox: str) -> Example | None:
    """None when the rule does not hold, or the mail can't be read."""
    if isinstance(read, str):
        return None
    reading, stored = read.reading, row.mail.stored
    ruling = next((one for one in reading.rulings if one.rule == name), None)
    if ruling is None:
        return None
    return Example(
        inbound_id=stored.id,
        received_at=stored.received_at,
        inbox=inbox,
        sender=reading.sender.address,
        subject=reading.subject,
        verdict=reading.verdict.kind.value,
        state=row.state,
        ticket_id=row.ticket_id,
        ticket_number=row.ticket_number,
        ruling=ruling,
    )
