"""Pulse: what a mail needs of the world is asked once, and when that was is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import Protocol

from inboxops.core.pulse import Pulse

PULSE_KEY = "pulse"
"""The one small object that is written and read each time."""

ANSWER_SECONDS = 10.0
"""So long each hop has, both at once: the beat is kept well within the task's 50 s, whatever accepts and is silent."""


class Objects(Protocol):
    """What the pulse asks of the object store."""

    def put(self, key: str, content: bytes, *, content_type: str, file_name: str = "") -> None: ...

    def get(self, key: str) -> bytes: ...


class Bus(Protocol):
    """What the pulse asks of the event bus."""

    def try_out(self) -> None: ...


class Heart(Protocol):
    """Where the last beat is kept."""

    def beat(self, pulse: Pulse) -> None: ...


def pulse(heart: Heart, objects: Objects, bus: Bus, *, due_at: datetime, clock: Callable[[], datetime]) -> Pulse:
    """One beat. An object store or an event bus that is away, or silent, is noted and stops nothing.

    Raises the database's errors: then there is no beat, which says so, too.
    """
    began_at = clock()
    of_objects, of_events = _asked(lambda: _round_trip(objects, began_at)), _asked(bus.try_out)
    told = Pulse(due_at, began_at, of_objects(), of_events())
    heart.beat(told)
    return told


def _round_trip(objects: Objects, now: datetime) -> None:
    content = now.isoformat().encode()
    objects.put(PULSE_KEY, content, content_type="text/plain")
    objects.get(PULSE_KEY)


def _asked(question: Callable[[], None]) -> Callable[[], str]:
    """Ask in a thread, which is left to itself when it takes too long: clients, and the resolver, have patience for minutes."""
    answers: SimpleQueue[str] = SimpleQueue()

    def ask() -> None:
        try:
            question()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is that hop's
            answers.put(str(exc) or type(exc).__name__)
        else:
            answers.put("")

    threading.Thread(target=ask, daemon=True, name="pulse").start()

    def answer() -> str:
        with suppress(Empty):
            return answers.get(timeout=ANSWER_SECONDS)
        return f"no answer in {ANSWER_SECONDS:.0f} s"

    return answer
