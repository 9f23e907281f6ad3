"""Publish: events leave for Redis after the commit that wrote them, in order, at least once (a crash leaves them in the outbox)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from inboxops.errors import TransientError
from inboxops.ports import EventBus
from inboxops.stories.telling import log

GIVES_UP_AFTER = 3
"""One tenant's events may be what the bus does not take."""


class EventOutbox(Protocol):
    def publish_open(self, tenant_id: int, bus: EventBus) -> int: ...


def publish(outbox: EventOutbox, bus: EventBus, tenant_ids: list[int]) -> int:
    """Publish what is open for these tenants; returns how many events went out.

    A bus that is away delays events and loses none: they stay open for `drain_outbox`, and mail goes on (invariant 7). It is away
    for all, and may take seconds to say so: after a few tenants the others are not tried.
    """
    sent = failed = 0
    for tenant_id in tenant_ids:
        try:
            while count := outbox.publish_open(tenant_id, bus):
                sent += count
        except TransientError as exc:
            log.warning("events_kept", tenant=tenant_id, why=str(exc.args[0]), to_do=exc.fix)
            failed += 1
            if failed == GIVES_UP_AFTER:
                break
    return sent


@contextmanager
def alongside(publish: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """Publish in a thread of its own while the block goes on: what is yielded is called after a commit and does not wait.

    Once the block is left, all that was committed has been tried. One try at most waits behind the one under way, so that a bus
    that hangs costs two time-outs, not one for each commit. Raises what `publish` raised, unless the block itself failed.
    """
    tries: list[Future[object]] = []
    with ThreadPoolExecutor(1, thread_name_prefix="publish") as thread:

        def committed() -> None:
            if not tries or tries[-1].running() or tries[-1].done():  # one that waits will see this commit too
                tries.append(thread.submit(publish))

        yield committed
    for each in tries:
        each.result()
