"""What a cell does concerns its own tenants: nothing is done by two, and nothing by none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from psycopg.sql import SQL, Identifier

from inboxops.composition import certifying, intake, mailboxes, moving, runs, upkeep
from inboxops.composition.world import World
from inboxops.core.push import Errand
from inboxops_local.standins.http import Fault
from tests.cells.conftest import Cell, Cells
from tests.stories.conftest import mail

EVERY = timedelta(minutes=5)


def of_the_roster(world: World) -> set[int]:
    with world.database.transaction() as t:
        return {row["id"] for row in t.rows("roster", idle_inboxes=1000, cell=world.cell)}


def held_in_idle(world: World) -> set[int]:
    found, _ = mailboxes.to_hold(world)
    return {account.inbox_id for account, _ in found}


def looked_at(world: World) -> set[int]:
    world.looks.follow(EVERY)
    with world.database.transaction() as t:
        t.connection.execute(b"UPDATE inbox_looks SET due_at = now() - interval '5 seconds', claimed_until = NULL")
    return {look.inbox_id for look in world.looks.claim(f"looker of {world.cell}", limit=1000)}


def with_a_canary_due(world: World) -> set[int]:
    return set(world.canaries.due(cell=world.cell))


def left_behind(world: World) -> set[int]:
    return set(world.inboxes.left_behind(cell=world.cell, minutes=15))


def with_a_watch_due(world: World) -> set[int]:
    return set(world.push.due("imap", cell=world.cell, within=EVERY, limit=1000))


@pytest.mark.parametrize(
    "found", [of_the_roster, held_in_idle, looked_at, with_a_canary_due, left_behind, with_a_watch_due]
)
def test_an_inbox_is_one_cells_business(two: Cells, found: Callable[[World], set[int]]) -> None:
    box = two.mailbox()
    box.deliver(mail("Left by a crash"))
    intake.fetch(two.main.world, box.inbox_id)
    two.main.world.canaries.wish(box.inbox_id, minutes=60, from_id=None)
    box.query("UPDATE inbound SET updated_at = now() - interval '1 hour' WHERE inbox_id = %s RETURNING 1", box.inbox_id)
    assert box.inbox_id in found(two.main.world)
    assert box.inbox_id not in found(two.b.world)
    moving.move(two.main.world, two.tenant, "b")
    assert box.inbox_id not in found(two.main.world)
    assert box.inbox_id in found(two.b.world)


def test_certificates_are_made_by_the_tenants_cell(two: Cells) -> None:
    box = two.mailbox()
    box.deliver(mail("One"))
    box.run()
    tenant_id = two.inbox(box).tenant_id
    moving.move(two.main.world, two.tenant, "b")
    assert tenant_id not in certifying.due(two.main.world, limit=1000)
    assert tenant_id in certifying.due(two.b.world, limit=1000)


def test_what_one_cell_holds_in_idle_says_nothing_of_anothers_inboxes(two: Cells) -> None:
    box = two.mailbox()
    two.main.world.inboxes.note_held([box.inbox_id], cell="main")
    two.b.world.inboxes.note_held([], cell="b")
    assert box.query("SELECT idle_since IS NOT NULL FROM inboxes WHERE id = %s", box.inbox_id) == [(True,)]


def test_the_drain_delivers_what_waits_for_its_own_tenants(two: Cells) -> None:
    box = two.mailbox()
    inbox = two.inbox(box)
    moving.move(two.main.world, two.tenant, "b")
    two.main.world.outbox.add_errand(Errand.WAKE, inbox.tenant_id, inbox.id)
    upkeep.drain(two.main.world)
    assert inbox.id not in two.main.airflow.wakes + two.b.airflow.wakes
    upkeep.drain(two.b.world)
    assert two.b.airflow.wakes.count(inbox.id) == 1
    assert inbox.id not in two.main.airflow.wakes


def test_a_wake_up_goes_to_the_airflow_of_the_tenants_cell(two: Cells) -> None:
    box = two.mailbox()
    assert runs.wake(two.b.world, box.inbox_id)
    assert (two.main.airflow.wakes.count(box.inbox_id), two.b.airflow.wakes.count(box.inbox_id)) == (1, 0)
    moving.move(two.main.world, two.tenant, "b")
    assert runs.wake(two.main.world, box.inbox_id)
    assert (two.main.airflow.wakes.count(box.inbox_id), two.b.airflow.wakes.count(box.inbox_id)) == (1, 1)


def test_inboxes_whose_number_begins_as_another_ones_keep_no_wake_up_from_it(two: Cells) -> None:
    """Airflow is asked by a pattern, and answers a page: a hundred others of the cell fit that of a low number."""
    two.main.world.airflow.wake(7)
    assert two.main.airflow.wakes == [7]


def test_an_airflow_that_is_away_or_not_known_keeps_its_own_tenants_waiting_and_no_others(two: Cells) -> None:
    box = two.mailbox()
    moving.move(two.main.world, two.tenant, "b")
    two.b.airflow.away()
    assert not runs.wake(two.main.world, box.inbox_id)
    two.b.airflow.heal()
    knows_itself_alone = World(
        two.main.world.settings.model_copy(update={"cells": type(two.main.world.settings.cells)("")})
    )
    assert not runs.wake(knows_itself_alone, box.inbox_id)
    knows_itself_alone.close()
    assert box.inbox_id not in two.b.airflow.wakes
    upkeep.drain(two.b.world)
    assert two.b.airflow.wakes.count(box.inbox_id) == 1


def test_what_airflow_refuses_waits_as_if_it_were_away_and_keeps_the_drain_from_nothing(two: Cells) -> None:
    """The account's password was changed in Airflow alone."""
    box = two.mailbox()
    tenant_id = two.inbox(box).tenant_id
    two.main.airflow.fail(Fault("auth/token|assets|dagRuns", status=401, times=10_000))
    assert not runs.wake(two.main.world, box.inbox_id)
    runs.ask_for_registration(two.main.world, two.inbox(box))
    assert not runs.ask_for_replay(two.main.world, tenant_id, 1)
    drained = upkeep.drain(two.main.world)
    assert drained.wakes_waiting >= 1
    said = box.query(
        "SELECT last_error FROM outbox WHERE tenant_id = %s AND kind IN ('wake', 'replay') AND done_at IS NULL",
        tenant_id,
    )
    assert len(said) == 2
    assert all("INBOXOPS_AIRFLOW_URL, _USERNAME and _PASSWORD" in error for (error,) in said)
    two.main.airflow.heal()
    assert runs.deliver(two.main.world, Errand.WAKE, box.inbox_id) == (1, 0)
    assert two.main.airflow.wakes.count(box.inbox_id) == 1


