"""What a pulse tells, and what its lateness means."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from inboxops.core.pulse import DRAIN_SECONDS, LATE_SECONDS, Pulse, state

BEGAN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def beat(seconds_ago: float, *, waited: float = 1, objects: str = "", events: str = "", took: float = 0.1) -> Pulse:
    return Pulse(BEGAN - timedelta(seconds=waited), BEGAN, objects, events, seconds_ago, took)


def test_before_the_first_beat_nobody_can_say_that_mail_moves_and_nothing_is_started_anew() -> None:
    found = state(None)
    assert (found.well, found.stalled, found.seconds) == (False, False, None)
    assert "no task has run" in found.said


@pytest.mark.parametrize(
    ("seconds", "well"), [(1, True), (LATE_SECONDS - 1, True), (LATE_SECONDS + 1, False), (9_999, False)]
)
def test_without_a_beat_for_too_long_no_task_runs(seconds: float, well: bool) -> None:
    found = state(beat(seconds))
    assert (found.well, found.stalled) == (well, not well)
    assert well or "scheduler" in found.said


@pytest.mark.parametrize(("hop", "words"), [("objects", "object store"), ("events", "event bus")])
def test_a_hop_that_does_not_answer_is_named_and_restarts_nothing(hop: str, words: str) -> None:
    found = state(beat(5, **{hop: "connection refused"}))
    assert (found.well, found.stalled) == (False, False)
    assert words in found.said
    assert "connection refused" in found.said


def test_a_triggerer_in_which_nothing_runs_is_named_and_is_not_taken_for_the_scheduler() -> None:
    found = state(replace(beat(5), triggered_seconds=LATE_SECONDS + 1))
    assert (found.well, found.stalled, found.triggerer_late) == (False, False, True)
    assert "triggerer" in found.said
    assert state(replace(beat(5), triggered_seconds=LATE_SECONDS - 1)).well


def test_where_no_task_runs_the_scheduler_alone_is_to_be_started_anew() -> None:
    found = state(replace(beat(LATE_SECONDS + 1), triggered_seconds=LATE_SECONDS + 1))
    assert (found.stalled, found.triggerer_late) == (True, False)


def test_tasks_that_have_only_just_begun_to_run_again_blame_no_triggerer() -> None:
    assert not state(replace(beat(1, waited=70), triggered_seconds=LATE_SECONDS + 1)).triggerer_late


def test_a_drain_that_does_not_come_or_fails_is_named_and_restarts_nothing() -> None:
    found = state(replace(beat(5), drained_seconds=DRAIN_SECONDS + 1))
    assert (found.well, found.stalled, found.triggerer_late) == (False, False, False)
    assert "drain_outbox" in found.said
    assert "dags/inboxes.py" in found.said
    assert state(replace(beat(5), drained_seconds=DRAIN_SECONDS - 1)).well


def test_a_task_that_waited_long_says_so() -> None:
    assert "behind its time" in state(beat(5, waited=45)).said


def test_a_clock_that_is_put_right_while_it_runs_makes_nothing_late() -> None:
    found = state(beat(-2))
    assert (found.well, found.seconds) == (True, 0.0)


def test_a_beat_that_lies_ahead_of_a_clock_that_was_put_back_hides_no_standstill() -> None:
    found = state(beat(-600))
    assert (found.well, found.stalled, found.seconds) == (False, False, None)
    assert "600 s ahead" in found.said


@pytest.mark.parametrize(("took", "words"), [(600, "600 s behind"), (-600, "600 s ahead of")])
def test_clocks_of_two_hosts_that_are_apart_are_told_of(took: float, words: str) -> None:
    found = state(beat(5, took=took))
    assert (found.well, found.stalled) == (False, False)
    assert words in found.said


def test_a_beat_that_a_busy_host_took_long_for_is_no_wrong_clock() -> None:
    assert state(beat(5, took=50)).well
