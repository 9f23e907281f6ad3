"""A tenant moves while its mail is read, judged, filed and answered: nothing is lost, nothing is taken in twice."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from structlog.testing import capture_logs

from inboxops.composition import intake, moving, runs, sending, upkeep
from inboxops.core.push import Errand
from inboxops.errors import Conflict, InvalidInput, Overtaken, TransientError
from inboxops.stories import fetch as fetching
from tests.cells.conftest import Cell, Cells
from tests.sending.conftest import Desk
from tests.stories.conftest import Mailbox, mail


def all_filed(box: Mailbox, count: int) -> None:
    assert box.states() == {"persisted": count}
    assert box.query(
        "SELECT count(*), count(DISTINCT message_id_header) AS different FROM messages WHERE inbox_id = %s",
        box.inbox_id,
    ) == [(count, count)]


def sends(cell: Cell, message_id: int) -> list[str]:
    """The runs that a cell's Airflow was told to send a message by."""
    return [run for run, (_, conf) in cell.airflow.runs.items() if conf == {"message_id": message_id, "attempt": 0}]


def test_both_airflows_are_told_to_read_their_list(two: Cells) -> None:
    two.mailbox()
    before = two.main.airflow.parsed, two.b.airflow.parsed
    moved = moving.move(two.main.world, two.tenant, "b")
    assert (moved.was, moved.cell, set(moved.shown)) == ("main", "b", {"main", "b"})
    assert (two.main.airflow.parsed, two.b.airflow.parsed) == (before[0] + 1, before[1] + 1)


def test_an_airflow_that_is_another_cells_is_not_told_and_that_is_said(two: Cells) -> None:
    """The address of a cell in INBOXOPS_CELLS is not what it seems: another name of the first one's host, say."""
    two.b.airflow.cell = "main"
    with capture_logs() as lines:
        assert not runs.show_inboxes(two.main.world, "b")
    [why] = [line["why"] for line in lines if line["event"] == "list_not_shown"]
    assert f"{two.b.serving.url}" in why
    assert "is that of cell main, and taken for that of b" in why


def test_a_tenant_moves_away_from_an_airflow_that_is_away(two: Cells) -> None:
    two.mailbox()
    two.main.airflow.away()
    moved = moving.move(two.main.world, two.tenant, "b")
    assert moved.shown == ("b",)


def test_a_tenant_moves_to_a_cell_whose_tasks_run_and_to_no_other(two: Cells) -> None:
    two.mailbox()
    with pytest.raises(InvalidInput, match="no Airflow works in cell 'c'"):
        moving.move(two.main.world, two.tenant, "c")
    with two.main.world.database.transaction() as t:
        t.connection.execute(b"UPDATE pulse SET beat_at = now() - interval '5 minutes' WHERE cell = 'b'")
    with pytest.raises(InvalidInput, match="no task has run for"):
        moving.move(two.main.world, two.tenant, "b")
    two.b.beat()
    with pytest.raises(InvalidInput, match="there is no tenant"):
        moving.move(two.main.world, "nobody", "b")


def test_the_old_cell_polls_no_more_and_the_new_one_goes_on_from_there(two: Cells) -> None:
    box = two.mailbox()
    box.deliver(mail("Before"))
    box.run()
    moving.move(two.main.world, two.tenant, "b")
    box.deliver(mail("Behind"))
    assert not intake.wants_fetch(two.main.world, box.inbox_id)
    assert intake.fetch_by_clock(two.main.world, box.inbox_id).skipped
    there = two.in_(two.b, box)
    assert intake.wants_fetch(two.b.world, box.inbox_id)
    assert intake.fetch_by_clock(two.b.world, box.inbox_id).stored == 1
    intake.file(two.b.world, box.inbox_id)
    all_filed(there, 2)


def test_a_run_that_something_woke_in_the_old_cell_hands_the_wake_up_on(two: Cells) -> None:
    box = two.mailbox()
    moving.move(two.main.world, two.tenant, "b")
    assert "cell b" in intake.fetch_woken(two.main.world, box.inbox_id).skipped
    assert two.b.airflow.wakes.count(box.inbox_id) == 1


