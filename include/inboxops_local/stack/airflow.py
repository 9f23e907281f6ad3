"""Airflow: one function makes its settings, another its four processes. There is no airflow.cfg.

Why each setting is as it is stands beside it; the figures behind them are in the documentation of the stack.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inboxops.core.cells import MAIN
from inboxops.orchestrator.cells import Airflows
from inboxops_local.stack import celery as celery_workers
from inboxops_local.stack import checks, children, nursery, stalls
from inboxops_local.stack.home import write_private, writing
from inboxops_local.stack.layout import Layout, checkout
from inboxops_local.stack.part import Part
from inboxops_local.stack.ports import Ports

POOLS = {
    "inbox": (3, "fetch, classify and persist of all inboxes; below the parallelism, so that sends always find a slot"),
    "send": (2, "outbound messages"),
    # Housekeeping and canaries, which take long, hold one each; one is left for what is short: the drain, which comes first, push
    # channels (five minutes at most), looks.
    "maintenance": (3, "the drain, canaries, housekeeping, push channels"),
}
PARALLELISM = sum(slots for slots, _ in POOLS.values()) + 1
"""One more than the pools let run, so that the pulse, which alone is in none of them, never waits. Workers are forked as needed."""

ADMIN = "admin"
"""The person's account. The API's and the tasks' own may do nothing but what they need: `inboxops_airflow.auth`."""

DAG_SETTINGS = (
    "INBOXOPS_CELL",
    "INBOXOPS_POLL_MINUTES",
    "INBOXOPS_IDLE_POLL_MINUTES",
    "INBOXOPS_IDLE_INBOXES",
    "INBOXOPS_LOOK_MINUTES",
    "INBOXOPS_LOOK_RUN_MINUTES",
)
"""DAG files read these from the environment, because reading all settings costs more than making a hundred DAGs."""

