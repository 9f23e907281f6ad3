"""Every listener hears every event in its order, however it comes and goes; what can't be told is said to be missing."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from itertools import count

from inboxops.events.feed import Feeds
from inboxops.events.feed import client as listening_client
from inboxops.events.redis_bus import RedisBus, client
from inboxops.ports import PublishedEvent
from tests.events.conftest import Valkey

PATIENCE = 60
tenants = count(1000)


@dataclass
class Listener:
    """Reads a feed's frames as a browser would."""

    frames: AsyncIterator[bytes]
    place: str | None = None
    rest: str = ""

    async def next(self) -> tuple[str, int | None]:
        """(event, number); the number is that of the outbox row."""
        async with asyncio.timeout(PATIENCE):
            while "\n\n" not in self.rest:
                self.rest += (await anext(self.frames)).decode()
        text, _, self.rest = self.rest.partition("\n\n")
        fields = dict(re.findall(r"^(\w+): (.*)$", text, flags=re.MULTILINE))
        self.place = fields.get("id", self.place)
        return fields["event"], json.loads(fields["data"]).get("id")

    async def numbers(self, how_many: int) -> list[int | None]:
        return [(await self.next())[1] for _ in range(how_many)]

    async def leave(self) -> str | None:
        await self.frames.aclose()  # type: ignore[attr-defined]
        return self.place


class Scene:
    """A tenant, its publisher, and the feeds of one API process."""

    def __init__(self, valkey: Valkey, *, stream_length: int = 10_000, frames_kept: int = 1000) -> None:
        self.tenant_id = next(tenants)
        self.feeds = Feeds(listening_client(valkey.url), frames_kept=frames_kept)
        self._bus = RedisBus(client(valkey.url), stream_length=stream_length)
        self._published = 0

    async def listener(self, after: str | None = None) -> Listener:
        """Open already: what is published from now on reaches it."""
        listener = Listener(self.feeds.listen(self.tenant_id, after))
        assert (await listener.next())[0] == "ready"
        return listener

    async def publish(self, how_many: int = 1) -> None:
        first = self._published + 1
        self._published += how_many
        events = [
            PublishedEvent(id=number, tenant_id=self.tenant_id, name="ticket.updated", payload={"ticket_id": 1})
            for number in range(first, first + how_many)
        ]
        await asyncio.to_thread(self._bus.publish, events)


def played(scene: Scene, play: Callable[[Scene], Coroutine[None, None, None]]) -> None:
    async def whole() -> None:
        try:
            await play(scene)
        finally:
            await scene.feeds.close()

    asyncio.run(whole())


def test_events_come_in_order_to_everybody_who_listens(valkey: Valkey) -> None:
    async def play(scene: Scene) -> None:
        everybody = [await scene.listener() for _ in range(3)]
        await scene.publish(5)
        for listener in everybody:
            assert await listener.numbers(5) == [1, 2, 3, 4, 5]

    played(Scene(valkey), play)


def test_who_comes_back_reads_on_from_its_place(valkey: Valkey) -> None:
    async def play(scene: Scene) -> None:
        await scene.publish(2)
        first = await scene.listener()
        await scene.publish(1)
        assert await first.numbers(1) == [3]
        place = await first.leave()
        await scene.publish(1200)
        again = await scene.listener(place)
        await scene.publish(1)
        assert await again.numbers(1201) == list(range(4, 1205))

    played(Scene(valkey), play)


def test_who_heard_nothing_yet_has_a_place_as_well(valkey: Valkey) -> None:
    async def play(scene: Scene) -> None:
        await scene.publish(1)
        place = await (await scene.listener()).leave()
        await scene.publish(1)
        assert await (await scene.listener(place)).numbers(1) == [2]

    played(Scene(valkey), play)


def test_what_was_trimmed_meanwhile_is_a_reset(valkey: Valkey) -> None:
    async def play(scene: Scene) -> None:
        await scene.publish(1)
        place = await (await scene.listener()).leave()
        await scene.publish(2000)
        again = await scene.listener(place)
        assert await again.next() == ("reset", None)
        await scene.publish(1)
        assert await again.numbers(1) == [2002]

    played(Scene(valkey, stream_length=100), play)


def test_a_place_that_never_was_is_a_reset(valkey: Valkey) -> None:
    async def play(scene: Scene) -> None:
        await scene.publish(1)
        for nowhere in ("no such thing", f"{2**64}-0", f"1-{2**64}"):
            listener = await scene.listener(nowhere)
            assert await listener.next() == ("reset", None)
            await listener.leave()

    played(Scene(valkey), play)


def test_a_slow_listener_is_let_go_and_loses_nothing(valkey: Valkey) -> None:
    async def play(scene: Scene) -> None:
        slow, quick = await scene.listener(), await scene.listener()
        await scene.publish(1)
        assert await slow.numbers(1) == [1]
        assert await quick.numbers(1) == [1]
        for number in range(2, 32):
            await scene.publish()
            assert await quick.numbers(1) == [number]
        try:
            heard = await slow.numbers(30)
        except StopAsyncIteration:
            heard = []
        assert heard == [], "it was further behind than what is kept"
        assert await (await scene.listener(slow.place)).numbers(30) == list(range(2, 32))

    played(Scene(valkey, frames_kept=10), play)


def test_a_redis_that_is_away_is_told_and_what_it_lost_is_a_reset() -> None:
    async def play(scene: Scene) -> None:
        listener = await scene.listener()
        await scene.publish(1)
        assert await listener.numbers(1) == [1]
        await asyncio.to_thread(server.stop)
        assert await listener.next() == ("away", None)
        late = Listener(scene.feeds.listen(scene.tenant_id, None))
        hears = asyncio.ensure_future(late.next())
        await asyncio.to_thread(server.start)
        assert [await listener.next(), await listener.next()] == [("reset", None), ("back", None)]
        assert await hears == ("ready", None), "which nobody is told while nothing can be told"
        await scene.publish(1)
        assert await listener.numbers(1) == await late.numbers(1) == [2]

    server = Valkey()
    try:
        played(Scene(server), play)
    finally:
        server.remove()
