"""An inbox compared with its mailbox from a day on: what was never taken in is, once, and nobody is answered for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from inboxops.composition import intake, resyncing
from inboxops.composition.world import World
from inboxops.errors import Conflict, InvalidInput
from inboxops.ports import FetchLimits
from tests.stories.conftest import Mailbox, mail

LAST_MONTH = datetime.now(UTC) - timedelta(days=30)


@pytest.fixture
def box(mailbox: Mailbox) -> Mailbox:
    """Of five mails its first sync took in two, and one came since."""
    mailbox.deliver(*(mail(f"Old {number}", id=f"old-{number}-{mailbox.inbox.tenant}") for number in range(5)))
    mailbox.query("UPDATE inboxes SET first_sync_messages = 2 WHERE id = %s RETURNING 1", mailbox.inbox_id)
    mailbox.run()
    mailbox.deliver(mail("New", id=f"new-{mailbox.inbox.tenant}"))
    mailbox.run()
    return mailbox


def subjects(box: Mailbox) -> list[str]:
    return sorted(str(row[0]) for row in box.query("SELECT subject FROM tickets WHERE inbox_id = %s", box.inbox_id))


def test_what_the_mailbox_holds_and_no_row_knows_is_taken_in_once(box: Mailbox) -> None:
    assert subjects(box) == ["New", "Old 3", "Old 4"]
    cursor = box.inbox.cursor
    resyncing.wish(box.world, box.inbox_id, LAST_MONTH)
    assert intake.wants_fetch(box.world, box.inbox_id), "also a poll by the clock sees the wish"
    box.run()
    assert subjects(box) == ["New", *(f"Old {number}" for number in range(5))]
    assert (box.inbox.cursor, box.inbox.resync_since) == (cursor, None)
    assert "6 there, 3 of them taken in" in box.inbox.note
    assert not intake.wants_fetch(box.world, box.inbox_id)
    resyncing.wish(box.world, box.inbox_id, LAST_MONTH)
    box.run()
    assert len(subjects(box)) == 6


def test_nobody_is_answered_for_mail_that_is_old(box: Mailbox) -> None:
    box.world.inboxes.change(box.inbox_id, auto_response_enabled=True, auto_response_body="Thank you.")
    resyncing.wish(box.world, box.inbox_id, LAST_MONTH)
    box.run()
    assert box.query("SELECT 1 FROM messages WHERE inbox_id = %s AND type = 'auto_response'", box.inbox_id) == []


def test_a_backlog_that_is_larger_than_a_run_goes_on_in_the_next(box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BATCHES_PER_RUN", 1)
    monkeypatch.setattr(intake, "FetchLimits", partial(FetchLimits, batch_messages=2))
    resyncing.wish(box.world, box.inbox_id, LAST_MONTH)
    fetched = intake.fetch(box.world, box.inbox_id)
    assert (fetched.stored, fetched.more, box.inbox.resync_since) == (2, True, LAST_MONTH)
    fetched = intake.fetch(box.world, box.inbox_id)
    assert (fetched.stored, fetched.more, box.inbox.resync_since) == (1, False, None)


def test_a_wish_waits_while_the_mail_server_is_away(box: Mailbox, world: World) -> None:
    resyncing.wish(world, box.inbox_id, LAST_MONTH)
    host = box.inbox.connection["host"]
    move = (
        "UPDATE inboxes SET connection = jsonb_set(connection, '{host}', to_jsonb(%s::text)) WHERE id = %s RETURNING 1"
    )
    box.query(move, "nowhere.invalid", box.inbox_id)
    with pytest.raises(Exception, match="nowhere"):
        intake.fetch(world, box.inbox_id)
    assert box.inbox.resync_since == LAST_MONTH
    box.query(move, host, box.inbox_id)
    box.run()
    assert len(subjects(box)) == 6


def test_a_day_to_come_or_an_inbox_that_is_not_read_is_refused(box: Mailbox) -> None:
    with pytest.raises(InvalidInput, match="not past"):
        resyncing.wish(box.world, box.inbox_id, datetime.now(UTC) + timedelta(days=1))
    box.world.inboxes.pause(box.inbox_id, paused=True)
    with pytest.raises(Conflict, match="paused"):
        resyncing.wish(box.world, box.inbox_id, LAST_MONTH)


def test_an_inbox_that_is_paused_meanwhile_waits_without_work(box: Mailbox) -> None:
    resyncing.wish(box.world, box.inbox_id, LAST_MONTH)
    box.world.inboxes.pause(box.inbox_id, paused=True)
    assert not intake.wants_fetch(box.world, box.inbox_id)
    box.world.inboxes.pause(box.inbox_id, paused=False)
    box.run()
    assert len(subjects(box)) == 6
