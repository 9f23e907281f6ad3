"""A tenant goes to another installation while its mail comes and its agents answer: it is in one of the two, whole, at any time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from airflow.triggers.base import TaskSkippedEvent
from pydantic import SecretStr

from inboxops.composition import departing, intake, sending, upkeep
from inboxops.composition.world import World
from inboxops.core.cells import MOVING
from inboxops.core.installations import range_of
from inboxops.core.push import Errand
from inboxops.db.departures import ArrivalStore, DepartureStore
from inboxops.errors import (
    InboxOpsError,
    InvalidInput,
    Overtaken,
    TransientError,
)
from inboxops_airflow import connections
from inboxops_airflow.triggers import ProbeTrigger
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.processes import wait_until
from tests.cells.installations import (
    STEPS,
    Killed,
    Two,
    changed,
    dies,
    nothing_is_left,
    objects,
    query,
    rows,
    with_file,
)
from tests.sending.conftest import Desk
from tests.stories.conftest import mail


def test_everything_goes_and_the_mailbox_is_read_on_from_where_it_was(both: Two, desk: Desk) -> None:
    box, world, there = desk.box, both.here.world, both.far.world
    box.deliver(with_file("Small file", "small.pdf", 9_000), with_file("Large file", "large.pdf", 400_000))
    answered = desk.ticket(id=f"first-{both.tenant}")
    desk.reply(answered, "An answer that has left.")
    waits = desk.reply(answered, "An answer that waits.")
    box.deliver(mail("Stored and not filed"))
    intake.fetch(world, box.inbox_id)
    tenant_id, before, kept = desk.tenant_id, rows(world, desk.tenant_id), objects(world, desk.tenant_id)
    raw = {
        row[0]: intake.raw_mail(world, int(str(row[0])))
        for row in box.query("SELECT id FROM inbound WHERE inbox_id = %s", box.inbox_id)
    }

    left = both.leave()

    assert left.rows == sum(before.values())
    assert left.objects == len(kept)
    assert objects(there, tenant_id) == kept
    nothing_is_left(both, tenant_id)
    assert both.cell(there) == "far"
    assert both.far.airflow.parsed >= 1
    assert {inbound: intake.raw_mail(there, int(str(inbound))) for inbound in raw} == raw

    box.deliver(mail("Behind"), mail("Re: First", answers=f"first-{both.tenant}"))
    moved = both.in_far(box)
    assert intake.wants_fetch(there, box.inbox_id)
    moved.run()
    assert moved.states() == {"persisted": 6}, (
        "nothing was read twice, what was stored is filed, and nothing is missing"
    )
    answers = moved.query("SELECT count(*) FROM messages WHERE ticket_id = %s AND direction = 'inbound'", answered)
    assert answers == [(2,)], "an answer to what was sent from the other installation joins its ticket"
    assert sending.send(there, waits.message_id, 0).state == "sent"
    newest = moved.query("SELECT max(id), max(reserved_message_id) FROM inbound WHERE inbox_id = %s", box.inbox_id)
    assert all(range_of(int(str(id_))) == 7 for id_ in newest[0])
    runs = [conf for _, conf in both.far.airflow.runs.values()]
    assert {"message_id": waits.message_id, "attempt": 0} in runs, "its run stands in the Airflow that was left"


def test_a_key_and_a_webhooks_secret_work_where_the_tenant_is(both: Two, desk: Desk) -> None:
    made = both.here.world.api_keys.add(desk.tenant_id, name="robot", role="agent")
    upkeep.tell(both.here.world, desk.tenant_id, mail="", url="https://93.184.216.34/x", kinds=["mail_parked"])
    tenant_id = desk.tenant_id
    both.leave()
    found = both.far.world.api_keys.caller(made)
    assert found is not None
    assert found.tenant_id == tenant_id
    sealed = [
        row[0]
        for row in query(both.far.world, "SELECT secret_encrypted FROM notify_channels WHERE tenant_id = %s", tenant_id)
    ]
    assert both.far.world.vault.open(sealed[0])["secret"].startswith("whsec_")


def test_a_tenant_comes_home_with_what_came_elsewhere(both: Two, desk: Desk) -> None:
    desk.box.deliver(mail("At home"))
    desk.box.run()
    tenant_id = desk.tenant_id
    both.leave()
    away = replace(desk, box=both.in_far(desk.box))
    accepted = away.reply(away.ticket(subject="Away"))
    assert away.send(accepted) == "sent"
    both.here.beat()
    known = SecretStr(f"{both.far.world.settings.signing_key.get_secret_value()}@2100-01-01T00:00:00Z")
    home = replace(both.here, world=changed(both.here.world, previous_signing_keys=known))
    back = Two(both.far, home, both.tenant, both.said)
    back.leave("main")
    nothing_is_left(back, tenant_id)
    desk.box.deliver(mail("Home again"))
    desk.box.run()
    assert [subject for subject, _ in desk.box.tickets()] == ["At home", "Away", "Home again"]
    assert {
        range_of(int(str(row[0])))
        for row in desk.box.query("SELECT id FROM messages WHERE inbox_id = %s", desk.box.inbox_id)
    } == {0, 7}


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize("step", STEPS)
def test_the_same_command_goes_on_from_wherever_it_ended(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str, behind: bool
) -> None:
    box = desk.box
    box.deliver(mail("One"), with_file("Two", "large.pdf", 400_000))
    box.run()
    tenant_id, kept = desk.tenant_id, objects(both.here.world, desk.tenant_id)
    dies(monkeypatch, *STEPS[step], behind=behind)
    with pytest.raises(Killed):
        both.leave()
    assert both.cell(both.far.world) != both.cell(both.here.world), "it is worked for in one of them at most"
    works = [cell for cell in (both.cell(both.far.world), both.cell(both.here.world)) if cell not in (MOVING, None)]
    assert len(works) <= 1
    box.deliver(mail("Meanwhile"))
    if (step, behind) == ("it is ended", True):
        with pytest.raises(InvalidInput, match="there is no tenant"):
            both.leave()
    else:
        both.leave()
    nothing_is_left(both, tenant_id)
    moved = both.in_far(box)
    moved.run()
    assert moved.states() == {"persisted": 3}
    assert kept.items() <= objects(both.far.world, tenant_id).items()


def test_while_rows_are_copied_nothing_is_written_and_nothing_lost(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch that was under way, an agent's answer, a status that is changed, mail that is judged."""
    box, world = desk.box, both.here.world
    ticket = desk.ticket(subject="Before", answers="something-older")
    box.deliver(mail("Stored"))
    intake.fetch(world, box.inbox_id)
    refused: list[str] = []
    take = ArrivalStore.take

    def meanwhile(*about: Any) -> int:
        box.deliver(mail("Meanwhile"))
        attempts: list[Callable[[], Any]] = [
            lambda: intake.fetch(world, box.inbox_id),
            lambda: intake.classify(world, box.inbox_id),
            lambda: desk.reply(ticket, "Too late."),
            lambda: world.outbox.add_errand(Errand.WAKE, desk.tenant_id, box.inbox_id),
            lambda: query(world, "DELETE FROM participants WHERE tenant_id = %s RETURNING 1", desk.tenant_id),
            lambda: query(world, "DELETE FROM message_references WHERE inbox_id = %s RETURNING 1", box.inbox_id),
            lambda: query(world, "UPDATE tenants SET name = 'x' WHERE id = %s RETURNING 1", desk.tenant_id),
        ]
        for attempt in attempts:
            with pytest.raises(TransientError, match="moving to another installation") as said:
                attempt()
            refused.append(str(said.value))
        return take(*about)

    monkeypatch.setattr(ArrivalStore, "take", meanwhile)
    both.leave()
    assert len(refused) == 7
    moved = both.in_far(box)
    moved.run()
    assert moved.states() == {"persisted": 3}
    assert sorted(str(subject) for subject, _ in moved.tickets()) == ["Before", "Meanwhile", "Stored"]


