"""What Airflow sees of us besides DAGs."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from inboxops_airflow.timetables import EveryPeriod


class InboxOpsPlugin(AirflowPlugin):
    """Airflow serialises only timetables that a plugin names."""

    name = "inboxops"
    timetables = [EveryPeriod]  # noqa: RUF012  # AirflowPlugin declares it so
