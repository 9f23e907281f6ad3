"""The task that says whether inboxes are looked at."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator

from inboxops_airflow.operators import counted


class CheckLooks(BaseOperator):
    """Has every inbox looked at that is to be, and fails when looks are late (nobody looks, or not fast enough) or lead nowhere."""

    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops.composition import looking

        return counted(looking.check)