def test_what_is_done_for_all_cells_is_done_by_the_first_with_tenants_whose_tasks_and_drain_run(two: Cells) -> None:
    def on_duty() -> list[str]:
        return [cell.name for cell in (two.main, two.b) if cell.world.heart.is_on_duty()]

    def ten_minutes_pass(cell: Cell, *, since: str) -> None:
        change = SQL("UPDATE pulse SET {} = now() - interval '10 minutes' WHERE cell = %s").format(Identifier(since))
        with cell.world.database.transaction() as t:
            t.connection.execute(change, (cell.name,))

    with two.main.world.database.transaction() as t:
        t.connection.execute(b"UPDATE tenants SET cell = 'main'")
    assert on_duty() == ["main"], (
        "an empty cell with an early name takes nothing over, and deletes nothing by its settings"
    )
    assert upkeep.housekeep(two.b.world).skipped
    two.main.world.inboxes.add_tenant(f"{two.tenant}-b", "In b", cell="b")
    assert on_duty() == ["b"]
    assert upkeep.housekeep(two.main.world).skipped
    assert not upkeep.housekeep(two.b.world).skipped
    ten_minutes_pass(two.b, since="drained_at")
    assert on_duty() == ["main"], "it beats, but nobody tells admins there: its drain is gone"
    upkeep.drain(two.b.world)
    assert on_duty() == ["b"]
    ten_minutes_pass(two.b, since="beat_at")
    assert on_duty() == ["main"]
    ten_minutes_pass(two.main, since="beat_at")
    assert on_duty() == ["main", "b"], "rather twice than never: all of it may be done twice"
    two.main.beat()
    two.b.beat()


def test_a_cell_that_stands_still_is_named_however_well_the_others_are(two: Cells) -> None:
    box = two.mailbox()
    assert box
    two.main.world.inboxes.add_tenant(f"{two.tenant}-b", "In b", cell="b")
    assert upkeep.pulse_state(two.main.world).well
    with two.main.world.database.transaction() as t:
        t.connection.execute(b"UPDATE pulse SET beat_at = now() - interval '5 minutes' WHERE cell = 'b'")
    found = upkeep.pulse_state(two.main.world)
    assert (found.well, found.stalled) == (False, True)
    assert "(cell b)" in found.said
    assert "main" not in found.said
    two.b.beat()
    assert upkeep.pulse_state(two.main.world).well
