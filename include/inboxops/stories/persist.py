"""Persist: classified messages become tickets, notes, linked bounces and lists; a bad one never holds the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from inboxops.core.inbox import Inbox
from inboxops.core.outbound import NewOutbound
from inboxops.core.plan import Facts, Item, Plan, Slice, plan
from inboxops.errors import InboxOpsError
from inboxops.stories.telling import Telling, log, tell_parked

SLICE = 200


class Tickets(Protocol):
    """What persist asks of the database: take the next rows, plan, write, all in one transaction."""

    def persist(
        self,
        inbox: Inbox,
        make_plan: Callable[[Sequence[Item], Facts], Plan],
        *,
        respond: Callable[..., NewOutbound | None] | None,
        own_addresses: frozenset[str],
        after: int,
        limit: int,
    ) -> Slice: ...

    def next_classified(self, inbox_id: int, *, after: int) -> int | None: ...


class Parking(Protocol):
    def park(self, inbound_id: int, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Persisted:
    """Counts of one run: final states of inbound rows, and tickets opened."""

    tickets: int
    outcomes: dict[str, int]


def persist(
    inbox: Inbox,
    tickets: Tickets,
    parking: Parking,
    *,
    own_addresses: frozenset[str],
    show: Callable[[str], str],
    respond: Callable[..., NewOutbound | None] | None = None,
    filed: Callable[[], None] = lambda: None,
) -> Persisted:
    """Work through all rows of the inbox in state `classified`; `filed` is called after each slice that is committed.

    show: an address as the log may hold it.

    A slice that fails is done again one message at a time, and the message that fails alone is parked with the reason.
    Raises TransientError when the database is away: nothing of the slice is written.
    """
    outcomes: Counter[str] = Counter()
    done: Slice | None
    opened, after, size, singles = 0, 0, SLICE, 0
    told = _Told(show)
    while True:
        try:
            done = tickets.persist(inbox, plan, respond=respond, own_addresses=own_addresses, after=after, limit=size)
        except InboxOpsError:
            raise
        except Exception as exc:  # the per-message guard: find the one that fails, keep it with the reason
            if size > 1:
                size, singles = 1, SLICE
                continue
            failed = tickets.next_classified(inbox.id, after=after)
            if failed is None:
                raise
            reason = f"filing it failed: {type(exc).__name__}: {exc}"[:1000]
            parking.park(failed, reason)
            tell_parked(failed, reason)
            outcomes["parked"] += 1
            after, done = failed, None
        if done is not None and not done.items:
            told.close()
            log.info("persist_ended", tickets=opened, **outcomes)
            return Persisted(opened, dict(outcomes))
        filed()
        if done is not None:
            after = done.items[-1].inbound_id
            opened += len(done.plan.tickets)
            outcomes.update(outcome.state for outcome in done.plan.outcomes)
            told.slice(done)
        singles -= 1
        if singles <= 0:
            size = SLICE


class _Told:
    """What the log says of a message that was filed or set aside."""

    def __init__(self, show: Callable[[str], str]) -> None:
        self._show = show
        self._filed, self._aside = Telling("mail_filed"), Telling("mail_set_aside")

    def slice(self, done: Slice) -> None:
        filed = {message.inbound_id: message for message in done.plan.messages}
        outcomes = {outcome.inbound_id: outcome for outcome in done.plan.outcomes}
        for item in done.items:
            verdict, message = item.reading.verdict, filed.get(item.inbound_id)
            known: dict[str, Any] = {"inbound": item.inbound_id, "verdict": verdict.kind.value, "rule": verdict.rule}
            if item.reading.rulings:
                known["mail_rules"] = ", ".join(f"{one.rule} (version {one.version})" for one in item.reading.rulings)
            if message is None:
                outcome = outcomes[item.inbound_id]
                self._aside(**known, state=outcome.state, why=outcome.reason)
                continue
            customer = item.reading.customer
            self._filed(
                **known,
                ticket=done.numbers.get(message.ticket),
                placed_by=message.placed_by,
                customer=self._show(item.reading.customer_address.address),
                by=customer.rule if customer else "from",
            )

    def close(self) -> None:
        self._filed.close()
        self._aside.close()
