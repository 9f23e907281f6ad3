"""Where the reading of an API mailbox stands, and how its messages are put together into batches.

Gmail, Graph and JMAP number changes, not messages, so a first sync and a rescan have two parts: a stretch of older mail,
imported by date, and then everything behind a token that was taken before the stretch was listed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from urllib.parse import parse_qs

from inboxops.core.model import Batch, Cursor, RawMessage
from inboxops.ports import FetchLimits


@dataclass(frozen=True, slots=True)
class Place:
    """`token` is the provider's own. As text, what is ours stands behind a `#`, which no provider has in its
    tokens (JMAP's are quoted).

    importing: first and last millisecond (since the epoch) of the older mail that is not durable yet, None when all is.
    taken: marks of messages of the page behind `token` that are durable already, when a batch ended within a page.
    """

    token: str
    importing: tuple[int, int] | None = None
    taken: frozenset[str] = frozenset()

    def __str__(self) -> str:
        ours = []
        if self.importing:
            ours.append(f"import={self.importing[0]}-{self.importing[1]}")
        if self.taken:
            ours.append(f"taken={'.'.join(sorted(self.taken))}")
        return "#".join([self.token, *(["&".join(ours)] if ours else [])])

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """None for an inbox that was never read."""
        if not text:
            return None
        token, _, fragment = text.partition("#")
        ours = parse_qs(fragment)
        importing = None
        if "import" in ours:
            first, _, last = ours["import"][0].partition("-")
            importing = int(first), int(last)
        return cls(token, importing, frozenset(".".join(ours.get("taken", [])).split(".")) - {""})


def mark(message_key: str) -> str:
    """A message's mark in `Place.taken`."""
    return hashlib.sha256(message_key.encode()).hexdigest()[:12]


def milliseconds(moment: datetime) -> int:
    """Since the epoch, as `Place.importing` has them."""
    return round(moment.timestamp() * 1000)


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def delta_cursor(text: str) -> Cursor:
    """The cursor of a provider that keeps its place as a token."""
    return Cursor(delta_token=text)


@dataclass(frozen=True, slots=True)
class Step:
    """One message, or None for one that is not (or no longer) to be read, and the place once it is durable."""

    message: RawMessage | None
    place: Place


def batched(
    steps: Iterable[Step], limits: FetchLimits, *, start: Place | None, note: str, cursor: Callable[[str], Cursor]
) -> Iterator[Batch]:
    """Steps in bounded batches. The last one may hold no message and only move the cursor."""
    messages: list[RawMessage] = []
    size_bytes, reached, stored = 0, start, start

    def batch() -> Batch:
        nonlocal messages, size_bytes, stored, note
        made = Batch(tuple(messages), cursor(str(reached)), note)
        messages, size_bytes, stored, note = [], 0, reached, ""
        return made

    for step in steps:
        weight = len(step.message.raw or b"") if step.message else 0
        if messages and size_bytes + weight > limits.batch_bytes:
            yield batch()
        if step.message:
            messages.append(step.message)
            size_bytes += weight
        reached = step.place
        if len(messages) >= limits.batch_messages:
            yield batch()
    if messages or reached != stored or note:
        yield batch()
