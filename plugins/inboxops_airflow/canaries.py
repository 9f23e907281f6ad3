"""The task that sends canaries."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator

from inboxops_airflow.operators import counted


class SendCanaries(BaseOperator):
    """Send to each inbox that is due; delete what came back where that is wished. What failed stands with its canary."""

    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops.composition import canaries

        return counted(canaries.tend)
