"""Push: a genuine notice is durable before it is answered, and wakes its inbox behind the answer.

Everything runs in one event loop. Notices that come together are stored together, so that a burst costs few commits; each
inbox is woken by one delivery at a time, and not again before `gap` has gone by, so that a burst costs few runs.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

import structlog

from inboxops.cancelling import cancelled
from inboxops.core.push import (
    ERRANDS,
    Bucket,
    Errand,
    Forged,
    Listener,
    NotSetUp,
    OpenErrand,
    Push,
    gmail_notice,
    graph_notices,
    is_genuine,
)
from inboxops.errors import InboxOpsError

log = structlog.get_logger("inboxops.push")

TOGETHER = 200
DELIVERIES_AT_ONCE = 4
LANES = 10_000

T = TypeVar("T")
R = TypeVar("R")


class Intake(Protocol):
    """What the desk asks of the database."""

    async def gmail_listeners(self, addresses: Sequence[str]) -> Mapping[str, list[Listener]]: ...

    async def graph_listeners(self, subscriptions: Sequence[str]) -> Mapping[str, list[Listener]]: ...

    async def store(self, pushes: Sequence[Push]) -> list[OpenErrand]: ...


class Tokens(Protocol):
    def check(self, token: str) -> None:
        """Raises Forged for a token that is not Google's for us, TransientError while its keys can't be read."""
        ...


class PushDesk:
    """Takes notices in. tokens: None where Google's calls can't be told from forged ones, so that none is taken.

    deliver(errand) blocks; it raises errors of ours, and then the errand stays where it is stored.
    """

    def __init__(
        self, intake: Intake, tokens: Tokens | None, deliver: Callable[[OpenErrand], object], *, gap: float
    ) -> None:
        self._tokens = tokens
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="push-tokens")  # keys may have to be fetched
        self._deliveries = ThreadPoolExecutor(DELIVERIES_AT_ONCE, thread_name_prefix="push")
        self._couriers = Couriers(deliver, self._deliveries, gap=gap)
        self._gmail_listeners = Together(_each(intake.gmail_listeners))
        self._graph_listeners = Together(_each(intake.graph_listeners))
        self._stored = Together(self._store_all)
        self._intake = intake

    async def gmail(self, body: bytes, token: str) -> None:
        """A call of Pub/Sub. An account that is nobody's is none of our business, and no mistake.

        Raises NotSetUp, Forged, InvalidInput for what can't be read, TransientError when nothing was stored.
        """
        if self._tokens is None:
            raise NotSetUp("nothing says who signs Google's calls")
        await asyncio.get_running_loop().run_in_executor(self._checks, self._tokens.check, token)
        notice = gmail_notice(body)
        listeners = await self._gmail_listeners(notice.email_address)
        if listeners:
            errands = tuple((Errand.WAKE, listener.inbox_id) for listener in listeners)
            await self._stored(Push(errands, receipt=f"gmail:{notice.receipt}"))

    async def graph(self, body: bytes) -> None:
        """A call of Graph, about mail or about subscriptions. Forged notices among genuine ones are left out.

        Raises Forged when none is genuine, InvalidInput and TransientError as `gmail`.
        """
        notices = graph_notices(body)
        wanted = dict.fromkeys(notice.subscription_id for notice in notices)
        found = await asyncio.gather(*map(self._graph_listeners, wanted))
        listeners = {id_: listener for id_, known in zip(wanted, found, strict=True) for listener in known}
        genuine = [
            notice
            for notice in notices
            if notice.subscription_id in listeners and is_genuine(notice, listeners[notice.subscription_id])
        ]
        if len(genuine) < len(notices):
            log.warning("graph_notices_forged", count=len(notices) - len(genuine))
        if not genuine:
            raise Forged("no notification is genuine")
        for event, id_ in dict.fromkeys((notice.event, notice.subscription_id) for notice in genuine):
            inbox_id = listeners[id_].inbox_id
            if event:
                log.info("graph_lifecycle", inbox_id=inbox_id, event_kind=event)
            errands = tuple((errand, inbox_id) for errand in ERRANDS.get(event, ()))
            if errands:
                await self._stored(Push(errands, of_mail=not event))

    async def _store_all(self, pushes: Sequence[Push]) -> list[None]:
        for errand in await self._intake.store(pushes):
            self._couriers.send(errand)
        return [None] * len(pushes)

    async def close(self) -> None:
        """What is not delivered by now is, by the drain."""
        await self._couriers.close()
        self._checks.shutdown(wait=False)
        self._deliveries.shutdown(wait=False)


def _each(
    ask: Callable[[Sequence[str]], Awaitable[Mapping[str, list[Listener]]]],
) -> Callable[[Sequence[str]], Awaitable[list[list[Listener]]]]:
    async def answers(keys: Sequence[str]) -> list[list[Listener]]:
        found = await ask(sorted(set(keys)))
        return [found.get(key, []) for key in keys]

    return answers


class Together(Generic[T, R]):
    """Calls that come while another is under way share the next one. ask: answers in the order of its items."""

    def __init__(self, ask: Callable[[Sequence[T]], Awaitable[list[R]]]) -> None:
        self._ask = ask
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._working: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
            [outcome] = await asyncio.gather(self._ask([item for item, _ in batch]), return_exceptions=True)
            for position, (_, answer) in enumerate(batch):
                if answer.done():  # whoever asked went away
                    continue
                if isinstance(outcome, BaseException):
                    answer.set_exception(outcome)
                else:
                    answer.set_result(outcome[position])


class _Lane:
    """One errand of one inbox. wanted: somebody asked since the last delivery began."""

    def __init__(self, gap: float) -> None:
        self.bucket = Bucket(1 / gap if gap else math.inf, 1)
        self.wanted: OpenErrand | None = None
        self.courier: asyncio.Task[None] | None = None


class Couriers:
    """Delivers errands: for each at most one under way and one waiting, with `gap` seconds between their beginnings."""

    def __init__(self, deliver: Callable[[OpenErrand], object], threads: Executor, *, gap: float) -> None:
        self._deliver, self._threads, self._gap = deliver, threads, gap
        self._at_once = asyncio.Semaphore(DELIVERIES_AT_ONCE)
        self._lanes: dict[tuple[Errand, int], _Lane] = {}

    def send(self, errand: OpenErrand) -> None:
        if len(self._lanes) >= LANES:
            self._tidy()
        lane = self._lanes.setdefault((errand.kind, errand.inbox_id), _Lane(self._gap))
        lane.wanted = errand
        if lane.courier is None or lane.courier.done():
            lane.courier = asyncio.create_task(self._run(lane))

    async def _run(self, lane: _Lane) -> None:
        loop = asyncio.get_running_loop()
        while lane.wanted is not None:
            if (seconds := lane.bucket.wait(loop.time())) > 0:
                await asyncio.sleep(seconds)
                continue
            async with self._at_once:
                errand, lane.wanted = lane.wanted, None
                fields = {"kind": errand.kind.value, "inbox_id": errand.inbox_id}
                try:
                    await loop.run_in_executor(self._threads, self._deliver, errand)
                except InboxOpsError as exc:
                    log.warning("push_delivery_waits", **fields, problem=exc.kind, error=str(exc))
                else:
                    log.info("push_delivered", **fields)

    def _tidy(self) -> None:
        """Forget lanes that are as good as new."""
        now = asyncio.get_running_loop().time()
        for key, lane in list(self._lanes.items()):
            if (lane.courier is None or lane.courier.done()) and lane.bucket.is_full(now):
                del self._lanes[key]

    async def close(self) -> None:
        couriers = [lane.courier for lane in self._lanes.values() if lane.courier is not None]
        await cancelled(couriers)
