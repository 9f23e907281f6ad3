"""Cells: a tenant belongs to one, and the Airflow of that cell works for it. Here is how several stand, as one installation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from inboxops.core import looking, pulse

MAIN = "main"
"""The cell of an installation that has one."""

MOVING = "(moving)"
"""In place of a cell's name while a tenant is on its way to another database (ADR 19): no cell can be called so."""


def valid_cell(name: str) -> bool:
    """Whether a cell may be called so; the table of tenants asks the same."""
    return re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", name) is not None


@dataclass(frozen=True, slots=True)
class Cell:
    """What the database knows of one. beat: its last one, None before the first. looked: inboxes looked at without a run;
    overdue: seconds that the most overdue of these looks waits, 0 when none does.
    """

    name: str
    tenants: int
    inboxes: int
    beat: pulse.Pulse | None
    looked: int
    overdue: float

    @property
    def beats(self) -> pulse.State:
        return pulse.state(self.beat)

    @property
    def looks(self) -> looking.Standing:
        return looking.standing(self.looked, self.overdue)


def cell(
    *,
    cell: str,
    tenants: int,
    inboxes: int,
    due_at: datetime | None,
    began_at: datetime | None,
    objects: str | None,
    events: str | None,
    age_seconds: float | None,
    took_seconds: float | None,
    looked: int,
    overdue: float,
    triggered_seconds: float | None = None,
    drained_seconds: float | None = None,
) -> Cell:
    """From a row of the statement `cells`."""
    beat = None
    if due_at is not None and began_at is not None:
        ages = age_seconds or 0.0, took_seconds or 0.0, triggered_seconds, drained_seconds
        beat = pulse.Pulse(due_at, began_at, objects or "", events or "", *ages)
    return Cell(cell, tenants, inboxes, beat, looked, overdue)


def that_count(cells: Iterable[Cell], own: str) -> list[Cell]:
    """Those in which mail could stand still: with tenants; where no cell has one, all that there are.

    own: the cell of who asks, which stands for an installation in which nothing has happened yet.
    """
    known = list(cells)
    return [each for each in known if each.tenants] or known or [Cell(own, 0, 0, None, 0, 0.0)]


def pulse_of(cells: Iterable[Cell], own: str) -> pulse.State:
    """The pulse of them all: one that stands still is named, however well the others are."""
    states = {each.name: each.beats for each in that_count(cells, own)}
    if len(states) == 1:
        return next(iter(states.values()))
    if wrong := {name: state for name, state in states.items() if not state.well}:
        ages = [state.seconds for state in wrong.values() if state.seconds is not None]
        return pulse.State(
            False,
            _each(wrong),
            max(ages, default=None),
            stalled=any(state.stalled for state in wrong.values()),
            triggerer_late=any(state.triggerer_late for state in wrong.values()),
        )
    name, last = max(states.items(), key=lambda one: one[1].seconds or 0.0)
    return pulse.State(True, f"{last.said} (cell {name}, the last of {len(states)})", last.seconds)


def looks_of(cells: Iterable[Cell], own: str) -> looking.Standing:
    """Whether looks are in time in all of them."""
    known = that_count(cells, own)
    found = looking.standing(sum(each.looked for each in known), max(each.overdue for each in known))
    if found.well or len(known) == 1:
        return found
    wrong = {each.name: each.looks for each in known if not each.looks.well}
    return looking.Standing(False, _each(wrong), found.overdue)


def _each(wrong: Mapping[str, pulse.State | looking.Standing]) -> str:
    return "; ".join(f"{state.said} (cell {name})" for name, state in wrong.items())
