"""Try: what a mail rule would do to the mail of the last days, read again from the object store; writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from inboxops.core.case import Case
from inboxops.core.mail_rules.evaluate import judged
from inboxops.core.model import InboxContext, Ruling
from inboxops.errors import InboxOpsError, ObjectMissing
from inboxops.ports import TriedRow
from inboxops.stories.raw_mail import Gets
from inboxops.stories.stored_mail import chunks, frames, parsed

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


def try_rule(
    name: str,
    contexts: Mapping[int, tuple[str, InboxContext]],
    store: TriedMail,
    objects: Gets,
    *,
    tenant_id: int,
    days: int,
    most: int,
) -> Trial:
    """What the rule of that name does within the rules of the contexts, as they stand there, on at most `most` mails, the newest.

    contexts: by inbox id, the inbox's name and what reading its mail has to know. Memory holds one chunk of mail at a time.
    Raises TransientError when the database or the object store is away.
    """
    read = unreadable = tickets = 0
    verdicts, states = Counter[str](), Counter[str]()
    examples: list[Example] = []
    before: tuple[datetime, int] | None = None
    while read < most:
        rows = store.to_try(tenant_id, list(contexts), days=days, before=before, limit=min(PAGE, most - read))
        if not rows:
            break
        before = (rows[-1].stored.received_at, rows[-1].stored.id)
        read += len(rows)
        found: list[Example] = []
        for one in _tried(name, rows, contexts, objects):
            if one is None:
                unreadable += 1
            elif isinstance(one, Example):
                verdicts[one.verdict] += 1
                states[one.state] += 1
                tickets += one.ticket_id is not None
                found.append(one)
        found.sort(key=lambda example: (example.received_at, example.inbound_id), reverse=True)
        examples += found[: EXAMPLES - len(examples)]
    complete = read < most or not store.to_try(tenant_id, list(contexts), days=days, before=before, limit=1)
    since = before[0] if before else None
    return Trial(
        name, read, unreadable, states.total(), tickets, dict(verdicts), dict(states), examples, since, complete
    )


def _tried(
    name: str, rows: Sequence[TriedRow], contexts: Mapping[int, tuple[str, InboxContext]], objects: Gets
) -> Iterator[Example | bool | None]:
    """For each row the example, False when the rule does not hold, None when the mail can't be read."""
    by_id = {row.stored.id: row for row in rows}
    in_their_packs = sorted((row.stored for row in rows), key=lambda stored: (stored.storage_key, stored.offset))
    for chunk in chunks(in_their_packs):
        for frame, stored in frames(chunk, objects):
            yield _tried_one(name, frame, by_id[stored.id], contexts, objects)


def _tried_one(
    name: str, frame: bytes | None, row: TriedRow, contexts: Mapping[int, tuple[str, InboxContext]], objects: Gets
) -> Example | bool | None:
    inbox, context = contexts[row.inbox_id]
    stored = row.stored
    if frame is None:
        return None
    try:
        message = parsed(frame, stored, context, objects)
        here = replace(context, in_spam_folder=stored.in_spam_folder, received_at=stored.received_at)
        found = judged(Case(message, here), size_bytes=stored.size_bytes)
    except ObjectMissing:
        return None
    except InboxOpsError:
        raise
    except Exception:  # the per-message guard of `classify`: such mail is parked, no rule sees it
        return None
    ruling = next((one for one in found.rulings if one.rule == name), None)
    if ruling is None:
        return False
    return Example(
        inbound_id=stored.id,
        received_at=stored.received_at,
        inbox=inbox,
        sender=message.sender.address,
        subject=message.subject,
        verdict=found.verdict.kind.value,
        state=row.state,
        ticket_id=row.ticket_id,
        ticket_number=row.ticket_number,
        ruling=ruling,
    )