def test_runs_of_the_airflow_that_was_left_say_so_and_fail_nothing(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its DAGs stay in the list for some minutes."""
    world, inbox_id = both.here.world, desk.box.inbox_id
    with monkeypatch.context() as patched:
        dies(patched, *STEPS["its rows are copied"], behind=False)
        with pytest.raises(Killed):
            both.leave()
    for fetch in (intake.fetch_woken, intake.fetch_by_clock):
        assert "on its way to another installation" in fetch(world, inbox_id).skipped
    assert not intake.wants_fetch(world, inbox_id)
    both.leave()
    for fetch in (intake.fetch_woken, intake.fetch_by_clock):
        assert "here no more" in fetch(world, inbox_id).skipped
    monkeypatch.setattr(connections, "world", lambda: world)

    async def probed() -> Any:
        return await anext(ProbeTrigger(inbox_id).run())

    assert type(asyncio.run(probed())) is TaskSkippedEvent


def test_a_batch_that_comes_when_the_tenant_has_left_is_taken_in_where_it_is(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, box = both.here.world, desk.box
    box.deliver(mail("Late"))
    add = world.inbound.add_batch

    def too_late(*about: Any, **more: Any) -> int:
        both.leave()
        return add(*about, **more)

    with monkeypatch.context() as patched:
        patched.setattr(world.inbound, "add_batch", too_late)
        with pytest.raises(Overtaken, match="here no more"):
            intake.fetch(world, box.inbox_id)
    moved = both.in_far(box)
    moved.run()
    assert moved.states() == {"persisted": 1}


def test_other_tenants_go_on_while_one_is_moved(
    both: Two, desk: Desk, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.stories.conftest import connect

    other = f"{both.tenant}-other"
    both.here.world.inboxes.add_tenant(other, "Other")
    neighbour = connect(both.here.world, other, mail_server)
    take = ArrivalStore.take

    def meanwhile(*about: Any) -> int:
        neighbour.deliver(mail("Neighbour"))
        neighbour.run()
        return take(*about)

    monkeypatch.setattr(ArrivalStore, "take", meanwhile)
    both.leave()
    assert neighbour.states() == {"persisted": 1}


def test_amid_mail_and_answers_each_is_there_once(both: Two, desk: Desk) -> None:
    """Three processes' worth of work on it while it moves; each stops as it is refused, and goes on in the other installation."""
    box, world = desk.box, both.here.world
    tickets = [desk.ticket(subject=f"Ticket {number}") for number in range(3)]
    accepted: list[int] = []
    stop, delivered = threading.Event(), [0]

    def mails() -> None:
        while not stop.is_set() and delivered[0] < 200:
            box.deliver(mail(f"Load {delivered[0]}"))
            delivered[0] += 1

    def works() -> None:
        while not stop.is_set():
            try:
                intake.fetch(world, box.inbox_id)
                intake.file(world, box.inbox_id)
            except InboxOpsError:
                stop.wait(0.05)

    def answers() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                one = desk.reply(tickets[number % 3], f"Answer {number}", idempotency_key=f"{number}")
            except InboxOpsError:
                stop.wait(0.05)
                continue
            accepted.append(one.message_id)
            try:
                sending.send(world, one.message_id, 0)
            except InboxOpsError:
                stop.wait(0.05)

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(job) for job in (mails, works, answers)]
        while len(accepted) < 5:
            stop.wait(0.05)
        try:
            both.leave()
        finally:
            stop.set()
        for job in jobs:
            job.result()
    nothing_is_left(both, query(both.far.world, "SELECT id FROM tenants WHERE slug = %s", both.tenant)[0][0])
    away = replace(desk, box=both.in_far(box))
    away.box.run()
    states = away.box.states()
    assert states == {"persisted": 3 + delivered[0]}, states
    kept = {
        row[0]
        for row in away.box.query(
            "SELECT id FROM messages WHERE inbox_id = %s AND direction = 'outbound'", box.inbox_id
        )
    }
    assert kept == set(accepted), "what was accepted is there, and what was not is not"
    for message_id in accepted:
        if away.row(message_id)["send_status"] != "sent":
            sending.send(both.far.world, message_id, 0)
    subjects = [taken.message.message_id for taken in desk.taken]
    assert len(subjects) == len(set(subjects)) == len(accepted), "each left once"


