"""Is it alive, is it ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import psycopg
import redis.asyncio
from fastapi import APIRouter, Request, Response
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from pydantic import BaseModel
from redis.exceptions import RedisError
from starlette.datastructures import State

import inboxops
from inboxops.core import cells, looking, pulse
from inboxops.db.database import CONNECT_SECONDS, RECONNECT_SECONDS
from inboxops.db.queries import sql
from inboxops.settings import Settings

SECONDS = 2.0  # a probe that takes longer has failed

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """Each part is "ok" or says in a few words what is wrong."""

    status: str
    version: str
    database: str
    redis: str


class CellHealth(BaseModel):
    """One cell: pulse, stalled, triggerer_late and looks as in `Readiness`."""

    pulse: str
    stalled: bool
    triggerer_late: bool
    looks: str


class Readiness(Health):
    """pulse: when something last went the whole way of a mail, or which hop keeps it. stalled: no task runs;
    triggerer_late: they do, and no poll by the clock begins.

    looks: whether inboxes that are looked at without a run are so in time. Of several cells these name the one that is not well;
    cells: each by itself.
    """

    pulse: str
    pulse_seconds: float | None
    stalled: bool
    triggerer_late: bool
    looks: str
    cells: dict[str, CellHealth]


@asynccontextmanager
async def probes(settings: Settings) -> AsyncIterator[tuple[AsyncConnectionPool, redis.asyncio.Redis]]:
    """Connections of the probes' own, so that a busy API is not taken for a dead one."""
    url = settings.api_database_url or settings.database_url
    pool = AsyncConnectionPool(
        url.get_secret_value(),
        min_size=1,
        max_size=2,
        open=False,
        timeout=SECONDS,
        reconnect_timeout=RECONNECT_SECONDS,
        kwargs={"connect_timeout": CONNECT_SECONDS},
        check=AsyncConnectionPool.check_connection,
    )
    client = redis.asyncio.Redis.from_url(
        settings.redis_url.get_secret_value(), socket_timeout=SECONDS, socket_connect_timeout=SECONDS
    )
    await pool.open()
    try:
        yield pool, client
    finally:
        await client.aclose()
        await pool.close()


@router.get("/healthz", responses={503: {"model": Health}})
async def healthz(request: Request, response: Response) -> Health:
    """Ready to serve: 200 when the database and Redis answer, 503 with the reason otherwise."""
    found = await _health(request.app.state)
    response.status_code = 200 if found.status == "ok" else 503
    return found


@router.get("/readyz", responses={503: {"model": Readiness}})
async def readyz(request: Request, response: Response) -> Readiness:
    """The whole installation: 200 when database and Redis answer and pulse and looks are in time, else 503 and what keeps mail."""
    found, _ = await _readiness(request.app.state)
    response.status_code = 200 if found.status == "ok" else 503
    return found


async def wrong(here: State) -> str:
    """What keeps mail, in words; "" when nothing does. here: the application's state."""
    _, said = await _readiness(here)
    return said


async def _health(here: State) -> Health:
    database, events = await asyncio.gather(_ask(_database(here)), _ask(here.redis.ping()))
    status = "ok" if database == events == "ok" else "unavailable"
    return Health(status=status, version=inboxops.__version__, database=database, redis=events)


async def _readiness(here: State) -> tuple[Readiness, str]:
    """How it stands, and what keeps mail, "" when nothing does."""
    health = await _health(here)
    try:
        async with asyncio.timeout(SECONDS + 1):
            known = await _cells(here)
    except (TimeoutError, PoolTimeout, psycopg.Error) as exc:
        unknown = f"not known: {type(exc).__name__}"
        beats, looked, known = pulse.State(False, unknown, None), looking.Standing(False, unknown, None), []
    else:
        own = here.world.cell
        beats, looked = cells.pulse_of(known, own), cells.looks_of(known, own)
    parts = {"the database": health.database, "Redis": health.redis}
    away = "; ".join(f"{name}: {said}" for name, said in parts.items() if said != "ok")
    late = "; ".join([*([] if beats.well else [f"the pulse is {beats.said}"]), *([] if looked.well else [looked.said])])
    found = Readiness(
        **health.model_dump(exclude={"status"}),
        status="unavailable" if away or late else "ok",
        pulse=beats.said,
        pulse_seconds=beats.seconds,
        stalled=beats.stalled,
        triggerer_late=beats.triggerer_late,
        looks=looked.said,
        cells={
            each.name: CellHealth(
                pulse=each.beats.said,
                stalled=each.beats.stalled,
                triggerer_late=each.beats.triggerer_late,
                looks=each.looks.said,
            )
            for each in known
        },
    )
    return found, away or late


@router.get("/livez")
async def livez() -> dict[str, str]:
    """Alive: the process answers, whatever stands behind it."""
    return {"status": "ok"}


async def _cells(here: State) -> list[cells.Cell]:
    async with here.database.connection() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        return [cells.cell(**row) for row in await (await cursor.execute(sql("cells"))).fetchall()]


async def _database(here: State) -> None:
    async with here.database.connection() as connection:
        await connection.execute("SELECT 1")


async def _ask(question: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(SECONDS + 1):
            await question
    except (TimeoutError, PoolTimeout):
        return "no answer in time"
    except (psycopg.Error, RedisError, OSError) as exc:
        return type(exc).__name__
    return "ok"
