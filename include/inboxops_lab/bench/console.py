"""`inboxops bench console`: the page Inboxes in the real Airflow, with many inboxes: how long it takes, what it costs in memory."""

from __future__ import annotations

import random
import re
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
WARM = 20  # pages of Airflow's own before the memory is read

_FILL = b"""
INSERT INTO inboxes (tenant_id, name, email_address, connection_type, connected_at, paused_at, last_fetch_at, last_error,
                     last_error_kind)
SELECT t.id, 'box-' || n, 'box-' || n || '@bench.example', (ARRAY['imap', 'gmail', 'microsoft'])[1 + n %% 3], now(), now(),
       now() - n * interval '1 second', CASE WHEN n %% 50 = 0 THEN 'the server refuses the password' END,
       CASE WHEN n %% 50 = 0 THEN 'tenant_admin' END
FROM tenants t, generate_series(1, %s) n WHERE t.slug = %s"""


@dataclass(frozen=True, slots=True)
class Opened:
    """Seconds of a page over HTTP, with the user's rights looked up. api_server_mb_more: PSS after all, less before the first."""

    inboxes: int
    pages: int
    p50_seconds: float
    p95_seconds: float
    api_server_mb: float
    api_server_mb_more: float


def console(inboxes: int, pages: int, *, say: Callable[[str], None]) -> Opened:
    """Raises OperatorError when Airflow does not get to know all inboxes."""
    say("starting the whole stack")
    with stack() as (home, world):
        with world.database.transaction() as t:
            t.connection.execute(_FILL, (inboxes, TENANT))
        with _user(home, world) as http:
            for _ in range(WARM):
                http.get("/api/v2/dags", params={"limit": 50}).raise_for_status()
            before = pss_mb(processes(home, "airflow-api"))
            _until_known(http, world, inboxes, say)
            taken = sorted(_page(http, random.Random(number)) for number in range(pages))
        after = pss_mb(processes(home, "airflow-api"))
    return Opened(
        inboxes=inboxes,
        pages=pages,
        p50_seconds=round(statistics.median(taken), 4),
        p95_seconds=round(taken[int(len(taken) * 0.95)], 4),
        api_server_mb=round(after, 1),
        api_server_mb_more=round(after - before, 1),
    )


def _user(home: Path, world: World) -> httpx.Client:
    known = world.settings
    login = {"username": ADMIN, "password": read_env(home / ENV_FILE)["STACK_AIRFLOW_ADMIN_PASSWORD"]}
    answer = httpx.post(f"{known.airflow_url}/auth/token", json=login, timeout=60, trust_env=False).raise_for_status()
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    return httpx.Client(base_url=known.airflow_url, headers=headers, timeout=60, trust_env=False)


def _until_known(http: httpx.Client, world: World, inboxes: int, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    asked = False
    while True:
        asked = asked or runs.show_inboxes(world)
        found = re.search(r"(\d+) inbox", http.get("/inboxops/inboxes").raise_for_status().text)
        known = int(found[1]) if found else 0
        say(f"Airflow knows {known} of {inboxes} inboxes")
        if known >= inboxes:
            return
        if time.monotonic() > deadline:
            raise OperatorError(f"Airflow knows {known} of {inboxes} inboxes after {PATIENCE_SECONDS:.0f} s")
        time.sleep(2)


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
