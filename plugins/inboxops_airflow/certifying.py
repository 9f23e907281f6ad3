"""Certificates as tasks: which tenants are due, then one task for each, so that one that fails stops no other."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator

from inboxops_airflow import conf
from inboxops_airflow.operators import counted
from inboxops_airflow.push import AT_ONCE


class DueTenants(BaseOperator):
    """The tenant of the run's conf, or all that have an inbox which was read once; who has waited longest comes first."""

    def execute(self, context: Any) -> list[int]:
        from inboxops.composition import certifying
        from inboxops_airflow.connections import world

        if "tenant_id" in conf.given(context):
            return [conf.number(context, "tenant_id")]
        return certifying.due(world(), limit=AT_ONCE)


class Certify(BaseOperator):
    """One tenant's certificate. What is not accounted for stands in it and is told to the admins: the task has looked."""

    def __init__(self, *, tenant_id: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tenant_id = tenant_id

    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops.composition import certifying

        return counted(certifying.certify, self.tenant_id)
