"""Inboxes are polled every period, each at a moment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk import timezone
from airflow.settings import dispose_orm
from airflow.timetables.base import DataInterval, TimeRestriction

from inboxops_airflow.timetables import EveryPeriod

ANY_TIME = TimeRestriction(
    earliest=timezone.coerce_datetime(datetime(2026, 1, 1, tzinfo=UTC)), latest=None, catchup=False
)


@pytest.fixture(scope="module", autouse=True)
def _airflow_closed_in_time() -> Iterator[None]:
    """Airflow closes its database pool at exit, and says so to a stream that pytest has closed by then."""
    yield
    dispose_orm()


def after(timetable: EveryPeriod, moment: datetime) -> datetime:
    last = DataInterval.exact(timezone.coerce_datetime(moment))
    info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=ANY_TIME)
    assert info is not None
    return info.run_after


def test_polls_are_a_period_apart_at_the_inboxes_own_moment() -> None:
    timetable = EveryPeriod(300, 73)
    now = datetime.now(UTC)
    moments = [after(timetable, now + timedelta(hours=1))]
    moments.append(after(timetable, moments[0]))
    assert moments[1] - moments[0] == timedelta(minutes=5)
    assert {moment.timestamp() % 300 for moment in moments} == {73.0}


def test_an_inbox_that_was_never_polled_is_polled_at_once() -> None:
    info = EveryPeriod(300, 73).next_dagrun_info(last_automated_data_interval=None, restriction=ANY_TIME)
    assert info is not None
    assert timedelta(0) <= datetime.now(UTC) - info.run_after <= timedelta(seconds=301)


def test_missed_polls_are_not_made_up() -> None:
    due = after(EveryPeriod(300, 73), datetime.now(UTC) - timedelta(days=3))
    assert datetime.now(UTC) - due <= timedelta(seconds=301)


def test_what_is_serialised_is_the_same_again() -> None:
    again = EveryPeriod.deserialize(EveryPeriod(300, 73).serialize())
    assert (again.period, again.offset, again.summary) == (300, 73, "every 5 min")
