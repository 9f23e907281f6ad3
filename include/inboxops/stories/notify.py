"""Notify: a tenant's admins are told once what began and once that it is over, each by the ways that they chose.

What is wrong is looked at as it stands, not counted event by event: a crash or two runs at once tell nothing twice, and what
came and went between two looks is told to nobody. What one look finds goes out as one message a channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from inboxops.core.compose import wire_address
from inboxops.core.notices import KINDS, Delivery
from inboxops.errors import Conflict, InboxOpsError, InvalidInput


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
    if not mail and not url.startswith(("https://", "http://")):
        raise InvalidInput(f"{url!r} is no URL of a webhook", fix="It begins with https://")
    way, target = ("mail", wire_address(mail)) if mail else ("webhook", url)
    channel = channels.add_channel(tenant_id, way=way, target=target, secret=sealed, kinds=kinds)
    if channel is None:
        raise Conflict(f"{target} is told already", fix="`inboxops notify list` shows it")
    return channel


def notify(board: Board, ways: Mapping[str, Callable[[Delivery], None]]) -> Notified:
    """Look, then deliver what is due. A channel that fails stops no other and is tried again with growing pauses."""
    changed = board.look()
    delivered = kept = 0
    for delivery in board.claim():
        try:
            ways[delivery.way](delivery)
        except InboxOpsError as exc:
            board.not_delivered(delivery.id, str(exc))
            kept += 1
            continue
        board.delivered(delivery.id)
        delivered += 1
    return Notified(changed, delivered, kept)