def test_a_fetch_that_is_under_way_ends_behind_its_batch_and_the_rest_is_the_new_cells(
    two: Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many batches of one message: the tenant moves as the third is stored."""
    box = two.mailbox()
    box.deliver(*(mail(f"Number {number}") for number in range(12)))
    limits = intake.FetchLimits
    monkeypatch.setattr(intake, "FetchLimits", lambda **given: limits(batch_messages=1, **given))
    store, stored = two.main.world.inbound, 0
    add = store.add_batch

    def moves_behind_the_third(*about: Any, **more: Any) -> int:
        nonlocal stored
        stored += 1
        added = add(*about, **more)
        if stored == 3:
            moving.move(two.b.world, two.tenant, "b")
        return added

    monkeypatch.setattr(store, "add_batch", moves_behind_the_third)
    fetched = intake.fetch_woken(two.main.world, box.inbox_id)
    assert fetched.more
    assert 3 <= fetched.stored < 12
    assert two.b.airflow.wakes.count(box.inbox_id) == 1, "the rest is the new cell's"
    again = intake.fetch_woken(two.b.world, box.inbox_id)
    assert again.stored == 12 - fetched.stored, "nothing was read twice"
    intake.file(two.main.world, box.inbox_id)  # what the old run has begun it ends
    intake.file(two.b.world, box.inbox_id)
    all_filed(box, 12)


def test_two_cells_that_read_at_once_take_each_mail_in_once(two: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new cell begins while the old one's batch is on its way: the cursor lets one of them pass."""
    box = two.mailbox()
    box.deliver(*(mail(f"Number {number}") for number in range(5)))
    store = two.main.world.inbound
    add, here, go_on = store.add_batch, threading.Event(), threading.Event()

    def waits(*about: Any, **more: Any) -> int:
        here.set()
        assert go_on.wait(30)
        return add(*about, **more)

    monkeypatch.setattr(store, "add_batch", waits)
    outcome: list[object] = []

    def old() -> None:
        try:
            outcome.append(intake.fetch_by_clock(two.main.world, box.inbox_id))
        except Overtaken as exc:
            outcome.append(exc)

    thread = threading.Thread(target=old)
    thread.start()
    assert here.wait(30)
    moving.move(two.b.world, two.tenant, "b")
    assert intake.fetch_by_clock(two.b.world, box.inbox_id).stored == 5
    go_on.set()
    thread.join(30)
    assert isinstance(outcome[0], Overtaken)
    filing = [threading.Thread(target=intake.file, args=(cell.world, box.inbox_id)) for cell in (two.main, two.b)]
    for each in filing:
        each.start()
    for each in filing:
        each.join(60)
    all_filed(box, 5)


def test_mail_that_the_old_cell_had_not_filed_is_filed_by_the_new_ones_next_poll(two: Cells) -> None:
    box = two.mailbox()
    box.deliver(mail("Stored"))
    intake.fetch(two.main.world, box.inbox_id)
    moving.move(two.main.world, two.tenant, "b")
    assert intake.wants_fetch(two.b.world, box.inbox_id)
    assert not intake.fetch_by_clock(two.b.world, box.inbox_id).skipped
    intake.file(two.b.world, box.inbox_id)
    all_filed(box, 1)


def test_a_reply_whose_run_waits_in_the_old_cell_leaves_by_the_new_one_once(two: Cells, desk: Desk) -> None:
    accepted = desk.reply(desk.ticket())
    sending.dispatch(two.main.world, desk.tenant_id, accepted.message_id, 0)
    assert len(sends(two.main, accepted.message_id)) == 1
    moved = moving.move(two.main.world, two.tenant, "b")
    assert moved.sends == 1
    assert len(sends(two.b, accepted.message_id)) == 1
    assert sending.send(two.b.world, accepted.message_id, 0).state == "sent"
    assert sending.send(two.main.world, accepted.message_id, 0).state == "skipped", "the run that waited"
    assert len(desk.taken) == 1
    assert moving.move(two.main.world, two.tenant, "b").sends == 0


def test_a_run_of_the_old_cell_that_comes_first_hands_its_send_on(two: Cells, desk: Desk) -> None:
    accepted = desk.reply(desk.ticket())
    moving.move(two.main.world, two.tenant, "b")
    told = sending.send(two.main.world, accepted.message_id, 0)
    assert told.state == "skipped"
    assert "cell b" in told.note
    assert desk.taken == []
    before = sends(two.b, accepted.message_id)
    upkeep.drain(two.b.world)
    assert len(sends(two.b, accepted.message_id)) == len(before) + 1


def test_a_reply_that_waits_goes_with_its_tenant_there_and_back(two: Cells, desk: Desk) -> None:
    """Each cell's run hands it on and has ended; coming back, its tenant finds it ordered anew, and not taken for done."""
    accepted = desk.reply(desk.ticket())
    sending.dispatch(two.main.world, desk.tenant_id, accepted.message_id, 0)
    for here, there in ((two.main, two.b), (two.b, two.main)):
        moving.move(two.main.world, two.tenant, there.name)
        assert sending.send(here.world, accepted.message_id, 0).state == "skipped"
        upkeep.drain(there.world)
    before = sends(two.main, accepted.message_id)
    assert len(before) > 1
    assert moving.move(two.main.world, two.tenant, "main").sends == 1, "handing over anew to where it is already"
    upkeep.drain(two.main.world)
    assert len(sends(two.main, accepted.message_id)) == len(before) + 1
    assert sending.send(two.main.world, accepted.message_id, 0).state == "sent"
    assert len(desk.taken) == 1


def test_a_reply_whose_run_is_gone_is_ordered_again_by_its_cell(two: Cells, desk: Desk) -> None:
    """Somebody deleted the run while it waited for its next try."""
    accepted = desk.reply(desk.ticket())
    desk.submission.answer = "451 4.3.0 later"
    sending.dispatch(two.main.world, desk.tenant_id, accepted.message_id, 0)
    with pytest.raises(TransientError):
        sending.send(two.main.world, accepted.message_id, 0)
    desk.box.query(
        "UPDATE outbox SET done_at = now() - interval '3 hours' WHERE kind = 'send' AND tenant_id = %s RETURNING 1",
        desk.tenant_id,
    )
    upkeep.drain(two.main.world)
    assert len(sends(two.main, accepted.message_id)) == 1, "its last try was a moment ago"
    hours_ago = """UPDATE messages SET send_tries = jsonb_build_array(
                       (send_tries -> -1) || jsonb_build_object('at', now() - make_interval(hours => %s)))
                   WHERE id = %s RETURNING 1"""
    desk.box.query(hours_ago, 30, accepted.message_id)
    upkeep.drain(two.main.world)
    assert len(sends(two.main, accepted.message_id)) == 1, "it may be out of date: a person decides"
    desk.box.query(hours_ago, 3, accepted.message_id)
    upkeep.drain(two.b.world)
    assert len(sends(two.main, accepted.message_id)) + len(sends(two.b, accepted.message_id)) == 1, (
        "it is another cell's"
    )
    assert upkeep.drain(two.main.world).sends_ordered_again >= 1
    assert len(sends(two.main, accepted.message_id)) == 2
    upkeep.drain(two.main.world)
    assert len(sends(two.main, accepted.message_id)) == 2, "the new run has its time"


def test_a_cell_that_was_given_up_amid_a_send_keeps_it_from_nobody(two: Cells, desk: Desk) -> None:
    """The old cell's process ended while it held the message, and its Airflow will not try again."""
    accepted = desk.reply(desk.ticket())
    claim = two.main.world.outbound.claim(accepted.message_id, 0, lease_seconds=60)
    assert claim is not None
    moving.move(two.b.world, two.tenant, "b")
    desk.box.query(
        "UPDATE messages SET send_lease_until = now() - interval '1 hour' WHERE id = %s RETURNING 1",
        accepted.message_id,
    )
    upkeep.drain(two.b.world)
    assert desk.row(accepted.message_id)["send_status"] == "sent"
    assert len(desk.taken) == 1


def test_a_replay_that_writes_keeps_its_tenant_where_it_is(two: Cells) -> None:
    box = two.mailbox()
    box.deliver(mail("One"))
    box.run()
    world = two.main.world
    with world.database.transaction() as t:
        number = t.connection.execute(
            b"INSERT INTO replays (tenant_id, state, since, asked_by) VALUES (%s, 'applying', now(), 'Ann') RETURNING id",
            (two.inbox(box).tenant_id,),
        ).fetchone()
    assert number is not None
    with pytest.raises(Conflict, match="is applying"):
        moving.move(world, two.tenant, "b")
    box.query("UPDATE replays SET changed_at = now() - interval '1 hour' WHERE id = %s RETURNING 1", number["id"])
    assert moving.move(world, two.tenant, "b").replays == 1, "its run is no more, the new cell goes on with it"
    assert [dag for dag, _ in two.b.airflow.runs.values()] == ["replay_mail"]


def test_errands_that_wait_go_along(two: Cells) -> None:
    box = two.mailbox()
    two.main.airflow.away()
    assert not runs.wake(two.main.world, box.inbox_id)
    moving.move(two.main.world, two.tenant, "b")
    assert runs.deliver(two.b.world, Errand.WAKE, box.inbox_id) == (1, 0)
    assert two.b.airflow.wakes == [box.inbox_id]


def test_a_look_is_done_once_across_a_move(two: Cells) -> None:
    from datetime import timedelta

    from inboxops.core import looking

    every = timedelta(minutes=5)
    box = two.mailbox()
    for cell in (two.main, two.b):
        cell.world.looks.end()
    two.main.world.looks.follow(every)
    box.query("UPDATE inbox_looks SET due_at = now() WHERE inbox_id = %s RETURNING 1", box.inbox_id)
    mine = [look for look in two.main.world.looks.claim("old", limit=100) if look.inbox_id == box.inbox_id]
    moving.move(two.main.world, two.tenant, "b")
    assert two.main.world.looks.let_go("old") == [], "it is just looking"
    assert not [look for look in two.b.world.looks.claim("new", limit=100) if look.inbox_id == box.inbox_id]
    two.main.world.looks.done("old", [looking.seen(mine[0], found=False, every=every, at=mine[0].claimed_at)])
    assert two.main.world.looks.let_go("old") == [(box.inbox_id, "imap")], "its connection is closed here"
    box.query("UPDATE inbox_looks SET due_at = now() WHERE inbox_id = %s RETURNING 1", box.inbox_id)
    assert not [look for look in two.main.world.looks.claim("old", limit=100) if look.inbox_id == box.inbox_id]
    assert [look for look in two.b.world.looks.claim("new", limit=100) if look.inbox_id == box.inbox_id]


def test_a_fetch_by_hand_is_nobodys_but_who_asks(two: Cells) -> None:
    """`inboxops inbox fetch --here` and the bench read whatever cell it is."""
    box = two.mailbox()
    box.deliver(mail("By hand"))
    moving.move(two.main.world, two.tenant, "b")
    fetched = intake.fetch(two.main.world, box.inbox_id)
    assert isinstance(fetched, fetching.Fetched)
    assert fetched.stored == 1