COMPONENTS = {
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
"""Without servers of logs: they would listen on every interface, and the API server reads the same folder."""

TUNING = {
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.25,
    # A poll is looked at in every loop until it ends, ten times or so. With 3,000 inboxes 35 are under way at any moment, and
    # after a stop all are due at once: at 40 a loop the scheduler slept half of the time and never caught up.
    "SCHEDULER__MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE": 200,
    # New runs are looked at first, and each needs three looks more to end: with more than a quarter new ones none would.
    "SCHEDULER__MAX_DAGRUNS_TO_CREATE_PER_LOOP": 50,
    "SCHEDULER__MAX_TIS_PER_QUERY": 0,
    "TRIGGERER__CAPACITY": 5000,
    "TRIGGERER__MAX_TRIGGER_TO_SELECT_PER_LOOP": 200,  # 50 leave something for other triggerers, of which there are none
    # A file of 1,000 inboxes takes a core for seconds. Who changes the list has it read at once (runs.show_inboxes).
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 300,
    "DAG_PROCESSOR__REFRESH_INTERVAL": 10,
    "DAG_PROCESSOR__PARSING_PROCESSES": 1,
    # Airflow takes away every DAG of a file that is not through in 50 s. That of 3,000 inboxes needs half a minute of a processor
    # that nobody else wants; on a busy machine the list was cut off, and all inboxes were gone until it was read again.
    "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": 900,
    "CORE__DAGBAG_IMPORT_TIMEOUT": 600,
    # A scheduler that was killed counts as dead after four missed beats, and its tasks are taken over at the next look.
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": 20,
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 15,
    # A task whose process was killed is tried again: its supervisor beats every second while it lives.
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 30,
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 5,
    # Pools keep tasks from waiting in `queued`: one that does has been lost on the way to a worker. Not sooner, because a task also
    # waits there while Airflow's API is away (47 s were seen) or Celery's workers are replaced, and fails when it did so thrice.
    "SCHEDULER__TASK_QUEUED_TIMEOUT": 180,
    "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": 30,
    "WORKERS__MIN_HEARTBEAT_INTERVAL": 1,  # 5 would hold every worker for seconds after its task has ended
}
"""What makes thousands of inboxes cheap, the same in docker-compose.yaml; docs/performance.md has the figures."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One Airflow of the stack, of one cell, with a database and a folder of its own. suffix: of its parts' names."""

    cell: str
    port: int
    folder: Path
    database: str = "airflow"
    suffix: str = ""

    @property
    def url(self) -> str:
        return f"http://{checks.HOST}:{self.port}"


def instances(layout: Layout) -> list[Instance]:
    """Our own, and one for each cell of INBOXOPS_CELLS whose address is on this machine.

    Raises OperatorError for what that can't mean.
    """
    known = {
        name: os.environ.get(name) or layout.secrets.values.get(name) or ""
        for name in ("INBOXOPS_CELL", "INBOXOPS_CELLS")
    }
    own = Instance(known["INBOXOPS_CELL"] or MAIN, layout.ports.airflow, layout.home.airflow)
    airflows = Airflows(own.cell, own.url, "", "", known["INBOXOPS_CELLS"])
    found = {cell: urlsplit(airflows.address(cell)["url"]) for cell in airflows if cell != own.cell}
    return [
        own,
        *(
            Instance(
                cell, url.port, layout.home.path / f"airflow-{cell}", f"airflow_{cell.replace('-', '_')}", f"-{cell}"
            )
            for cell, url in found.items()
            if url.hostname == checks.HOST and url.port is not None
        ),
    ]


def environment(layout: Layout, of: Instance | None = None, *, celery: bool = False) -> dict[str, str]:
    """The environment of every process of an Airflow, `airflow` on the command line included.

    of: which one, our own unless it is given. celery: tasks run in Celery's workers, else in children of the scheduler.

    Raises OperatorError when the checkout with `dags/` and `plugins/` is not found.
    """
    root, of = checkout(), of or instances(layout)[0]
    ports, secrets, url = layout.ports, layout.secrets, of.url
    database = f"airflow:{secrets['STACK_AIRFLOW_DATABASE_PASSWORD']}@{checks.HOST}:{ports.postgres}/{of.database}"
    settings = {
        "CORE__EXECUTOR": "inboxops_airflow.executor.Executor",  # LocalExecutor, and memory stays shared
        "CORE__DAGS_FOLDER": os.environ.get("INBOXOPS_DAGS_FOLDER", root / "dags"),  # the bench has other ones
        "CORE__PLUGINS_FOLDER": root / "plugins",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
        "CORE__PARALLELISM": PARALLELISM,
        "CORE__MP_START_METHOD": "fork",  # Python 3.14 would start a fork server for every process
        "CORE__FERNET_KEY": secrets["STACK_AIRFLOW_FERNET_KEY"],
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__HOSTNAME_CALLABLE": "inboxops_local.stack.airflow.loopback",  # never ask a resolver who we are
        "CORE__AUTH_MANAGER": "inboxops_airflow.auth.AuthManager",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin,{secrets['INBOXOPS_AIRFLOW_USERNAME']}:service",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": of.folder / "passwords.json",
        "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": 5,
        "DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{database}",
        "DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://{database}",
        "DATABASE__CHECK_MIGRATIONS": False,  # the job `airflow-db` did it
        "API__HOST": checks.HOST,
        "API__PORT": of.port,
        "API__BASE_URL": url,
        "API__WORKERS": 1,
        "API__SECRET_KEY": secrets["STACK_AIRFLOW_SECRET_KEY"],
        "API__INSTANCE_NAME": "InboxOps",
        "API_AUTH__JWT_SECRET": secrets["STACK_AIRFLOW_JWT_SECRET"],
        "API_AUTH__JWT_ISSUER": "inboxops",
        **TUNING,
        **(celery_workers.settings(layout, parallelism=PARALLELISM) if celery else {}),
        "LOGGING__BASE_LOG_FOLDER": of.folder / "logs",
        "LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": of.folder / "logs" / "dag_processor",
        "LOGGING__COLORED_CONSOLE_LOG": False,
        "LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
        "LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
    }
    return layout.environment(
        AIRFLOW_HOME=str(of.folder),
        AIRFLOW_CONFIG=str(of.folder / "airflow.cfg"),  # would be read, so it must not be someone else's
        MALLOC_ARENA_MAX="2",  # many threads, little to allocate: two arenas keep the heap together
        PYTHONWARNINGS="ignore",
        **{name: value for name in DAG_SETTINGS if (value := os.environ.get(name) or secrets.values.get(name))},
        **{f"AIRFLOW__{name}": str(value) for name, value in settings.items()},
        **{f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in _connections(layout, of).items()},
        **({"INBOXOPS_CELL": of.cell, "INBOXOPS_AIRFLOW_URL": url} if of.suffix else {}),
    )


def _connections(layout: Layout, of: Instance) -> dict[str, dict[str, Any]]:
    """What tasks reach by connections of Airflow's."""
    secrets = layout.secrets
    tasks = urlsplit(secrets["INBOXOPS_DATABASE_URL"])
    return {
        "INBOXOPS_DB": {
            "conn_type": "postgres",
            "host": tasks.hostname,
            "port": tasks.port,
            "login": tasks.username,
            "password": tasks.password,
            "schema": tasks.path.lstrip("/"),
        },
        "INBOXOPS_AIRFLOW_DB": {  # for housekeeping alone
            "conn_type": "postgres",
            "host": checks.HOST,
            "port": layout.ports.postgres,
            "login": "airflow",
            "password": secrets["STACK_AIRFLOW_DATABASE_PASSWORD"],
            "schema": of.database,
        },
        "INBOXOPS_S3": {
            "conn_type": "aws",
            "login": secrets["INBOXOPS_S3_ACCESS_KEY"],
            "password": secrets["INBOXOPS_S3_SECRET_KEY"],
            "extra": {"endpoint_url": secrets["INBOXOPS_S3_ENDPOINT"], "region_name": "us-east-1"},
        },
    }


def loopback() -> str:
    """The host name that Airflow records for its processes."""
    return checks.HOST


def parts(
    layout: Layout, of: Instance, *, roster_after: str, after: tuple[str, ...] = (), celery: bool = False
) -> list[Part]:
    """The processes of an Airflow. Its DAG processor waits for the part `roster_after`, so that it finds all inboxes at once.

    after: parts that are to be ready before any of these starts.
    """
    _write_passwords(layout, of)
    env = environment(layout, of, celery=celery)
    # Tasks read the file of the first ones, the log-in `passwords.json`.
    made_of = layout.made_of("INBOXOPS_", "STACK_AIRFLOW_ADMIN_")
    health, suffix = f"{of.url}/api/v2/monitor/health", of.suffix
    told = _Health(health)
    nurseries = _nursery(layout, of, env, made_of, after)
    born = of.folder if nurseries else None
    needs = (f"airflow-db{suffix}", *(part.name for part in nurseries))
    server = Part(
        name=f"airflow-api{suffix}",
        argv=(sys.executable, "-m", "airflow", "api-server"),
        env=env,
        made_of=made_of,
        needs=needs,
        nursery=born,
        ready=partial(checks.http, health),
        answers=partial(checks.http_answers, f"{of.url}/api/v2/version"),  # asks no database
        ports=(of.port,),
        deadline=120.0,
    )
    began = time.time()
    # A task that is started before the execution API answers has failed.
    waits_for = {"dag-processor": (roster_after,), "scheduler": (f"airflow-api{suffix}",)}
    components = [
        Part(
            name=f"{name}{suffix}",
            argv=(sys.executable, "-m", "airflow", *arguments),
            env=env,
            made_of=made_of,
            needs=(*needs, *waits_for.get(component, ())),
            nursery=born,
            ready=_beats(health, component.replace("-", "_"), began),
            answers=partial(told.lives, component.replace("-", "_")),
            deadline=120.0,
            # The triggerer's runner seldom hears the first signal; the second ends it in order.
            grace=2.0 if component == "triggerer" else 10.0,
            hangs=_hangs(layout, of, component, f"{name}{suffix}", celery=celery),
        )
        for component, arguments in COMPONENTS.items()
        for name in ((component, f"{component}-2") if celery and component in celery_workers.TWICE else (component,))
    ]
    migration, pools = _jobs(layout, of, env, after)
    workers = celery_workers.workers(layout, env) if celery else []
    return [migration, *nurseries, server, *components, *workers, pools]


def _write_passwords(layout: Layout, of: Instance) -> None:
    """Of the accounts that `environment` names."""
    with writing(of.folder):
        of.folder.mkdir(mode=0o700, exist_ok=True)
        passwords = {
            ADMIN: layout.secrets["STACK_AIRFLOW_ADMIN_PASSWORD"],
            layout.secrets["INBOXOPS_AIRFLOW_USERNAME"]: layout.secrets["INBOXOPS_AIRFLOW_PASSWORD"],
        }
        write_private(of.folder / "passwords.json", json.dumps(passwords))


def _jobs(layout: Layout, of: Instance, env: Mapping[str, str], after: tuple[str, ...]) -> tuple[Part, Part]:
    """What makes an Airflow's tables, before its processes start, and what makes its pools once its API answers."""
    migration = Part(
        name=f"airflow-db{of.suffix}",
        argv=layout.python("inboxops_local.stack.jobs", "airflow-db", of.database),
        env=env,
        needs=("databases", *after),
        deadline=None,  # of a large database it takes its time
    )
    pools = Part(
        name=f"pools{of.suffix}",
        argv=layout.python("inboxops_local.stack.jobs", "pools", of.url),
        env=layout.environment(),
        needs=(f"airflow-api{of.suffix}",),
    )
    return migration, pools


def _nursery(layout: Layout, of: Instance, env: Mapping[str, str], made_of: str, after: tuple[str, ...]) -> list[Part]:
    """What Airflow's processes are forked from; where nobody could adopt them there is none, and each is executed."""
    if not children.can_adopt():
        return []
    return [
        Part(
            name=f"nursery{of.suffix}",
            argv=layout.python("inboxops_local.stack.nursery", str(of.folder)),
            env=env,
            needs=after,
            made_of=made_of,
            ready=partial(nursery.is_ready, of.folder),
            hangs=partial(nursery.hangs, of.folder),
            deadline=120.0,
            grace=2.0,
        )
    ]


STANDS_STILL = {"scheduler": "stalled", "triggerer": "triggerer_late"}
"""What our API, which reads the pulse, says of a part that is to be started anew: its heart beats, and nothing runs in it."""


def _hangs(
    layout: Layout, of: Instance, component: str, name: str, *, celery: bool
) -> Callable[[], Awaitable[str]] | None:
    """Why the part of that name is to be started anew, "" while it is well; None for a component that nobody can tell it of."""
    if component not in STANDS_STILL:
        return None
    late = _stands_still(layout.ports, of.cell, STANDS_STILL[component])
    # With Celery, tasks run below other parts, and there is no lock that keeps them all.
    if component != "scheduler" or celery:
        return late
    return stalls.unless_tasks_begin(late, partial(stalls.leader, layout.home.record, name))


def _stands_still(ports: Ports, cell: str, field: str) -> Callable[[], Awaitable[str]]:
    """Why a part is to be started anew, "" while it is well. field: of a cell in `/readyz`."""

    async def hangs() -> str:
        known = await checks.http_json(f"http://{checks.HOST}:{ports.api}/readyz", also=503)
        here = (known or {}).get("cells", {}).get(cell)
        return str(here["pulse"]) if here and here[field] else ""

    return hangs


SILENT_SECONDS = 30.0
"""Without a heartbeat, of which a component has one each five seconds: then it does not answer."""
ASKED_SECONDS = 4.0


class _Health:
    """What Airflow's API tells of the components, asked once for all that are asked for within ASKED_SECONDS."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._asked = -ASKED_SECONDS
        self._asking = asyncio.Lock()
        self._answer: Any = None

    async def lives(self, component: str) -> bool:
        """Whether the component's heart beats, as far as that is known: who tells may be away himself."""
        known = await self._told() or {}
        beat = known.get(component, {}).get(f"latest_{component}_heartbeat")
        return not beat or time.time() - datetime.fromisoformat(beat).timestamp() < SILENT_SECONDS

    async def _told(self) -> Any:
        async with self._asking:
            if time.monotonic() - self._asked > ASKED_SECONDS:
                self._answer = await checks.http_json(self._url)
                self._asked = time.monotonic()
            return self._answer


def _beats(health: str, component: str, began: float) -> Callable[[], Awaitable[bool]]:
    """Ready once the component's heart has beaten in this run: the database may still hold the last run's."""

    async def ready() -> bool:
        known = await checks.http_json(health)
        beat = known and known[component][f"latest_{component}_heartbeat"]
        return bool(beat) and datetime.fromisoformat(beat).timestamp() >= began

    return ready
