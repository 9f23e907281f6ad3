"""Installations that hand tenants to one another: each has a database of its own, and gives out ids of its own range.

A tenant keeps its ids on the way, because they stand in what left the house: in Message-IDs, in the markers of bodies, in keys
of objects, in names of runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

RANGE = 1_000_000_000_000
"""Ids in a range."""

RANGES = 9_000
"""So that every id is exact in JSON as browsers read it, below 2**53 (RFC 8259, section 6)."""


def range_of(id_: int) -> int:
    return id_ // RANGE


def first_of(range_: int) -> int:
    """What the first id of a range follows."""
    return range_ * RANGE


LONG_SECONDS = 900
"""A move takes as long as its objects take; but they are copied before it begins, and what is left then takes minutes."""


@dataclass(frozen=True, slots=True)
class OnItsWay:
    """A tenant for which no Airflow works until it has arrived, in that cell of another installation."""

    slug: str
    to_cell: str
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Moves:
    """well: none stands half-way."""

    well: bool
    said: str


def moves(on_their_way: Sequence[OnItsWay], *, now: datetime) -> Moves:
    if not on_their_way:
        return Moves(True, "no tenant is on its way to another installation")
    said = "; ".join(
        f"{each.slug} on its way to cell {each.to_cell} since {each.began_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        for each in on_their_way
    )
    well = all((now - each.began_at).total_seconds() < LONG_SECONDS for each in on_their_way)
    go_on = "if no command moves it, the same one goes on, `inboxops tenant move NAME --installation FILE`"
    return Moves(well, said if well else f"{said}: {go_on}")
