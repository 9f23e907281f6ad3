"""Where probes wait for their turn at a mail server, in the triggerer's event loop and in none of its threads."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from concurrent.futures import Future
from datetime import UTC, datetime

from inboxops.core.looking import Places, Rooms
from inboxops.errors import ServiceAway, TenantAdminError

LOOK_AGAIN_SECONDS = 5.0
"""Who is called and cancelled in the same moment calls nobody else."""


class Queues:
    """One for each server. most: who may ask one that answers, at once. Not to be shared by threads."""

    def __init__(self, most: int) -> None:
        self._rooms, self._places = Rooms(most), Places()
        self._waiting: defaultdict[str, deque[asyncio.Future[None]]] = defaultdict(deque)

    async def entered(self, place: str) -> str:
        """Wait until one more may ask the server: "", and `left` is to follow; or why it is left alone now."""
        while True:
            now = datetime.now(UTC)
            if resting := self._places.resting(place, now):
                return resting
            if self._rooms.is_open(place, now):
                self._rooms.enter(place)
                return self._places.rests(place, now)
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[place].append(turn)
            try:
                await asyncio.wait([turn], timeout=LOOK_AGAIN_SECONDS)
            finally:
                turn.cancel()  # whoever is called next is one that waits

    def left(self, place: str, inbox_id: int, asked: Future[bool]) -> None:
        """One that asked has its answer, or none."""
        now = datetime.now(UTC)
        error = None if asked.cancelled() else asked.exception()
        answered = not asked.cancelled() and (error is None or isinstance(error, TenantAdminError))
        self._rooms.leave(place, now, answered=answered)
        if answered:
            self._places.answered(place)
        elif error is None or isinstance(error, ServiceAway):
            self._places.not_asked(place)
        else:
            self._places.failed(place, inbox_id, str(error), now)
        waiting = self._waiting.pop(place, deque())
        # Its own room is another's, and one more may be there since the server answers. Nobody waits for one that rests.
        called = len(waiting) if self._places.resting(place, now) else 2
        while waiting and called:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                called -= 1
        if waiting:
            self._waiting[place] = waiting
