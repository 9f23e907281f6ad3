"""Events leave beside the work that commits them."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from inboxops.errors import ServiceAway
from inboxops.ports import EventBus, PublishedEvent
from inboxops.stories.publish import alongside, publish


def test_a_bus_that_hangs_is_waited_for_twice_at_most_however_much_is_committed_meanwhile() -> None:
    hanging, begun = threading.Event(), threading.Event()
    tries = []

    def publish() -> None:
        tries.append(len(tries))
        begun.set()
        assert hanging.wait(30)

    with alongside(publish) as committed:
        committed()
        assert begun.wait(30)
        for _ in range(20):
            committed()
        hanging.set()
    assert len(tries) == 2, "the try under way, and one that sees all that was committed behind its beginning"


def test_what_goes_wrong_beside_the_work_is_told_when_it_is_over() -> None:
    def publish() -> None:
        raise RuntimeError("no bus at all")

    with pytest.raises(RuntimeError, match="no bus at all"), alongside(publish) as committed:
        committed()


class NoBus:
    def publish(self, events: Sequence[PublishedEvent]) -> None:
        raise AssertionError("the outbox speaks to it")


class AwayFor:
    """An outbox and the tenants for whom its bus is away."""

    def __init__(self, *away: int) -> None:
        self.away, self.tried = away, list[int]()

    def publish_open(self, tenant_id: int, bus: EventBus) -> int:
        self.tried.append(tenant_id)
        if tenant_id in self.away:
            raise ServiceAway("Redis takes no events: OOM", fix="Check INBOXOPS_REDIS_URL if this lasts")
        return 0


def test_a_bus_that_is_away_is_not_asked_again_for_each_of_a_thousand_tenants() -> None:
    """It may take seconds to say so each time, and sends and wakes wait behind it."""
    outbox = AwayFor(*range(1000))
    assert publish(outbox, NoBus(), list(range(1000))) == 0
    assert len(outbox.tried) == 3


def test_a_tenant_whose_events_are_not_taken_keeps_no_others_in_and_the_log_says_why() -> None:
    outbox = AwayFor(1)
    with capture_logs() as said:
        publish(outbox, NoBus(), [1, 2])
    assert outbox.tried == [1, 2]
    assert [(line["event"], line["tenant"], line["why"]) for line in said] == [
        ("events_kept", 1, "Redis takes no events: OOM")
    ]
