"""The probe that decides in the triggerer whether an inbox is worth a worker."""

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
from inboxops.errors import AuthenticationFailed, InboxOpsError

if TYPE_CHECKING:
    from inboxops.composition.looking import Looker
    from inboxops.composition.mailboxes import IdleHub

log = structlog.get_logger("inboxops.probe")
PROBES_AT_ONCE = 16
"""They share the interpreter with the event loop, which was seen to wait up to 0.9 s while 32 were busy."""
SWITCH_SECONDS = 0.0005
LOOK_AGAIN_SECONDS = 20.0


@cache
def _threads() -> ThreadPoolExecutor:
    """Blocking clients never touch the event loop that all triggers share; their number is bounded."""
    return ThreadPoolExecutor(PROBES_AT_ONCE, thread_name_prefix="probe")


class ProbeTrigger(BaseTrigger):
    """Is anything new behind the inbox's cursor? No: the run ends here. Yes: `Fetch` goes on in a worker."""

    def __init__(self, inbox_id: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inbox_id = inbox_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "inboxops_airflow.triggers.ProbeTrigger", {"inbox_id": self.inbox_id}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            news = await asyncio.get_running_loop().run_in_executor(_threads(), _wants_fetch, self.inbox_id)
        except AuthenticationFailed as exc:
            # The inbox is disconnected by then, and Airflow probes once more before it fails a task here: that one would find
            # nothing to do, and the run that could not log in would look well. A worker ends it.
            yield TriggerEvent({"inbox_id": self.inbox_id, "refused": str(exc.args[0]), "to_do": exc.fix})
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


def _wants_fetch(inbox_id: int) -> bool:
    from inboxops.composition import intake
    from inboxops_airflow.connections import world

    here = world()
    _yield_to_the_event_loop()
    return intake.wants_fetch(here, inbox_id)


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
    while True:
        try:
            await asyncio.to_thread(_hold, hub)
        except InboxOpsError as exc:
            log.warning("idle_list_not_read", kind=exc.kind, error=str(exc))
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


def _hold(hub: IdleHub) -> None:
    from inboxops.composition import mailboxes
    from inboxops_airflow.connections import world

    here = world()
    hub.hold(mailboxes.to_hold(here))
    here.inboxes.note_held(hub.healthy(), cell=here.cell)
