"""How several cells stand, as one installation."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from inboxops.core.cells import Cell, looks_of, pulse_of, valid_cell
from inboxops.core.pulse import Pulse

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def of(name: str, age: float | None = 10, *, tenants: int = 1, overdue: float = 0, looked: int = 5) -> Cell:
    beat = None if age is None else Pulse(NOW, NOW, age_seconds=age)
    return Cell(name, tenants, 5, beat, looked, overdue)


def test_one_cell_speaks_as_an_installation_that_knows_of_none() -> None:
    assert pulse_of([of("main", 10)], "main").said == "a task ran 10 s ago"
    assert looks_of([of("main")], "main").said == "5 inboxes are looked at in time"
    late = looks_of([of("main", overdue=600)], "main")
    assert "(cell" not in late.said


def test_before_anything_happened_there_is_no_beat() -> None:
    found = pulse_of([], "main")
    assert (found.well, found.stalled) == (False, False)
    assert "no beat yet" in found.said


def test_of_several_the_one_that_stands_still_is_named() -> None:
    found = pulse_of([of("a"), of("b", 300), of("c", None)], "a")
    assert (found.well, found.stalled, found.seconds) == (False, True, 300)
    assert "late: no task has run for 300 s" in found.said
    assert "(cell b)" in found.said
    assert "no beat yet" in found.said
    assert "(cell a)" not in found.said


def test_when_all_are_well_the_last_one_is_told() -> None:
    found = pulse_of([of("a", 10), of("b", 40)], "a")
    assert found.well
    assert found.said == "a task ran 40 s ago (cell b, the last of 2)"


def test_a_cell_without_tenants_keeps_no_mail() -> None:
    assert pulse_of([of("a"), of("given-up", 3000, tenants=0)], "a").well
    assert not pulse_of([of("a", 3000, tenants=0)], "a").well, "where no cell has one, all count"


def test_late_looks_are_their_cells() -> None:
    found = looks_of([of("a"), of("b", overdue=600)], "a")
    assert not found.well
    assert "late by 600 s" in found.said
    assert "(cell b)" in found.said
    assert "(cell a)" not in found.said
    assert looks_of([of("a"), of("b")], "a").said == "10 inboxes are looked at in time"


@pytest.mark.parametrize(("name", "valid"), [("main", True), ("eu-2", True), ("", False), ("A", False), ("-a", False)])
def test_names(name: str, valid: bool) -> None:
    assert valid_cell(name) is valid
