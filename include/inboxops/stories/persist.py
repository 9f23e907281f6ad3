"""Persist: classified messages become tickets, notes, linked bounces and lists; a bad one never holds the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from inboxops.core.inbox import Inbox
from inboxops.core.outbound import NewOutbound
from inboxops.core.plan import Facts, Item, Plan, plan
from inboxops.errors import InboxOpsError

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
    ) -> tuple[list[int], Plan]: ...

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
    respond: Callable[..., NewOutbound | None] | None = None,
    filed: Callable[[], None] = lambda: None,
) -> Persisted:
    """Work through all rows of the inbox in state `classified`; `filed` is called after each slice that is committed.

    A slice that fails is done again one message at a time, and the message that fails alone is parked with the reason.
    Raises TransientError when the database is away: nothing of the slice is written.
    """
    outcomes: Counter[str] = Counter()
    opened, after, size, singles = 0, 0, SLICE, 0
    while True:
        try:
            taken, done = tickets.persist(
                inbox, plan, respond=respond, own_addresses=own_addresses, after=after, limit=size
            )
        except InboxOpsError:
            raise
        except Exception as exc:  # the per-message guard: find the one that fails, keep it with the reason
            if size > 1:
                size, singles = 1, SLICE
                continue
            failed = tickets.next_classified(inbox.id, after=after)
            if failed is None:
                raise
            parking.park(failed, f"filing it failed: {type(exc).__name__}: {exc}"[:1000])
            outcomes["parked"] += 1
            taken, done = [failed], Plan()
        if not taken:
            return Persisted(opened, dict(outcomes))
        filed()
        after = taken[-1]
        opened += len(done.tickets)
        outcomes.update(outcome.state for outcome in done.outcomes)
        singles -= 1
        if singles <= 0:
            size = SLICE
