"""What a pulse tells, and what its lateness means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from inboxops.core.pulse import LATE_SECONDS, Pulse, state

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def beat(seconds_ago: float, *, waited: float = 1, objects: str = "", events: str = "") -> Pulse:
    at = NOW - timedelta(seconds=seconds_ago)
    return Pulse(at - timedelta(seconds=waited), at, at, objects, events)


def test_before_the_first_beat_nobody_can_say_that_mail_moves_and_nothing_is_started_anew() -> None:
    found = state(None, now=NOW)
    assert (found.well, found.stalled, found.seconds) == (False, False, None)
    assert "no task has run" in found.said


@pytest.mark.parametrize(
    ("seconds", "well"), [(1, True), (LATE_SECONDS - 1, True), (LATE_SECONDS + 1, False), (9_999, False)]
)
def test_without_a_beat_for_too_long_no_task_runs(seconds: float, well: bool) -> None:
    found = state(beat(seconds), now=NOW)
    assert (found.well, found.stalled) == (well, not well)
    assert well or "scheduler" in found.said


@pytest.mark.parametrize(("hop", "words"), [("objects", "object store"), ("events", "event bus")])
def test_a_hop_that_does_not_answer_is_named_and_restarts_nothing(hop: str, words: str) -> None:
    found = state(beat(5, **{hop: "connection refused"}), now=NOW)
    assert (found.well, found.stalled) == (False, False)
    assert words in found.said
    assert "connection refused" in found.said


def test_a_task_that_waited_long_says_so() -> None:
    assert "behind its time" in state(beat(5, waited=45), now=NOW).said


def test_a_clock_that_goes_back_makes_nothing_late() -> None:
    assert state(beat(-600), now=NOW).seconds == 0.0
