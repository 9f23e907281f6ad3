"""Whoever runs the installation is told once that mail stands still, and once that it moves again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from inboxops.core.standing import PATIENCE, STARTING, Standing, Word

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
EVERY = timedelta(seconds=10)


def told(*seen: str, first: timedelta = STARTING) -> list[Word]:
    """What is told of looks ten seconds apart, each word delivered at once."""
    standing, words = Standing(START), []
    for number, wrong in enumerate(seen):
        if word := standing.look(wrong, now=START + first + number * EVERY):
            standing.told(word)
            words.append(word)
    return words


LOOKS = PATIENCE // EVERY + 1


def test_what_lasts_is_told_once_and_so_is_its_end() -> None:
    begun, over = told("", *["Redis: TimeoutError"] * (5 * LOOKS), *[""] * (5 * LOOKS))
    assert (begun.over, begun.since, begun.said) == (False, START + STARTING + EVERY, "Redis: TimeoutError")
    assert over.over
    assert over.since == begun.since + 5 * LOOKS * EVERY
    assert "moves no mail since 09:02:10 UTC: Redis: TimeoutError." in begun.text
    assert "moves mail again" in over.text


def test_what_comes_and_goes_is_told_to_nobody() -> None:
    assert told(*["the pulse is late", ""] * 20) == []


def test_a_short_recovery_is_not_its_end() -> None:
    bad = ["the database: OperationalError"] * LOOKS
    assert [word.over for word in told(*bad, "", *bad, *[""] * LOOKS)] == [False, True]


def test_while_all_of_it_may_be_starting_nothing_is_told() -> None:
    assert told(*["the pulse is late"] * (STARTING // EVERY), first=timedelta(0)) == []


def test_another_reason_meanwhile_is_no_other_trouble() -> None:
    (word,) = told(*["Redis: TimeoutError"] * LOOKS, *["the database: OperationalError"] * LOOKS)
    assert word.said == "Redis: TimeoutError"


def test_what_another_process_told_is_not_told_again_and_its_end_is() -> None:
    """The API was started anew in the outage."""
    last = Word(False, START - timedelta(hours=1), "Redis: TimeoutError")
    standing = Standing(START, last)
    for number in range(2 * LOOKS):
        assert standing.look("Redis: TimeoutError", now=START + STARTING + number * EVERY) is None
    began = START + STARTING + 2 * LOOKS * EVERY
    over = [standing.look("", now=began + number * EVERY) for number in range(LOOKS)][-1]
    assert over == Word(True, began, "Redis: TimeoutError")


def test_what_was_over_before_is_no_trouble_of_now() -> None:
    standing = Standing(START, Word(True, START, "Redis: TimeoutError"))
    assert standing.look("", now=START + STARTING + PATIENCE) is None


def test_what_could_not_be_delivered_stays_due() -> None:
    standing = Standing(START)
    standing.look("late", now=START + STARTING)
    for number in range(LOOKS, 2 * LOOKS):
        word = standing.look("late", now=START + STARTING + number * EVERY)
        assert word and not word.over
    standing.told(word)
    assert standing.look("late", now=START + STARTING + 2 * LOOKS * EVERY) is None
