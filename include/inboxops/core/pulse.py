"""The pulse: once a minute something goes the whole way of a mail and leaves its time. Here is what its lateness means.

Heartbeats of single processes can't tell: a scheduler's heart beats while its executor hands no task to anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

EVERY_SECONDS = 60
LATE_SECONDS = 80.0
"""Without a beat for so long, something stands still: a minute, and what a busy machine may take."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """The last beat. due_at: when its run should have begun; began_at: when its task did; beat_at: when the database had it.

    objects, events: "" when the object store and the event bus answered, else what they said.
    """

    due_at: datetime
    began_at: datetime
    beat_at: datetime
    objects: str = ""
    events: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """How the pulse is: `well`, and in words; `seconds` since the last beat, None before the first."""

    well: bool
    said: str
    seconds: float | None
    stalled: bool = False  # no task runs, so whoever can restart the scheduler should


def state(pulse: Pulse | None, *, now: datetime) -> State:
    """Names the hop that keeps it: the scheduler and its executor, the object store, the event bus."""
    if pulse is None:
        # Not stalled: a scheduler that has only just started is not started anew.
        return State(
            False, "no beat yet: no task has run since this was installed; at the start that takes a minute", None
        )
    seconds = max(0.0, (now - pulse.beat_at).total_seconds())
    if seconds > LATE_SECONDS:
        said = f"late: no task has run for {seconds:.0f} s, so the scheduler, its executor or the workers stand still"
        return State(False, said, seconds, stalled=True)
    for name, said in (("object store", pulse.objects), ("event bus", pulse.events)):
        if said:
            return State(False, f"the {name} does not answer: {said}", seconds)
    waited = (pulse.began_at - pulse.due_at).total_seconds()
    slow = f", {waited:.0f} s behind its time" if waited > EVERY_SECONDS / 2 else ""
    return State(True, f"a task ran {seconds:.0f} s ago{slow}", seconds)
