"""Rehearse: what a mailbox's last days would become, told by the same reading, rules and plan, and nothing written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from inboxops.core.inbox import Inbox
from inboxops.core.mime import parse
from inboxops.core.model import Cursor, InboxContext, RawMessage
from inboxops.core.plan import Facts, Item, Plan, plan
from inboxops.errors import InboxOpsError
from inboxops.ports import Account, FetchLimits, Provider
from inboxops.stories.classify import read_message


class Knowledge(Protocol):
    def facts(self, inbox: Inbox, items: Sequence[Item], *, own_addresses: frozenset[str]) -> Facts: ...


@dataclass(frozen=True, slots=True)
class Scene:
    """What one message would become. outcome: "new ticket", "reply", "note", or the state it would be listed under."""

    received_at: datetime
    sender: str
    subject: str
    verdict: str
    rule: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Every message, in the provider's order, and how many there are of each outcome. note: what the provider said of it."""

    scenes: tuple[Scene, ...]
    outcomes: dict[str, int]
    note: str


def rehearse(
    inbox: Inbox,
    account: Account,
    provider: Provider,
    context: InboxContext,
    knowledge: Knowledge,
    *,
    days: int,
    most: int,
) -> Rehearsal:
    """Read the mailbox's last `days`, at most `most` messages, as a first sync would; the inbox's cursor is not looked at.

    Raises the provider's errors. Memory holds one batch of mail at a time.
    """
    items: list[Item] = []
    scenes: list[Scene] = []
    notes: list[str] = []
    limits = FetchLimits(first_sync_days=days, first_sync_messages=most)
    with provider.open(account) as mailbox:
        for batch in mailbox.batches(Cursor(), limits):
            notes += filter(None, [batch.note])
            for message in batch.messages:
                read = _read(message, len(items) + 1, context)
                if isinstance(read, Scene):
                    scenes.append(read)
                else:
                    items.append(read)
    planned = plan(items, knowledge.facts(inbox, items, own_addresses=context.own_addresses))
    scenes += _scenes(items, planned)
    scenes.sort(key=lambda scene: scene.received_at)
    return Rehearsal(tuple(scenes), dict(Counter(scene.outcome for scene in scenes)), "; ".join(notes))


def _read(message: RawMessage, number: int, context: InboxContext) -> Item | Scene:
    """The message as the plan takes it, or what becomes of one that it never sees. Ids are negative: no row has them."""
    if message.raw is None:
        return Scene(message.received_at, "", message.key, "", "", "refused", message.refusal)
    try:
        parsed = parse(message.raw, received_at=message.received_at, trusted_authserv_ids=context.trusted_authserv_ids)
        here = replace(context, in_spam_folder=message.in_spam_folder, received_at=message.received_at)
        reading = read_message(parsed, here, provider_thread_id=message.thread_id, size_bytes=message.size_bytes)
    except InboxOpsError:
        raise
    except Exception as exc:  # the per-message guard of `classify`, rehearsed
        reason = f"reading it failed: {type(exc).__name__}: {exc}"[:1000]
        return Scene(message.received_at, "", message.key, "", "", "parked", reason)
    return Item(
        inbound_id=-number,
        message_id=-number,
        received_at=message.received_at,
        imported=True,
        released=False,
        provider_thread_id=message.thread_id,
        reading=reading,
    )


def _scenes(items: Sequence[Item], planned: Plan) -> Iterator[Scene]:
    opened_by = {ticket.opened_by for ticket in planned.tickets}
    filed = {message.inbound_id: message for message in planned.messages}
    outcomes = {outcome.inbound_id: outcome for outcome in planned.outcomes}
    for item in items:
        verdict, end = item.reading.verdict, outcomes[item.inbound_id]
        outcome, reason = end.state, end.reason
        if item.inbound_id in filed:
            note = filed[item.inbound_id].type == "note"
            outcome = "new ticket" if item.inbound_id in opened_by else "note" if note else "reply"
            reason = filed[item.inbound_id].placed_by
        yield Scene(
            received_at=item.received_at,
            sender=item.reading.sender.address,
            subject=item.reading.subject,
            verdict=verdict.kind.value,
            rule=verdict.rule,
            outcome=outcome,
            reason=reason,
        )
