"""What runs in the triggerer: the probe that decides whether an inbox is worth a worker, IDLE, looks, and its own pulse."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import structlog
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TaskFailedEvent, TaskSkippedEvent, TriggerEvent

from inboxops.cancelling import cancelled
from inboxops.core.looking import FEW_AT_ONCE
from inboxops.errors import AuthenticationFailed, InboxOpsError, NotFound, ServiceAway
from inboxops_airflow.queues import Queues

if TYPE_CHECKING:
    from inboxops.composition.looking import Looker
    from inboxops.composition.mailboxes import IdleHub
    from inboxops.db.inboxes import Asked

log = structlog.get_logger("inboxops.probe")
PROBES_AT_ONCE = 16
"""They share the interpreter with the event loop, which was seen to wait up to 0.9 s while 32 were busy."""
SWITCH_SECONDS = 0.0005
LOOK_AGAIN_SECONDS = 20.0


@cache
def _threads() -> ThreadPoolExecutor:
    """Blocking clients never touch the event loop that all triggers share; their number is bounded."""
    return ThreadPoolExecutor(PROBES_AT_ONCE, thread_name_prefix="probe")


@cache
def _queues() -> Queues:
    return Queues(PROBES_AT_ONCE - FEW_AT_ONCE)


class ProbeTrigger(BaseTrigger):
    """Is anything new behind the inbox's cursor? No: the run ends here. Yes: `Fetch` goes on in a worker."""

    def __init__(self, inbox_id: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inbox_id = inbox_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "inboxops_airflow.triggers.ProbeTrigger", {"inbox_id": self.inbox_id}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            news = await _outlasted(self.inbox_id)
        except AuthenticationFailed as exc:
            # The inbox is disconnected by then, and Airflow probes once more before it fails a task here: that one would find
            # nothing to do, and the run that could not log in would look well. A worker ends it.
            yield TriggerEvent({"inbox_id": self.inbox_id, "refused": str(exc.args[0]), "to_do": exc.fix})
            return
        except NotFound as exc:  # its DAG goes from the list within minutes
            log.info("inbox_is_gone", inbox_id=self.inbox_id, why=str(exc.args[0]))
            yield TaskSkippedEvent()
            return
        except InboxOpsError as exc:
            # Recorded on the inbox by then. Airflow probes once more, for the retry that a killed process has; then the next poll
            # is the next try (invariant 6).
            from inboxops.stories.telling import WHO

            who = WHO[exc.kind]
            log.warning(
                "inbox_probe_failed", inbox_id=self.inbox_id, why=str(exc.args[0]), who_can_help=who, to_do=exc.fix
            )
            yield TaskFailedEvent()
            return
        log.info("inbox_probed", inbox_id=self.inbox_id, news=news)
        yield TriggerEvent({"inbox_id": self.inbox_id}) if news else TaskSkippedEvent()


async def _outlasted(inbox_id: int) -> bool:
    """`stories.outlast`, holding no thread while it waits."""
    from inboxops.stories.outlast import PAUSES, tell_waits

    for seconds in PAUSES:
        try:
            return await _news(inbox_id)
        except ServiceAway as exc:
            tell_waits(exc, seconds)
        await asyncio.sleep(seconds)
    return await _news(inbox_id)


async def _news(inbox_id: int) -> bool:
    loop = asyncio.get_running_loop()
    asked, place = await loop.run_in_executor(_threads(), _to_probe, inbox_id)
    if not place:
        return await loop.run_in_executor(_threads(), _wants_fetch, inbox_id, asked)
    resting = await _queues().entered(place)
    if resting:
        raise await loop.run_in_executor(_threads(), _passed_over, inbox_id, resting)
    probing = _threads().submit(_wants_fetch, inbox_id, asked)
    # Not when this ends, for a thread goes on when its trigger is cancelled.
    probing.add_done_callback(lambda done: loop.call_soon_threadsafe(_queues().left, place, inbox_id, done))
    return await asyncio.wrap_future(probing)


class PulseTrigger(BaseTrigger):
    """Leaves its time, from a thread as a probe has, and its task ends here: nothing but the triggerer can keep it."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "inboxops_airflow.triggers.PulseTrigger", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            await asyncio.get_running_loop().run_in_executor(_threads(), _triggered)
        except InboxOpsError as exc:
            log.warning("triggerer_pulse_not_kept", why=str(exc))
            yield TaskFailedEvent()
            return
        yield TaskSkippedEvent()  # as a poll that finds nothing: for a success the DAG processor would read the file each time


def _triggered() -> None:
    from inboxops.composition import upkeep
    from inboxops_airflow.connections import world

    upkeep.triggered(world())


def _to_probe(inbox_id: int) -> tuple[Asked, str]:
    from inboxops.composition import looking
    from inboxops_airflow.connections import world

    here = world()
    _yield_to_the_event_loop()
    return looking.to_probe(here, inbox_id)


def _wants_fetch(inbox_id: int, asked: Asked) -> bool:
    from inboxops.composition import intake
    from inboxops_airflow.connections import world

    return intake.wants_fetch(world(), inbox_id, asked)


def _passed_over(inbox_id: int, why: str) -> InboxOpsError:
    from inboxops.composition import looking
    from inboxops_airflow.connections import world

    return looking.pass_over(world(), inbox_id, why)


@cache
def _yield_to_the_event_loop() -> None:
    """So that it waits for the interpreter no longer than it must, once for this process.

    What was imported until now stays: no collection goes through it. A probe that computes hands over after a tenth of the usual
    5 ms, which the loop would wait for each of the probes before it.
    """
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)


class IdleTrigger(BaseEventTrigger):
    """Wakes an inbox when its IMAP server says that mail came. One stream holds the mailboxes of all of them.

    It is an addition to polling: what IDLE misses, the next poll finds.
    """

    def __init__(self, inbox_id: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inbox_id = inbox_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "inboxops_airflow.triggers.IdleTrigger", {"inbox_id": self.inbox_id}

    def shared_stream_key(self) -> Hashable:
        return ("inboxops", "imap-idle")

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[int]:
        from inboxops.composition import mailboxes
        from inboxops_airflow.connections import world

        hub = mailboxes.idle_hub(await asyncio.to_thread(world))
        following = asyncio.create_task(_follow(hub))
        try:
            async for inbox_id in hub.arrivals():
                yield inbox_id
        finally:
            await cancelled([following])
            await asyncio.to_thread(hub.close)

    async def filter_shared_stream(self, shared_stream: AsyncIterator[int]) -> AsyncIterator[TriggerEvent]:
        async for inbox_id in shared_stream:
            if inbox_id == self.inbox_id:
                yield TriggerEvent({"inbox_id": inbox_id})

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Only for the abstract method's sake: with a shared stream the triggerer never calls it."""
        raise AssertionError("IdleTrigger listens on its shared stream")
        yield


class LookTrigger(BaseEventTrigger):
    """One share of looking at all inboxes without a run. Whoever has shares, one triggerer or several, looks with the others.

    Airflow gives shares out when a triggerer starts or dies, and to none that starts while others have them all.

    It has no event: an inbox is woken by an event of its own asset, as a push wakes it, so that it is all one which triggerer
    looked at it.
    """

    def __init__(self, share: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.share = share

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "inboxops_airflow.triggers.LookTrigger", {"share": self.share}

    def shared_stream_key(self) -> Hashable:
        return ("inboxops", "looks")

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[TriggerEvent]:
        looker = await asyncio.to_thread(_looker)
        await looker.run()
        yield

    async def filter_shared_stream(self, shared_stream: AsyncIterator[TriggerEvent]) -> AsyncIterator[TriggerEvent]:
        async for event in shared_stream:
            yield event

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Only for the abstract method's sake: with a shared stream the triggerer never calls it."""
        raise AssertionError("LookTrigger looks on its shared stream")
        yield


def _looker() -> Looker:
    from inboxops.composition import looking
    from inboxops_airflow.connections import world

    here = world()
    _yield_to_the_event_loop()
    return looking.looker(here)


async def _follow(hub: IdleHub) -> None:
    """Hold what the database says now, and note what is held; a database that is away changes nothing."""
    told = dict[int, str]()
    while True:
        try:
            locked = await asyncio.to_thread(_hold, hub)
            for inbox_id, why in locked.items() - told.items():
                log.warning("idle_inbox_left_out", inbox_id=inbox_id, why=why)
            told = locked
        except InboxOpsError as exc:
            log.warning("idle_list_not_read", kind=exc.kind, error=str(exc))
        except Exception:  # nobody foresaw it; the next list may be better, and of a hub that ended the stream ends
            log.exception("idle_list_broke")
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


def _hold(hub: IdleHub) -> dict[int, str]:
    """Why inboxes are left out."""
    from inboxops.composition import mailboxes
    from inboxops_airflow.connections import world

    here = world()
    found, locked = mailboxes.to_hold(here)
    hub.hold(found)
    here.inboxes.note_held(hub.healthy(), cell=here.cell)
    return {inbox_id: str(error) for inbox_id, error in locked.items()}
