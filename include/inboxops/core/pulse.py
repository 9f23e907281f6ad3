"""The pulse: once a minute something goes the whole way of a mail and leaves its time. Here is what its lateness means.

Something else runs in the triggerer alone, where polls by the clock begin, and leaves its time beside it. So does the drain, which
lets out what a crash or an outage kept in, and stands in another file than the pulse.

Heartbeats of single processes can't tell: a scheduler's heart beats while its executor hands no task to anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

EVERY_SECONDS = 60
LATE_SECONDS = 80.0
"""Without a beat for so long, something stands still: a minute, and what a busy machine may take."""
DRAIN_SECONDS = 300.0
"""Without a drain that did what all wait for, for so long, none runs, or none gets to that; each minute one is due."""
CLOCK_SECONDS = 5.0
"""What a clock is put right by while it runs; a beat that lies further ahead of it tells nothing."""
APART_SECONDS = 30.0
"""Clocks of two hosts that are further apart keep Airflow's runs from their time: it compares the one with the other."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """The last beat. due_at: when its run should have begun; began_at: when its task did.

    objects, events: "" when the object store and the event bus answered, else what they said. age_seconds: since the database
    had it, by the database's clock, the only one that all hosts share; below 0 when that clock was put back. took_seconds: from
    `began_at`, by the clock of the host that ran the task, until the database had it, by the database's. triggered_seconds: since
    something last ran in the triggerer, None before the first; drained_seconds: since the drain last came to its end, or the
    cell began to beat, None where it is of a version that does not say.
    """

    due_at: datetime
    began_at: datetime
    objects: str = ""
    events: str = ""
    age_seconds: float = 0.0
    took_seconds: float = 0.0
    triggered_seconds: float | None = None
    drained_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """How the pulse is: `well`, and in words; `seconds` since the last beat, None before the first."""

    well: bool
    said: str
    seconds: float | None
    stalled: bool = False  # no task runs, so whoever can restart the scheduler should
    triggerer_late: bool = False  # tasks run, and nothing does in the triggerer: whoever can restart that should


def state(pulse: Pulse | None) -> State:
    """Names the hop that keeps it: the scheduler and its executor, the triggerer, the object store, the event bus, the drain."""
    if pulse is None:
        # Not stalled: a scheduler that has only just started is not started anew.
        return State(
            False, "no beat yet: no task has run since this was installed; at the start that takes a minute", None
        )
    if pulse.age_seconds < -CLOCK_SECONDS:
        # Not stalled either: what waits for a moment that is ahead again is not hurried by a new scheduler.
        ahead = f"the clock was put back: the last beat is {-pulse.age_seconds:.0f} s ahead of it"
        return State(False, f"{ahead}, and runs by the clock wait until then", None)
    seconds = max(0.0, pulse.age_seconds)
    if seconds > LATE_SECONDS:
        said = f"late: no task has run for {seconds:.0f} s, so the scheduler, its executor or the workers stand still"
        return State(False, said, seconds, stalled=True)
    waited = (pulse.began_at - pulse.due_at).total_seconds()
    # Behind its time, tasks have only just begun to run again, and so have triggers.
    if waited <= EVERY_SECONDS / 2 and (pulse.triggered_seconds or 0.0) > LATE_SECONDS:
        said = f"late: nothing has run in the triggerer for {pulse.triggered_seconds:.0f} s, so no poll by the clock begins"
        return State(False, said, seconds, triggerer_late=True)
    for name, said in (("object store", pulse.objects), ("event bus", pulse.events)):
        if said:
            return State(False, f"the {name} does not answer: {said}", seconds)
    if (pulse.drained_seconds or 0.0) > DRAIN_SECONDS:
        said = (
            f"late: no `drain_outbox` has ended for {pulse.drained_seconds:.0f} s, so what waits does not leave:"
            " is dags/inboxes.py read, and what does its run say?"
        )
        return State(False, said, seconds)
    if not -APART_SECONDS < pulse.took_seconds < EVERY_SECONDS + APART_SECONDS:
        where = "behind" if pulse.took_seconds > 0 else "ahead of"
        apart = f"the clock of the host that runs tasks is {abs(pulse.took_seconds):.0f} s {where} the database's"
        return State(False, f"{apart}, so runs don't begin at their time: set both by NTP", seconds)
    slow = f", {waited:.0f} s behind its time" if waited > EVERY_SECONDS / 2 else ""
    return State(True, f"a task ran {seconds:.0f} s ago{slow}", seconds)
