"""The events of a tenant as they come, for everybody who listens in this process.

One reader a tenant follows its stream on Redis and keeps the newest frames; each listener has only a place among them, so that
five hundred of them cost one connection and one copy. A frame's `id:` is its place in the stream, which is where a listener
that comes back goes on. What can't be told any more (trimmed, or lost by Redis) is an event `reset`: read everything again.
While Redis is away nothing can be told: that is `away`, and `back` when it can.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from itertools import islice
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from inboxops.cancelling import cancelled
from inboxops.events.redis_bus import stream

FRAMES_KEPT = 1000
"""A listener that is further behind is let go: it comes back and reads on from the stream."""

BATCH = 500
BLOCK_SECONDS = 5.0
PAUSE_SECONDS = 1.0
LISTEN_SECONDS = 900.0
"""Then a listener has to come back, so that a key that was revoked meanwhile opens nothing for longer."""

START = b"0-0"
_PLACE = re.compile(r"\d{1,20}-\d{1,20}")
_AWAY = (RedisError, OSError)


def client(url: str) -> redis.asyncio.Redis:
    """A client whose patience is longer than a blocking read."""
    return redis.asyncio.Redis.from_url(
        url, protocol=2, socket_connect_timeout=3, socket_timeout=BLOCK_SECONDS + 5, health_check_interval=30
    )


def frame(event: str, place: bytes | None, data: str) -> bytes:
    """One server-sent event (HTML, 9.2.6). place None: it leaves the listener's place as it is."""
    id_line = f"id: {place.decode()}\n" if place is not None else ""
    return f"{id_line}event: {event}\ndata: {data}\n\n".encode()


_AWAY_FRAME, _BACK = frame("away", None, "{}"), frame("back", None, "{}")


class Feeds:
    """The feeds of all tenants that somebody listens to."""

    def __init__(self, client: redis.asyncio.Redis, *, frames_kept: int = FRAMES_KEPT) -> None:
        self._client = client
        self._frames_kept = frames_kept
        self._feeds: dict[int, _Feed] = {}
        self._readers: set[asyncio.Task[None]] = set()

    async def listen(self, tenant_id: int, after: str | None) -> AsyncGenerator[bytes, None]:
        """Frames, from behind the place `after` on, or from now on. Ends when the listener should come back."""
        feed = self._feeds.get(tenant_id)
        if feed is None:
            feed = self._feeds[tenant_id] = _Feed(self._client, tenant_id, self._frames_kept)
            self._readers.add(feed.reader)
            feed.reader.add_done_callback(self._readers.discard)
        feed.listeners += 1
        try:
            async with aclosing(feed.listen(after)) as frames:
                async for each in frames:
                    yield each
        finally:
            feed.listeners -= 1
            if not feed.listeners:
                feed.stop()
                del self._feeds[tenant_id]

    async def close(self) -> None:
        for feed in self._feeds.values():
            feed.stop()
        await cancelled(list(self._readers))
        await self._client.aclose()


class _Feed:
    def __init__(self, client: redis.asyncio.Redis, tenant_id: int, frames_kept: int) -> None:
        self.listeners = 0
        self._client = client
        self._stream = stream(tenant_id)
        self._frames: deque[bytes] = deque(maxlen=frames_kept)
        self._count = 0  # frames there ever were: the newest kept one is number _count - 1
        self._place: bytes | None = None
        self._news = asyncio.Event()
        self._is_heard = True
        self._is_away = False
        self.reader = asyncio.create_task(self._read())

    def stop(self) -> None:
        """Now, or with the next answer, where the cancellation is lost (`inboxops.cancelling`)."""
        self._is_heard = False
        self.reader.cancel()

    # -- the reader

    async def _read(self) -> None:
        is_sure = True
        while self._is_heard:
            try:
                if self._place is None:
                    self._place = await self._end()
                    self._tell()
                elif not is_sure and not await self._knows(self._place):
                    self._place = await self._end()
                    self._add(frame("reset", self._place, "{}"))
                if self._is_away:
                    self._is_away = False
                    self._add(_BACK)
                entries = await self._entries()
                is_sure = len(entries) < BATCH  # behind a full one more may have been trimmed away
            except _AWAY:
                is_sure = False
                if not self._is_away:
                    self._is_away = True
                    self._add(_AWAY_FRAME)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            for place, event in entries:
                self._add(_frame_of(place, event))
                self._place = place

    async def _entries(self) -> list[tuple[bytes, bytes]]:
        answer: Any = await self._client.xread(
            {self._stream: self._place or START}, count=BATCH, block=int(BLOCK_SECONDS * 1000)
        )
        return _entries(answer[0][1]) if answer else []

    async def _end(self) -> bytes:
        newest = _entries(await self._client.xrevrange(self._stream, count=1))
        return newest[0][0] if newest else START

    async def _knows(self, place: bytes) -> bool:
        """Whether the entry is still there, and with it everything behind it: a stream is trimmed from its start."""
        return bool(await self._client.xrange(self._stream, place, place))

    def _add(self, made: bytes) -> None:
        self._frames.append(made)
        self._count += 1
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    # -- the listeners

    async def listen(self, after: str | None) -> AsyncGenerator[bytes, None]:
        ends_at = asyncio.get_running_loop().time() + LISTEN_SECONDS * random.uniform(0.8, 1.0)
        with suppress(TimeoutError, *_AWAY):
            async with asyncio.timeout_at(ends_at):
                while self._place is None or self._is_away:
                    await self._news.wait()
            next_, until = self._count, self._place
            if after is None:
                yield b"retry: 1000\n" + frame("ready", until, "{}")
            else:
                yield b"retry: 1000\n" + frame("ready", None, "{}")
                async for missed in self._missed(after, until):
                    yield missed
            while self._count - next_ <= len(self._frames):
                if next_ == self._count:
                    async with asyncio.timeout_at(ends_at):
                        await self._news.wait()
                    continue
                waiting = b"".join(islice(self._frames, len(self._frames) - (self._count - next_), None))
                next_ = self._count
                yield waiting

    async def _missed(self, after: str, until: bytes) -> AsyncGenerator[bytes, None]:
        place = after.encode() if _is_place(after) else START
        if place == until:
            return
        if not await self._knows(place):
            yield frame("reset", until, "{}")
            return
        while entries := await self._client.xrange(self._stream, b"(" + place, until, count=BATCH):
            read = _entries(entries)
            yield b"".join(_frame_of(*entry) for entry in read)
            place = read[-1][0]


def _is_place(text: str) -> bool:
    """Two numbers of 64 bits: of others Redis says that they are no id, whoever asks."""
    return bool(_PLACE.fullmatch(text)) and all(int(number) < 2**64 for number in text.split("-"))


def _entries(answer: Any) -> list[tuple[bytes, bytes]]:
    return [(bytes(place), bytes(fields[b"event"])) for place, fields in answer]


def _frame_of(place: bytes, event: bytes) -> bytes:
    return frame(str(json.loads(event)["event"]), place, event.decode())
