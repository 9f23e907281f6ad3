"""Is it alive, is it ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import psycopg
import redis.asyncio
from fastapi import APIRouter, Request, Response
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from pydantic import BaseModel
from redis.exceptions import RedisError

import inboxops
from inboxops.settings import Settings

SECONDS = 2.0  # a probe that takes longer has failed

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """Each part is "ok" or says in a few words what is wrong."""

    status: str
    version: str
    database: str
    redis: str


@asynccontextmanager
async def probes(settings: Settings) -> AsyncIterator[tuple[AsyncConnectionPool, redis.asyncio.Redis]]:
    """Connections of the probes' own, so that a busy API is not taken for a dead one."""
    url = settings.api_database_url or settings.database_url
    pool = AsyncConnectionPool(
        url.get_secret_value(), min_size=1, max_size=2, open=False, kwargs={"connect_timeout": 5}
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
    database, events = await asyncio.gather(_ask(_database(request)), _ask(request.app.state.redis.ping()))
    well = database == events == "ok"
    response.status_code = 200 if well else 503
    return Health(status="ok" if well else "unavailable", version=inboxops.__version__, database=database, redis=events)


@router.get("/livez")
async def livez() -> dict[str, str]:
    """Alive: the process answers, whatever stands behind it."""
    return {"status": "ok"}


async def _database(request: Request) -> None:
    async with request.app.state.database.connection(timeout=SECONDS) as connection:
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
