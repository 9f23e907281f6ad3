"""Notify: a tenant's admins are told once what began and once that it is over, each by the ways that they chose.

What is wrong is looked at as it stands, not counted event by event: a crash or two runs at once tell nothing twice, and what
came and went between two looks is told to nobody. What one look finds goes out as one message a channel.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from inboxops.core.compose import wire_address
from inboxops.core.notices import KINDS, Delivery
from inboxops.errors import Conflict, InboxOpsError, InvalidInput

AT_ONCE = 8
CHANNEL_SECONDS = 60.0
"""How long one channel is told things in a run before the others of its notices wait for the next."""


class Board(Protocol):
    """What notify asks of the database."""

    def look(self) -> int:
        """Open and close notices as things stand, and put what is to be told into the outbox; how many notices changed."""
        ...

    def claim(self) -> list[Delivery]: ...

    def delivered(self, delivery_id: int) -> None: ...

    def not_delivered(self, delivery_id: int, error: str) -> None:
        """Kept for a later try, or given up after some days."""
        ...


class Channels(Protocol):
    def add_channel(
        self, tenant_id: int, *, way: str, target: str, secret: bytes | None, kinds: Sequence[str]
    ) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Notified:
    changed: int
    delivered: int
    kept: int


def tell(tenant_id: int, channels: Channels, *, mail: str, url: str, sealed: bytes | None, kinds: Sequence[str]) -> int:
    """Tell an address or a URL of these kinds from now on; the channel's id. Raises InvalidInput and Conflict."""
    unknown = sorted(set(kinds) - KINDS.keys())
    if unknown or not kinds:
        raise InvalidInput(f"unknown kinds: {', '.join(unknown) or 'none given'}", fix=f"Known: {', '.join(KINDS)}")
    way, target = ("mail", wire_address(mail)) if mail else ("webhook", url)
    channel = channels.add_channel(tenant_id, way=way, target=target, secret=sealed, kinds=kinds)
    if channel is None:
        raise Conflict(f"{target} is told already", fix="`inboxops notify list` shows it")
    return channel


def notify(board: Board, ways: Mapping[str, Callable[[Delivery], None]]) -> Notified:
    """Look, then deliver what is due, to several channels at a time and to each in order.

    A channel that fails or is slow holds up no other, and all end long before the claim does. What it did not take is tried again
    with growing pauses, and so is what stood behind that.
    """
    changed = board.look()
    queues: dict[tuple[str, str, str], list[Delivery]] = {}
    for delivery in board.claim():
        queues.setdefault((delivery.tenant, delivery.way, delivery.target), []).append(delivery)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="notice") as threads:
        telling = [threads.submit(_tell, board, ways[way], queue) for (_, way, _), queue in queues.items()]
    told = [each.result() for each in telling]
    return Notified(changed, sum(delivered for delivered, _ in told), sum(kept for _, kept in told))


def _tell(board: Board, way: Callable[[Delivery], None], queue: Sequence[Delivery]) -> tuple[int, int]:
    """How many deliveries of one channel were taken, and how many were not. Each is noted before the next, so that none is told
    again because a later one fails."""
    delivered = kept = 0
    error, until = "", time.monotonic() + CHANNEL_SECONDS
    for delivery in queue:
        if not error and time.monotonic() > until:
            error = "it is slow: the next ones wait"
        if not error:
            try:
                way(delivery)
            except InboxOpsError as exc:
                error = str(exc)
            except Exception as exc:  # the per-channel guard: whatever is wrong with one keeps nothing from the others
                error = f"{type(exc).__name__}: {exc}"[:500]
        if error:
            board.not_delivered(delivery.id, error)
            kept += 1
        else:
            board.delivered(delivery.id)
            delivered += 1
    return delivered, kept
