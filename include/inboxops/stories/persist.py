"""Persist: classified messages become tickets, notes, linked bounces and lists; a bad one never holds the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
        in_order: bool,
    ) -> Slice: ...

    def next_classified(self, inbox_id: int, *, after: int) -> int | None: ...


class Parking(Protocol):
    def park(self, inbound_id: int, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Persisted:
    """Counts: final states of inbound rows, and tickets opened."""

    tickets: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: Persisted) -> Persisted:
        return Persisted(self.tickets + other.tickets, dict(Counter(self.outcomes) + Counter(other.outcomes)))


def persist(filing: Filing, *, in_time: Callable[[], bool] = lambda: True) -> Persisted:
    """Work through all rows of the inbox in state `classified`, or those that there is time for.

    Raises what `Filing.slice` raises.
    """
    done = filing.slice()
    while filing.more and in_time():
        done += filing.slice()
    filing.close()
    log.info("persist_ended", tickets=done.tickets, **done.outcomes)
    return done


class Filing:
    """Files an inbox's rows in state `classified`, one slice after the other.

    show: an address as the log may hold it. filed: called after each slice that is committed. in_order: no row that came behind
    one which is still to be read, so that mail is filed in the order it came, however it is read.
    """

    def __init__(
        self,
        inbox: Inbox,
        tickets: Tickets,
        parking: Parking,
        *,
        own_addresses: frozenset[str],
        show: Callable[[str], str],
        respond: Callable[..., NewOutbound | None] | None = None,
        filed: Callable[[], object] = lambda: None,
        in_order: bool = False,
    ) -> None:
        self._inbox, self._tickets, self._parking = inbox, tickets, parking
        self._own_addresses, self._respond, self._filed, self._in_order = own_addresses, respond, filed, in_order
        self._told = _Told(show)
        self._after, self._size, self._singles = 0, SLICE, 0
        self.more = False
        """Whether the last slice was a full one, so that more may be there at once."""

    def slice(self) -> Persisted:
        """The next rows, as many as there are up to a bound.

        A slice that fails is done again one message at a time, and the message that fails alone is parked with the reason.
        Raises TransientError when the database is away: nothing of the slice is written.
        """
        size, self.more = self._size, True
        # Asked before: behind a failure another run may have parked it, and the next one is not what failed.
        alone = self._tickets.next_classified(self._inbox.id, after=self._after) if size == 1 else None
        try:
            done = self._tickets.persist(
                self._inbox,
                plan,
                respond=self._respond,
                own_addresses=self._own_addresses,
                after=self._after,
                limit=size,
                in_order=self._in_order,
            )
        except InboxOpsError:
            raise
        except Exception as exc:  # the per-message guard: find the one that fails, keep it with the reason
            if size > 1:
                self._size, self._singles = 1, SLICE
                return Persisted()
            settled = self._parked(alone, exc)
        else:
            self.more = len(done.items) == size
            settled = self._settled(done)
        self._singles -= 1
        if self._singles <= 0:
            self._size = SLICE
        return settled

    def close(self) -> None:
        """Say how many messages the log did not tell of."""
        self._told.close()

    def _settled(self, done: Slice) -> Persisted:
        if not done.items:
            return Persisted()
        self._filed()
        self._after = done.items[-1].inbound_id
        self._told.slice(done)
        outcomes = Counter(outcome.state for outcome in done.plan.outcomes)
        return Persisted(len(done.plan.tickets), dict(outcomes))

    def _parked(self, failed: int | None, exc: Exception) -> Persisted:
        if failed is None:
            raise exc
        reason = f"filing it failed: {type(exc).__name__}: {exc}"[:1000]
        self._parking.park(failed, reason)
        tell_parked(failed, reason)
        self._filed()
        self._after = failed
        return Persisted(outcomes={"parked": 1})


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
