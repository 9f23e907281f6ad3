"""Between the webhook and Airflow: nothing is lost, and a burst is a few wake-ups."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from inboxops.composition import upkeep
from inboxops.core.push import Errand, OpenErrand
from inboxops.db import outbox
from inboxops.errors import TransientError
from inboxops.stories.push import Couriers, Together
from tests.e2e.conftest import eventually
from tests.push.conftest import Office

INBOX = OpenErrand(Errand.WAKE, inbox_id=1, tenant_id=1)


def test_while_airflow_is_away_the_wake_up_waits_and_the_drain_delivers_it(office: Office) -> None:
    inbox = office.inbox("gmail")
    office.airflow.away()
    assert office.push_gmail(office.pubsub.envelope(inbox.email_address, 7)).status_code == 204
    eventually(
        "the delivery failed",
        lambda: office.query("SELECT 1 FROM outbox WHERE name = %s AND last_error <> ''", str(inbox.id)),
    )
    assert office.open_errands(inbox) == 1
    office.airflow.heal()
    office.run("UPDATE outbox SET available_at = now() WHERE name = %s", str(inbox.id))
    assert upkeep.drain(office.world).wakes >= 1
    office.woken(inbox)


def test_the_drain_leaves_fresh_wake_ups_to_whoever_stored_them(office: Office) -> None:
    inbox = office.inbox("gmail")
    office.airflow.away()
    office.push_gmail(office.pubsub.envelope(inbox.email_address, 7))
    [(seconds,)] = office.query(
        "SELECT extract(epoch FROM available_at - created_at) FROM outbox WHERE kind = 'wake' AND name = %s",
        str(inbox.id),
    )
    assert seconds > office.settings.wake_gap_seconds


def test_a_burst_is_stored_whole_and_wakes_a_few_times(office: Office) -> None:
    inbox = office.inbox("gmail")
    bodies = [office.pubsub.envelope(inbox.email_address, number) for number in range(200)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda body: office.push_gmail(body, token=office.pubsub.token()), bodies))
    assert {answer.status_code for answer in answers} == {204}
    receipts = [f"gmail:{body['message']['messageId']}" for body in bodies]
    assert office.query("SELECT count(*) FROM push_receipts WHERE receipt = ANY (%s)", receipts) == [(200,)]
    eventually("no wake-up is open", lambda: office.open_errands(inbox) == 0)
    assert 1 <= office.wakes(inbox) < 50


def test_a_push_during_a_delivery_is_delivered_again(office: Office) -> None:
    """The delivery may have come too early for it: its mail may be behind the fetch that was started."""
    inbox = office.inbox("gmail")
    store, calls = office.world.outbox, []

    def deliver(inbox_id: int, errand_id: int, cell: str) -> None:
        calls.append(errand_id)
        if len(calls) == 1:
            store.add_errand(Errand.WAKE, inbox.tenant_id, inbox.id)

    store.add_errand(Errand.WAKE, inbox.tenant_id, inbox.id)
    store.add_errand(Errand.WAKE, inbox.tenant_id, inbox.id)
    assert store.deliver_errands(Errand.WAKE, deliver, about=inbox.id) == (1, 0)
    assert office.open_errands(inbox) == 1
    assert store.deliver_errands(Errand.WAKE, deliver, about=inbox.id) == (1, 0)
    assert office.open_errands(inbox) == 0
    assert len(calls) == 2


def test_what_nobody_delivers_to_the_end_is_free_again_after_the_lease(office: Office) -> None:
    inbox = office.inbox("gmail")
    store = office.world.outbox

    def killed(inbox_id: int, errand_id: int, cell: str) -> None:
        raise KeyboardInterrupt

    store.add_errand(Errand.WAKE, inbox.tenant_id, inbox.id)
    with pytest.raises(KeyboardInterrupt):
        store.deliver_errands(Errand.WAKE, killed, about=inbox.id)
    seen: list[int] = []
    store.deliver_errands(Errand.WAKE, lambda inbox_id, _, __: seen.append(inbox_id))
    assert inbox.id not in seen
    office.run("UPDATE outbox SET available_at = available_at - interval '60 seconds' WHERE name = %s", str(inbox.id))
    store.deliver_errands(Errand.WAKE, lambda inbox_id, _, __: seen.append(inbox_id))
    assert inbox.id in seen


@pytest.fixture
def each_takes_25_seconds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What an Airflow takes to answer that has too much to do."""
    passed = list[None]()
    monkeypatch.setattr(outbox, "time", SimpleNamespace(monotonic=lambda: 25 * len(passed)))
    return lambda *about: passed.append(None)


