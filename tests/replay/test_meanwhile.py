"""What people ask for, write and erase while stored mail is read again, and since: none of it is lost, and nothing comes back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from inboxops.composition import erasing, replaying
from inboxops.core.replay import Group
from inboxops.core.replay_report import Example, Report
from inboxops.db.database import Transaction
from inboxops_lab.testing.processes import wait_until
from tests.replay.conftest import Replays
from tests.stories.conftest import mail

CUSTOMER = '{"name": "", "address": "x@y.example", "rule": "old", "claimed": false}'


def older(desk: Replays) -> None:
    """Two mails whose text and customer were read otherwise once."""
    desk.box.deliver(*(mail(f"Mail {n}") for n in range(2)))
    desk.box.run()
    desk.change(
        "UPDATE messages SET body_text = 'older', customer = %s::jsonb WHERE inbox_id = %s", CUSTOMER, desk.box.inbox_id
    )


def after(monkeypatch: pytest.MonkeyPatch, of: object, name: str, then: Callable[[], object]) -> None:
    """Have something happen once, right behind a step of the run."""
    step, happened = getattr(of, name), []

    def stepped(*given: Any, **more: Any) -> Any:
        answer = step(*given, **more)
        if not happened:
            happened.append(name)
            then()
        return answer

    monkeypatch.setattr(of, name, stepped)


@pytest.mark.parametrize("step", ["went_on", "to_file"])
def test_a_group_that_is_added_while_a_replay_is_applied_is_applied_with_it(
    desk: Replays, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    older(desk)
    replay_id = desk.preview()["id"]
    monkeypatch.setattr("inboxops.stories.replay.PAGE", 1)
    monkeypatch.setattr("inboxops.composition.runs.ask_for_replay", lambda *given: True)
    also = (desk.world, desk.tenant_id, replay_id, [Group.CUSTOMER])
    after(monkeypatch, desk.world.replays, step, lambda: replaying.apply(*also))
    row = replaying.apply(desk.world, desk.tenant_id, replay_id, [Group.TEXT], here=True)
    assert (row["state"], row["groups"]) == ("applied", ["customer", "text"])
    assert {group: one["changed"] for group, one in row["done"].items()} == {"customer": 2, "text": 2}
    assert desk.groups() == {}


def test_a_run_that_ended_amid_what_it_was_asked_first_leaves_the_rest_to_the_next(
    desk: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    older(desk)
    replay_id = desk.preview()["id"]
    monkeypatch.setattr("inboxops.stories.replay.PAGE", 1)
    monkeypatch.setattr("inboxops.composition.runs.ask_for_replay", lambda *given: True)
    store, went_on = desk.world.replays, desk.world.replays.went_on

    def killed(*given: Any, **more: Any) -> None:
        replaying.apply(desk.world, desk.tenant_id, replay_id, [Group.CUSTOMER])
        went_on(*given, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as at_once, pytest.raises(KeyboardInterrupt):
        at_once.setattr(store, "went_on", killed)
        replaying.apply(desk.world, desk.tenant_id, replay_id, [Group.TEXT], here=True)
    assert replaying.run(desk.world, replay_id).changed == {"customer": 2, "text": 2}
    assert desk.groups() == {}


def test_groups_that_are_asked_for_at_once_add_up(desk: Replays, monkeypatch: pytest.MonkeyPatch) -> None:
    older(desk)
    replay_id = desk.preview()["id"]
    monkeypatch.setattr("inboxops.composition.runs.ask_for_replay", lambda *given: True)
    with ThreadPoolExecutor(4) as agents:
        asked = [agents.submit(replaying.apply, desk.world, desk.tenant_id, replay_id, [group]) for group in Group]
        for one in asked:
            one.result()
    assert set(desk.world.replays.one(replay_id)["groups"]) == set(Group)


@pytest.mark.parametrize("of", ["rosa@customer.example", "ben@customer.example"])
def test_what_is_erased_while_a_preview_reads_it_is_not_shown_by_its_report(
    desk: Replays, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    desk.ticket(subject="Of Rosa", sender="rosa@customer.example", body="secret of Rosa")
    desk.ticket(subject="Of Ben", sender="ben@customer.example", body="secret of Ben")
    desk.change("UPDATE messages SET body_text = 'older' WHERE inbox_id = %s", desk.box.inbox_id)
    erase = partial(erasing.erase, desk.world, desk.tenant_id, of, by="Ann")
    after(monkeypatch, desk.world.rereading, "known", erase)
    row = desk.preview()
    shown = [one["now"] for one in row["examples"]["text"]]
    assert row["report"]["groups"] == {"text": 2}
    assert shown == ["body_text: secret of Ben" if of.startswith("rosa") else "body_text: secret of Rosa"]


def test_a_report_that_is_done_amid_an_erasure_does_not_show_what_that_takes(
    desk: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.ticket(subject="Of Rosa", sender="rosa@customer.example", body="secret of Rosa")
    replay_id = desk.world.replays.add(replaying.scope(desk.world, desk.tenant_id, days=1), by="Ann")
    inbound_id = desk.message("Of Rosa")["inbound_id"]
    found = Example(inbound_id, datetime.now(UTC), desk.box.inbox_id, "a@b", 1, "older", "secret of Rosa")
    report = Report(read=1, differing=1, groups={"text": 1}, examples={"text": (found,)})
    run = Transaction.run

    def amid(t: Transaction, name: str, /, **parameters: Any) -> int:
        """Reports were gone through, and nothing is committed."""
        touched = run(t, name, **parameters)
        if name == "erase_replay_examples":
            kept = reports.submit(desk.world.replays.previewed, desk.tenant_id, replay_id, report)
            wait_until("the report is kept, or waits", lambda: kept.done() or blocked(desk))
        return touched

    monkeypatch.setattr(Transaction, "run", amid)
    with ThreadPoolExecutor(1) as reports:
        erasing.erase(desk.world, desk.tenant_id, "rosa@customer.example", by="Ann")
    row = desk.world.replays.one(replay_id)
    assert (row["state"], row["examples"], row["report"]["groups"]) == ("previewed", {}, {"text": 1})


def blocked(desk: Replays) -> bool:
    """Somebody waits for what another transaction holds."""
    ((count,),) = desk.box.query("SELECT count(*) FROM pg_locks WHERE NOT granted")
    return int(str(count)) > 0


def apart(desk: Replays) -> tuple[int, int]:
    """(#1, #2): a mail that refers to one on #1 was put on #2, as an older version might have."""
    desk.box.deliver(
        mail("Printer", id="one"), mail("Re: Toner", id="two", answers="one", sender="ben@customer.example")
    )
    desk.box.run()
    other = desk.ticket(subject="Other")
    message = desk.message("Re: Toner")["id"]
    desk.change(
        "UPDATE messages SET ticket_id = %s, in_reply_to = '{}', reference_ids = '{}', placed_by = 'new' WHERE id = %s",
        other,
        message,
    )
    desk.change("DELETE FROM message_references WHERE message_id = %s", message)
    return desk.message("Printer")["ticket_id"], other


def test_a_mail_that_was_answered_where_a_replay_moved_it_stays_there(desk: Replays) -> None:
    first, other = apart(desk)
    desk.reply(first, "An answer from before the mail came there.")
    row = desk.apply(Group.TICKET)
    assert desk.message("Re: Toner")["ticket_id"] == first
    assert desk.undo(row["id"])["done"]["ticket"] == {"changed": 1, "undone": 1, "yielded": 0}
    assert desk.message("Re: Toner")["ticket_id"] == other
    row = desk.apply(Group.TICKET)
    answer = desk.reply(first)
    assert desk.undo(row["id"])["done"]["ticket"] == {"changed": 1, "undone": 0, "yielded": 1}
    assert desk.message("Re: Toner")["ticket_id"] == desk.row(answer.message_id)["ticket_id"] == first


def test_a_replay_of_the_version_before_is_taken_back_unless_an_agent_wrote_behind_it(desk: Replays) -> None:
    """It kept no list of the answers that there were."""
    first, other = apart(desk)
    desk.reply(first, "An answer from before the mail came there.")
    for answers, ends_at in ((0, other), (1, first)):
        row = desk.apply(Group.TICKET)
        desk.change("UPDATE replay_changes SET kept = kept - 'written' WHERE replay_id = %s", row["id"])
        for _ in range(answers):
            desk.reply(first)
        desk.undo(row["id"])
        assert desk.message("Re: Toner")["ticket_id"] == ends_at


def test_a_customer_who_was_answered_since_stays_the_customer(desk: Replays) -> None:
    ticket = desk.ticket(subject="Asked", sender="ann@customer.example")
    desk.change("UPDATE messages SET customer = %s::jsonb WHERE ticket_id = %s", CUSTOMER, ticket)
    desk.change("UPDATE tickets SET requester_address = 'x@y.example' WHERE id = %s", ticket)
    row = desk.apply(Group.CUSTOMER)
    desk.reply(ticket)
    assert desk.undo(row["id"])["done"]["customer"] == {"changed": 1, "undone": 0, "yielded": 1}
    assert desk.message("Asked")["customer"] is None
    requester = desk.box.query("SELECT requester_address FROM tickets WHERE id = %s", ticket)
    assert requester == [("ann@customer.example",)]


def test_a_note_of_an_agent_holds_a_mail_where_it_is(desk: Replays) -> None:
    _, other = apart(desk)
    note = desk.reply(other)
    desk.change("UPDATE messages SET type = 'note' WHERE id = %s", note.message_id)
    row = desk.apply(Group.TICKET)
    assert (row["done"], row["report"]["left_out"]) == ({}, {"answered by a person": 1})
    assert desk.message("Re: Toner")["ticket_id"] == other


def test_an_answer_that_is_being_stored_holds_its_mail(desk: Replays, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = desk.ticket(subject="Asked")
    desk.change("UPDATE messages SET customer = %s::jsonb WHERE ticket_id = %s", CUSTOMER, ticket)
    replay_id = desk.preview()["id"]
    run = Transaction.run
    applied: list[Future[Any]] = []

    def amid(t: Transaction, name: str, /, **parameters: Any) -> int:
        touched = run(t, name, **parameters)
        if name == "touch_answered":
            by = (desk.world, desk.tenant_id, replay_id, [Group.CUSTOMER])
            applied.append(replays.submit(partial(replaying.apply, here=True), *by))
            wait_until("it is applied, or waits", lambda: applied[0].done() or blocked(desk))
        return touched

    monkeypatch.setattr(Transaction, "run", amid)
    with ThreadPoolExecutor(1) as replays:
        desk.reply(ticket)
    assert (applied[0].result()["state"], applied[0].result()["done"]) == ("applied", {})
    assert desk.message("Asked")["customer"]["address"] == "x@y.example"
