"""What is cancelled ends, also where a library loses the cancellation."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from api import watch
from inboxops.cancelling import cancelled
from inboxops.settings import Settings


async def _loses_one() -> str:
    """As redis-py does when an answer comes in the moment of the cancellation."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return ""


def test_a_task_that_lost_a_cancellation_is_cancelled_again() -> None:
    async def goes_on() -> None:
        await _loses_one()
        await asyncio.Event().wait()

    async def lived() -> bool:
        tasks = [asyncio.create_task(goes_on()) for _ in range(3)]
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await cancelled(tasks)
        return all(task.cancelled() for task in tasks)

    assert asyncio.run(lived())


def test_what_a_task_ended_with_is_not_raised() -> None:
    async def fails() -> None:
        raise ValueError

    async def lived() -> None:
        task = asyncio.create_task(fails())
        await asyncio.sleep(0)
        await cancelled([task])

    asyncio.run(lived())


def test_the_api_stops_though_its_watch_lost_the_cancellation(
    services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "EVERY_SECONDS", 3600)

    async def serves() -> None:
        async with watch.watched(services, _loses_one):
            await asyncio.sleep(0.1)

    async def lived() -> bool:
        done, _ = await asyncio.wait([asyncio.create_task(serves())], timeout=10)
        return bool(done)

    assert asyncio.run(lived())
