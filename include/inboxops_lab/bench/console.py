"""`inboxops bench console`: the page Inboxes in the real Airflow, with many inboxes: how long it takes, what it costs in memory."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from inboxops.composition import runs
from inboxops.composition.world import World
from inboxops.errors import OperatorError
from inboxops.settings import ENV_FILE
from inboxops_lab.bench.meter import pss_mb
from inboxops_lab.bench.place import TENANT, processes, stack
from inboxops_local.stack.airflow import ADMIN
from inboxops_local.stack.home import read_env

PATIENCE_SECONDS = 900.0
SETTLED_MB = 1.0  # Airflow's API server grows by no more than this between two rounds of its own pages
ROUND, ROUNDS = 20, 30  # pages of Airflow's own in a round, and rounds at most

_FILL = b"""
INSERT INTO inboxes (tenant_id, name, email_address, connection_type, connected_at, paused_at, last_fetch_at, last_error,
                     last_error_kind)
SELECT t.id, 'box-' || n, 'box-' || n || '@bench.example', (ARRAY['imap', 'gmail', 'microsoft'])[1 + n %% 3], now(), now(),
       now() - n * interval '1 second', CASE WHEN n %% 50 = 0 THEN 'the server refuses the password' END,
       CASE WHEN n %% 50 = 0 THEN 'tenant_admin' END
FROM tenants t, generate_series(1, %s) n WHERE t.slug = %s"""


@dataclass(frozen=True, slots=True)
class Opened:
    """Seconds of a page over HTTP, with the user's rights looked up, the first one, which loads the console, apart.

    api_server_mb: PSS at the end. api_server_mb_more: less what it was before the first page, with every DAG known, runs under way
    and Airflow's own pages shown until they made it grow no more. airflow_mb_more: what these had made it grow by, since its start.
    """

    inboxes: int
    pages: int
    first_seconds: float
    p50_seconds: float
    p95_seconds: float
    api_server_mb: float
    api_server_mb_more: float
    airflow_mb_more: float


def console(inboxes: int, pages: int, *, say: Callable[[str], None]) -> Opened:
    """Raises OperatorError when Airflow does not get to know all inboxes."""
    say("starting the whole stack")
    with stack() as (home, world):
        with world.database.transaction() as t:
            t.connection.execute(_FILL, (inboxes, TENANT))
        with _user(home, world) as http:
            started = _memory(home)
            _until_known(http, world, inboxes, say)
            before = _settled(home, http, say)
            first = _page(http, random.Random(-1))
            taken = sorted(_page(http, random.Random(number)) for number in range(pages))
        after = _memory(home)
    return Opened(
        inboxes=inboxes,
        pages=pages,
        first_seconds=round(first, 4),
        p50_seconds=round(statistics.median(taken), 4),
        p95_seconds=round(taken[int(len(taken) * 0.95)], 4),
        api_server_mb=round(after, 1),
        api_server_mb_more=round(after - before, 1),
        airflow_mb_more=round(before - started, 1),
    )


def _user(home: Path, world: World) -> httpx.Client:
    known = world.settings
    login = {"username": ADMIN, "password": read_env(home / ENV_FILE)["STACK_AIRFLOW_ADMIN_PASSWORD"]}
    answer = httpx.post(f"{known.airflow_url}/auth/token", json=login, timeout=60, trust_env=False).raise_for_status()
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    return httpx.Client(base_url=known.airflow_url, headers=headers, timeout=60, trust_env=False)


def _memory(home: Path) -> float:
    return pss_mb(processes(home, "airflow-api"))


def _until_known(http: httpx.Client, world: World, inboxes: int, say: Callable[[str], None]) -> None:
    """By Airflow's own list, which loads nothing of the console."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    asked = False
    while True:
        asked = asked or runs.show_inboxes(world)
        known = _dags(http, limit=1, dag_id_pattern="inbox_")
        say(f"Airflow knows {known} of {inboxes} inboxes")
        if known >= inboxes:
            return
        if time.monotonic() > deadline:
            raise OperatorError(f"Airflow knows {known} of {inboxes} inboxes after {PATIENCE_SECONDS:.0f} s")
        time.sleep(2)


def _settled(home: Path, http: httpx.Client, say: Callable[[str], None]) -> float:
    """The memory of Airflow's API server once it has loaded what its own pages and tasks need, as it does when first asked."""
    last = _memory(home)
    for _ in range(ROUNDS):
        for _ in range(ROUND):
            # Always the same: memory that other pages need for a moment would be there for the console.
            _dags(http, limit=50)
        time.sleep(5)
        now = _memory(home)
        say(f"Airflow's API server has {now:.0f} MB by itself")
        if now - last < SETTLED_MB:
            return now
        last = now
    raise OperatorError("Airflow's API server did not cease to grow before the console was opened")


def _dags(http: httpx.Client, **asked: str | int) -> int:
    return int(http.get("/api/v2/dags", params=asked).raise_for_status().json()["total_entries"])


def _page(http: httpx.Client, dice: random.Random) -> float:
    asked = {
        "sort": dice.choice(("lag", "name", "tenant", "parked", "seen")),
        "down": dice.choice(("true", "false")),
        "page": str(dice.randrange(20)),
        "q": dice.choice(("", "box-1", "bench")),
    }
    began = time.perf_counter()
    http.get("/inboxops/inboxes", params=asked).raise_for_status()
    return time.perf_counter() - began
