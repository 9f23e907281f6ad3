"""The task that sends canaries."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator

from inboxops_airflow.operators import counted


class SendCanaries(BaseOperator):
    """One to each inbox that is due. What could not be sent stands on its row and is told to the admins: the task goes on."""

    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops.composition import canaries

        return counted(canaries.send_due)
