"""Pulse: what a mail needs of the world is asked once, and when that was is kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from inboxops.core.pulse import Pulse
from inboxops.errors import InboxOpsError

PULSE_KEY = "pulse"
"""The one small object that is written and read each time."""


class Objects(Protocol):
    """What the pulse asks of the object store."""

    def put(self, key: str, content: bytes, *, content_type: str, file_name: str = "") -> None: ...

    def get(self, key: str) -> bytes: ...


class Bus(Protocol):
    """What the pulse asks of the event bus."""

    def ping(self) -> None: ...


class Heart(Protocol):
    """Where the last beat is kept."""

    def beat(self, pulse: Pulse) -> None: ...


def pulse(heart: Heart, objects: Objects, bus: Bus, *, due_at: datetime, clock: Callable[[], datetime]) -> Pulse:
    """One beat. An object store or an event bus that is away is noted and stops nothing.

    Raises the database's errors: then there is no beat, which says so, too.
    """
    began_at = clock()
    told = Pulse(due_at, began_at, _asked(lambda: _round_trip(objects, began_at)), _asked(bus.ping))
    heart.beat(told)
    return told


def _round_trip(objects: Objects, now: datetime) -> None:
    content = now.isoformat().encode()
    objects.put(PULSE_KEY, content, content_type="text/plain")
    objects.get(PULSE_KEY)


def _asked(question: Callable[[], None]) -> str:
    try:
        question()
    except InboxOpsError as exc:
        return str(exc)
    return ""
