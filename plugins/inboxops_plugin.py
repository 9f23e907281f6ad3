"""What Airflow sees of us besides DAGs."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from inboxops_airflow.timetables import EveryPeriod


class Lazily:
    """An application that is loaded when it is first asked: every process of Airflow imports this file, one of them serves."""

    def __init__(self, module: str) -> None:
        self._module = module

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        module = await asyncio.to_thread(import_module, self._module)  # a second, in which others are served
        await module.app(scope, receive, send)


class InboxOpsPlugin(AirflowPlugin):
    """Airflow serialises only timetables that a plugin names."""

    name = "inboxops"
    timetables = [EveryPeriod]  # noqa: RUF012  # AirflowPlugin declares it so
    fastapi_apps = [  # noqa: RUF012
        {"app": Lazily("inboxops_airflow.console"), "url_prefix": "/inboxops", "name": "InboxOps console"},
        {"app": Lazily("inboxops_airflow.roster_again"), "url_prefix": "/inboxops-roster", "name": "InboxOps roster"},
    ]
    external_views = [  # noqa: RUF012
        {
            "name": "Inboxes",
            "href": "inboxops/inboxes",
            "destination": "nav",
            "url_route": "inboxes",
            "category": "browse",
        },
        {
            "name": "Trace a mail",
            "href": "inboxops/trace",
            "destination": "nav",
            "url_route": "trace",
            "category": "browse",
        },
        {"name": "Inbox", "href": "inboxops/inbox?dag_id={DAG_ID}", "destination": "dag", "url_route": "inbox"},
        *(
            {
                "name": "What came",
                "href": "inboxops/came?dag_id={DAG_ID}&run_id={RUN_ID}",
                "destination": place,
                "url_route": route,
            }
            # From its run, and from each task.
            for place, route in (("dag_run", "came"), ("task_instance", "task-came"))
        ),
    ]
