"""What Airflow sees of us besides DAGs."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from inboxops_airflow.timetables import EveryPeriod


async def console(scope: Any, receive: Any, send: Any) -> None:
    """The console, loaded when it is first opened: every process of Airflow imports this file, one of them serves pages."""
    module = await asyncio.to_thread(import_module, "inboxops_airflow.console")  # a second, in which others are served
    await module.app(scope, receive, send)


class InboxOpsPlugin(AirflowPlugin):
    """Airflow serialises only timetables that a plugin names."""

    name = "inboxops"
    timetables = [EveryPeriod]  # noqa: RUF012  # AirflowPlugin declares it so
    fastapi_apps = [{"app": console, "url_prefix": "/inboxops", "name": "InboxOps console"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Inboxes",
            "href": "inboxops/inboxes",
            "destination": "nav",
            "url_route": "inboxes",
            "category": "browse",
        },
        {"name": "Inbox", "href": "inboxops/inbox?dag_id={DAG_ID}", "destination": "dag", "url_route": "inbox"},
        {
            "name": "What came",
            "href": "inboxops/came?dag_id={DAG_ID}&run_id={RUN_ID}",
            "destination": "dag_run",
            "url_route": "came",
        },
    ]
