"""Housekeep: rows past their retention go, and then objects that no row names any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Protocol

from inboxops.core.keys import may_be_written_again

YOUNG = timedelta(days=1)
"""An object may wait for its row: a batch for the commit behind it, an upload for its message. None waits for a day."""

_KEYS_AT_ONCE = 500


class Rows(Protocol):
    def forget_listed(self, *, days: int) -> int: ...

    def forget_uploads(self, *, days: int) -> int: ...

    def forget_sessions(self) -> int: ...

    def sweep(self, keys: Sequence[str], delete: Callable[[Sequence[str]], None]) -> int: ...


class Delivered(Protocol):
    def clean(self, *, days: int) -> int: ...


class Replays(Protocol):
    def forget(self, *, days: int) -> int: ...


class Canaries(Protocol):
    def forget(self, *, days: int) -> int: ...


class Objects(Protocol):
    def written_before(self, moment: datetime) -> Iterator[str]: ...

    def delete(self, keys: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Retention:
    """Days that things are kept after they came to their end."""

    listed_days: int
    outbox_days: int
    replay_days: int
    upload_days: int = 2
    canary_days: int = 30


@dataclass(frozen=True, slots=True)
class Housekept:
    """How many of each were deleted. skipped: why nothing was to be done here."""

    listed: int = 0
    uploads: int = 0
    outbox: int = 0
    replays: int = 0
    canaries: int = 0
    sessions: int = 0
    orphaned_objects: int = 0
    skipped: str = ""


def housekeep(
    rows: Rows,
    outbox: Delivered,
    replays: Replays,
    canaries: Canaries,
    objects: Objects,
    retention: Retention,
    *,
    now: datetime,
) -> Housekept:
    """Raises TransientError when the database or the object store is away; what was done until then stays done."""
    listed = rows.forget_listed(days=retention.listed_days)
    uploads = rows.forget_uploads(days=retention.upload_days)
    delivered = outbox.clean(days=retention.outbox_days)
    forgotten = replays.forget(days=retention.replay_days)  # before the objects that only they keep
    flown = canaries.forget(days=retention.canary_days)
    ended = rows.forget_sessions()
    old = (key for key in objects.written_before(now - YOUNG) if not may_be_written_again(key, today=now.date()))
    orphaned = 0
    while keys := list(islice(old, _KEYS_AT_ONCE)):
        orphaned += rows.sweep(keys, objects.delete)
    return Housekept(listed, uploads, delivered, forgotten, flown, ended, orphaned)
