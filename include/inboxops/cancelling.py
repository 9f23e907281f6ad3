"""Ending asyncio tasks for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

AGAIN_SECONDS = 0.1


async def cancelled(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks until all have ended, whatever they end with.

    Once is not enough: redis-py loses a cancellation that comes in the moment of an answer, and so does `asyncio.wait_for` before
    Python 3.12 (github.com/python/cpython/issues/86296).
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