def test_a_slow_airflow_holds_up_no_longer_than_the_lease_and_the_rest_is_the_next_ones(
    office: Office, each_takes_25_seconds: Callable[..., None]
) -> None:
    """Else the drain was cut off while it delivered, and came to nothing that stands behind."""
    store, inboxes = office.world.outbox, [office.inbox("gmail") for _ in range(5)]
    office.run("UPDATE outbox SET done_at = now() WHERE done_at IS NULL AND kind IN ('wake', 'send')")
    for inbox in inboxes:
        store.add_errand(Errand.WAKE, inbox.tenant_id, inbox.id)
    assert store.deliver_errands(Errand.WAKE, each_takes_25_seconds) == (3, 2)
    assert sum(office.open_errands(inbox) for inbox in inboxes) == 2


def test_so_it_does_with_sends_of_which_those_that_began_are_not_begun_again(
    office: Office, each_takes_25_seconds: Callable[..., None]
) -> None:
    store, tenant_id = office.world.outbox, office.inbox("gmail").tenant_id
    office.run(
        "INSERT INTO outbox (tenant_id, kind, name, payload)"
        " SELECT %s, 'send', 'slow-' || n, jsonb_build_object('message_id', n, 'attempt', 0) FROM generate_series(0, 4) n",
        tenant_id,
    )
    assert store.deliver_sends(each_takes_25_seconds, tenant_id=tenant_id) == (3, 2)
    left = office.query("SELECT name FROM outbox WHERE tenant_id = %s AND kind = 'send' AND done_at IS NULL", tenant_id)
    assert left == [("slow-3",), ("slow-4",)]


# -- in one process


def test_calls_that_come_together_share_one_and_each_gets_its_own_answer() -> None:
    asked: list[list[int]] = []

    async def ask(items: object) -> list[int]:
        asked.append(list(items))  # type: ignore[call-overload]
        await asyncio.sleep(0)
        return [-item for item in asked[-1]]

    async def scenario() -> list[int]:
        together = Together(ask)
        return await asyncio.gather(*(together(number) for number in range(20)))

    assert asyncio.run(scenario()) == [-number for number in range(20)]
    assert len(asked) <= 2


def test_when_storing_fails_everybody_who_asked_is_told_and_the_next_call_is_a_new_one() -> None:
    async def scenario() -> None:
        failing = True

        async def ask(items: object) -> list[str]:
            if failing:
                raise TransientError("away")
            return ["stored"]

        together = Together(ask)
        outcomes = await asyncio.gather(*(together(number) for number in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [TransientError] * 3
        failing = False
        assert await together(4) == "stored"

    asyncio.run(scenario())


def test_one_delivery_is_under_way_and_one_waits_however_many_are_asked_for() -> None:
    began, go = threading.Semaphore(0), threading.Semaphore(0)
    deliveries: list[OpenErrand] = []

    def deliver(errand: OpenErrand) -> None:
        deliveries.append(errand)
        began.release()
        assert go.acquire(timeout=60)

    async def scenario() -> None:
        with ThreadPoolExecutor(2) as threads:
            couriers = Couriers(deliver, threads, gap=0)
            couriers.send(INBOX)
            await asyncio.to_thread(began.acquire)
            for _ in range(100):
                couriers.send(INBOX)
            go.release(2)
            await asyncio.to_thread(began.acquire)
            await couriers.close()

    asyncio.run(scenario())
    assert deliveries == [INBOX, INBOX]


def test_a_delivery_that_fails_stops_no_other_inbox() -> None:
    delivered = threading.Event()

    def deliver(errand: OpenErrand) -> None:
        if errand == INBOX:
            raise TransientError("Airflow is away")
        delivered.set()

    async def scenario() -> None:
        with ThreadPoolExecutor(1) as threads:
            couriers = Couriers(deliver, threads, gap=0)
            couriers.send(INBOX)
            couriers.send(OpenErrand(Errand.WAKE, inbox_id=2, tenant_id=1))
            assert await asyncio.to_thread(delivered.wait, 20)
            await couriers.close()

    asyncio.run(scenario())
