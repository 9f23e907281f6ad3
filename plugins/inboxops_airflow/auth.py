"""Airflow's simple log-in with one role more: `service`, the account of our API and tasks.

It may do what the product asks of Airflow and nothing else: name an asset, tell of its event, start a run of a DAG that stands in
`STARTED`. It reads no run, log, code, connection or variable, and changes no DAG. docs/operations.md says which rights the account
needs where another auth manager is at work.
"""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager, SimpleAuthManagerRole
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

from inboxops.core.inbox import STARTED

SERVICE = "service"


class AuthManager(SimpleAuthManager):
    """SimpleAuthManager, which orders its roles, and one that stands beside that order."""

    def is_authorized_dag(self, *, user: SimpleAuthManagerUser, **asked: Any) -> bool:
        if not _is_service(user):
            return super().is_authorized_dag(user=user, **asked)
        details = asked.get("details")
        runs = asked["method"] == "POST" and asked.get("access_entity") is DagAccessEntity.RUN
        return runs and details is not None and details.id in STARTED

    def is_authorized_asset(self, *, user: SimpleAuthManagerUser, **asked: Any) -> bool:
        return (
            asked["method"] in ("GET", "POST") if _is_service(user) else super().is_authorized_asset(user=user, **asked)
        )

    def is_authorized_asset_alias(self, *, user: SimpleAuthManagerUser, **asked: Any) -> bool:
        """Airflow asks for it where assets are listed; there are none."""
        return asked["method"] == "GET" if _is_service(user) else super().is_authorized_asset_alias(user=user, **asked)

    @staticmethod
    def _is_admin(user: SimpleAuthManagerUser) -> bool:
        return not _is_service(user) and SimpleAuthManager._is_admin(user)

    @staticmethod
    def _is_authorized(*, user: SimpleAuthManagerUser, allow_role: SimpleAuthManagerRole, **asked: Any) -> bool:
        """Everything else that anybody may be asked for, views and tables of the UI included."""
        return not _is_service(user) and SimpleAuthManager._is_authorized(user=user, allow_role=allow_role, **asked)


def _is_service(user: SimpleAuthManagerUser) -> bool:
    return (user.role or "").lower() == SERVICE