def test_a_message_that_is_being_sent_is_waited_for(both: Two, desk: Desk) -> None:
    accepted = desk.reply(desk.ticket())
    claim = both.here.world.outbound.claim(accepted.message_id, 0, lease_seconds=300)
    assert claim is not None
    waited = threading.Event()

    def tell(line: str) -> None:
        both.said.append(line)
        if "is being sent" in line and not waited.is_set():
            waited.set()
            desk.let_lease_end(accepted.message_id)

    departing.leave(both.here.world, both.far.world, both.tenant, "far", tell=tell)
    assert waited.is_set()
    assert both.cell(both.far.world) == "far"


def test_of_a_tenant_that_is_held_nothing_is_begun_to_be_sent(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would leave, and as nothing is written any more, could not be told to have left."""
    accepted = desk.reply(desk.ticket())
    freeze, claims = DepartureStore.freeze, []

    def claimed(store: DepartureStore, tenant_id: int) -> None:
        claims.append(both.here.world.outbound.claim(accepted.message_id, 0, lease_seconds=300))
        freeze(store, tenant_id)

    monkeypatch.setattr(DepartureStore, "freeze", claimed)
    both.leave()
    assert claims == [None]
    assert replace(desk, box=both.in_far(desk.box)).send(accepted) == "sent"


def test_a_claim_that_is_being_made_is_seen_by_who_holds_the_tenant(both: Two, desk: Desk) -> None:
    accepted = desk.reply(desk.ticket())
    claimed = threading.Event()

    def tell(line: str) -> None:
        if "is being sent" in line:
            claimed.set()
            desk.let_lease_end(accepted.message_id)

    with ThreadPoolExecutor(1) as pool:
        with both.here.world.database.transaction() as t:
            assert t.row("claim_send", id=accepted.message_id, attempt=0, lease_seconds=300)
            moves = pool.submit(departing.leave, both.here.world, both.far.world, both.tenant, "far", tell=tell)
            wait_until("it waits for the claim", lambda: waits_for_a_lock(both.here.world), seconds=60)
        moves.result(timeout=120)
    assert claimed.is_set()


def waits_for_a_lock(world: World) -> bool:
    """A statement of the role that owns the tables, which sees its own."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM tenants WHERE slug%'"
    with psycopg.connect(world.settings.owner_dsn) as connection:
        row = connection.execute(asked.encode()).fetchone()
    return row is not None and row[0] > 0
