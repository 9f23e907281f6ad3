"""What a triggerer does for looks, in a process of its own: the shared stream of `LookTrigger`, with Airflow loaded."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from inboxops_airflow.triggers import LookTrigger


async def _main() -> None:
    looking = asyncio.ensure_future(_look())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, looking.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await looking


async def _look() -> None:
    async for _ in LookTrigger.open_shared_stream({"share": 0}):
        raise AssertionError("it has no event")


if __name__ == "__main__":
    asyncio.run(_main())
