"""When inboxes are polled: every period, each inbox at a moment of its own, so that a thousand never fire together.

An inbox's schedule is two integers. Cron knows minutes only, and is 4 times dearer to serialise and to ask for the next run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import timezone
from airflow.timetables.base import DagRunInfo, DataInterval, Timetable

if TYPE_CHECKING:
    from airflow.timetables.base import TimeRestriction
    from pendulum import DateTime


class EveryPeriod(Timetable):
    """Every `period` seconds, `offset` seconds into the period (counted from the epoch, in UTC). Missed polls are not made up."""

    def __init__(self, period: int, offset: int = 0) -> None:
        self.period, self.offset = period, offset
        self.description = f"Every {timedelta(seconds=period)}, at {timedelta(seconds=offset)} into it"

    @property
    def summary(self) -> str:
        minutes, seconds = divmod(self.period, 60)
        return f"every {minutes} min" if not seconds else f"every {self.period} s"

    def serialize(self) -> dict[str, Any]:
        return {"period": self.period, "offset": self.offset}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> EveryPeriod:
        return cls(**data)

    def infer_manual_data_interval(self, *, run_after: DateTime) -> DataInterval:
        return DataInterval.exact(run_after)

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The last moment of the timetable that has not had its run; the one after the latest run, unless that is long past."""
        due = self._last(datetime.now(UTC))
        if last_automated_data_interval is not None:
            due = max(due, self._last(last_automated_data_interval.end) + timedelta(seconds=self.period))
        if restriction.earliest is not None and due < restriction.earliest:
            due = self._last(restriction.earliest) + timedelta(seconds=self.period)
        if restriction.latest is not None and due > restriction.latest:
            return None
        return DagRunInfo.exact(timezone.coerce_datetime(due))

    def _last(self, moment: datetime) -> datetime:
        """The moment of the timetable at or before this one."""
        seconds = int(moment.timestamp())
        return datetime.fromtimestamp(seconds - (seconds - self.offset) % self.period, UTC)
