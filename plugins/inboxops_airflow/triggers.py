"""The probe that decides in the triggerer whether an inbox is worth a worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import structlog
from airflow.triggers.base import BaseTrigger, TaskFailedEvent, TaskSkippedEvent, TriggerEvent

from inboxops.errors import InboxOpsError

log = structlog.get_logger("inboxops.probe")
PROBES_AT_ONCE = 32


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
        except InboxOpsError as exc:
            # Recorded on the inbox by then. No attempt is burnt: the next poll is the next try (invariant 6).
            log.warning("inbox_probe_failed", inbox_id=self.inbox_id, kind=exc.kind, error=str(exc))
            yield TaskFailedEvent()
            return
        yield TriggerEvent({"inbox_id": self.inbox_id}) if news else TaskSkippedEvent()


def _wants_fetch(inbox_id: int) -> bool:
    from inboxops_airflow.connections import world

    return world().wants_fetch(inbox_id)
