"""Looks are spread, those that fail come more seldom, and a server that does not answer is left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from inboxops.core import looking
from inboxops.core.looking import Look, Places, Result, Rooms

NOW = datetime(2026, 11, 2, 10, 0, 30, tzinfo=UTC)
FIVE = timedelta(minutes=5)
HOST = "imap imap.example.com"


def look(inbox_id: int = 7, *, failures: int = 0, failed_as: str = "") -> Look:
    return Look(inbox_id, NOW - timedelta(seconds=1), NOW, HOST, failures, failed_as)


@pytest.mark.parametrize("count", [10, 100, 1000, 10_000])
def test_however_many_inboxes_there_are_no_moment_has_many(count: int) -> None:
    seconds = [looking.offset_of(inbox_id, 300) for inbox_id in range(5000, 5000 + count)]
    assert all(0 <= second < 300 for second in seconds)
    busiest = max(sum(at <= second < at + 10 for second in seconds) for at in range(0, 300, 10))
    assert busiest <= count / 30 + 2


@pytest.mark.parametrize("inbox_id", [1, 7, 123_456])
def test_turns_come_in_every_interval_at_the_same_moment_of_it(inbox_id: int) -> None:
    first = looking.next_turn(inbox_id, FIVE, NOW)
    assert timedelta(0) < first - NOW <= FIVE
    assert looking.next_turn(inbox_id, FIVE, first) == first + FIVE
    assert looking.next_turn(inbox_id, FIVE, first + timedelta(seconds=200)) == first + FIVE, "a late look moves none"


def test_an_answer_forgets_the_failures_before_it() -> None:
    answer = looking.seen(look(failures=4, failed_as="operator"), found=True, every=FIVE, at=NOW)
    assert (answer.result, answer.failures, answer.failed_as, answer.error) == (Result.FOUND, 0, "", "")
    assert looking.seen(look(), found=False, every=FIVE, at=NOW).result is Result.NOTHING


def test_a_failure_waits_for_the_next_turn_and_each_further_one_longer_up_to_an_hour() -> None:
    def waits(failures: int, retry_after: float | None = None) -> timedelta:
        done = looking.failed(look(failures=failures), "transient", "away", retry_after=retry_after, every=FIVE, at=NOW)
        assert done.failures == failures + 1
        return done.due_at - NOW

    assert waits(0) <= FIVE
    assert FIVE < waits(1) <= 2 * FIVE
    assert 3 * FIVE < waits(2) <= 4 * FIVE
    assert timedelta(minutes=55) < waits(40) <= timedelta(hours=1)
    assert timedelta(hours=1) - FIVE <= waits(0, retry_after=3600) <= timedelta(hours=1), "the server named a time"


def test_what_a_person_has_to_mend_is_shown_by_one_run() -> None:
    assert looking.needs_run(look(), "tenant_admin")
    assert looking.needs_run(look(failures=3, failed_as="transient"), "operator")
    assert not looking.needs_run(look(failures=1, failed_as="operator"), "operator"), "the run of the first said so"
    assert not looking.needs_run(look(), "transient")


def test_one_inbox_that_gets_no_answer_is_not_taken_for_its_server() -> None:
    places = Places()
    for _ in range(10):
        places.failed(HOST, 1, "away", NOW)
    places.failed(HOST, 2, "away", NOW)
    assert not places.rests(HOST, NOW)
    places.answered(HOST)
    places.failed(HOST, 3, "away", NOW)
    assert not places.rests(HOST, NOW), "another inbox of it got one in between"


def test_a_server_that_answers_nobody_is_left_alone_and_then_tried_by_one() -> None:
    places = Places()
    for inbox_id in (1, 2, 3, 4):
        places.failed(HOST, inbox_id, "away", NOW)
    assert places.rests(HOST, NOW) == "away"
    assert not places.rests("imap other.example.com", NOW)
    later = NOW + looking.FIRST_REST
    assert not places.rests(HOST, later)
    assert places.rests(HOST, later) == "away", "one tries it, the others wait for what that one finds"
    places.failed(HOST, 5, "still away", later)
    assert places.rests(HOST, later + looking.FIRST_REST) == "still away", "twice as long"
    assert not places.rests(HOST, later + 2 * looking.FIRST_REST)
    places.answered(HOST)
    assert not places.rests(HOST, later)


def test_a_rest_is_never_longer_than_a_minute() -> None:
    places, now = Places(), NOW
    for inbox_id in range(3):
        places.failed(HOST, inbox_id, "away", now)
    for inbox_id in range(20):
        now += looking.LONGEST_REST
        assert not places.rests(HOST, now)
        places.failed(HOST, inbox_id, "away", now)


def test_one_that_is_passed_over_keeps_its_turn_and_its_failures() -> None:
    done = looking.passed(look(failures=2, failed_as="transient"), "away", every=FIVE, now=NOW)
    assert (done.result, done.looked_at, done.failures, done.error) == (Result.PASSED, None, 2, "away")
    assert done.due_at == looking.next_turn(7, FIVE, NOW)


def test_looks_that_are_late_are_told_and_none_is_where_each_is_a_run() -> None:
    assert looking.standing(0, 0.0).well
    assert looking.standing(10, 5.0).well
    late = looking.standing(10_000, 400.0)
    assert not late.well
    assert "late by 400 s" in late.said


def test_few_ask_a_server_that_has_said_nothing_and_more_one_that_answers() -> None:
    rooms = Rooms(12)
    for _ in range(looking.FEW_AT_ONCE):
        assert rooms.is_open(HOST, NOW)
        rooms.enter(HOST)
    assert not rooms.is_open(HOST, NOW)
    assert rooms.is_open("imap other.example.com", NOW)
    rooms.leave(HOST, NOW, answered=True)
    for _ in range(12 - looking.FEW_AT_ONCE + 1):
        assert rooms.is_open(HOST, NOW)
        rooms.enter(HOST)
    assert not rooms.is_open(HOST, NOW), "others find a thread, however quick it is"
    later = NOW + looking.LATELY
    for _ in range(12 - looking.FEW_AT_ONCE + 1):
        assert not rooms.is_open(HOST, later), "it fell silent"
        rooms.leave(HOST, later, answered=False)
    assert rooms.is_open(HOST, later)


def test_a_try_that_did_not_come_so_far_leaves_it_to_another() -> None:
    places = Places()
    for inbox_id in range(3):
        places.failed(HOST, inbox_id, "away", NOW)
    later = NOW + looking.FIRST_REST
    assert not places.rests(HOST, later)
    assert places.resting(HOST, later) == "away"
    places.not_asked(HOST)
    assert not places.resting(HOST, later)
    assert not places.rests(HOST, later)
