"""A mail server whose machine was put back to a snapshot gives UIDs away a second time: no mail is lost by that, none doubled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from inboxops.composition import erasing, intake, resyncing
from inboxops.ports import FetchLimits
from tests.stories.conftest import Mailbox, mail
from tests.stories.test_certify import certify


def subjects(box: Mailbox) -> list[str]:
    return sorted(str(row[0]) for row in box.query("SELECT subject FROM tickets WHERE inbox_id = %s", box.inbox_id))


@pytest.fixture
def box(mailbox: Mailbox) -> Mailbox:
    """Five mails were filed; the server knows of two of them, and three others have got the UIDs of those that it lost."""
    mailbox.deliver(*(mail(f"Before {number}") for number in (1, 2)))
    mailbox.run()
    with mailbox.server.rolled_back(mailbox.user):
        mailbox.deliver(*(mail(f"Lost there {number}") for number in (3, 4, 5)))
        mailbox.run()
    mailbox.deliver(mail("Behind 3"), b"Subject: Without an id\n\nHello\n")
    return mailbox


EVERYTHING = [
    "Before 1",
    "Before 2",
    "Behind 3",
    "Lost there 3",
    "Lost there 4",
    "Lost there 5",
    "Without an id",
]


def run_while_there_is_news(box: Mailbox) -> None:
    while intake.wants_fetch(box.world, box.inbox_id):
        box.run()


def test_mail_under_a_uid_that_was_given_away_before_is_filed_and_known_mail_once(box: Mailbox) -> None:
    run_while_there_is_news(box)
    assert subjects(box) == EVERYTHING
    assert box.states() == {"persisted": 7, "duplicate": 2}
    assert "went back" in box.inbox.note
    assert box.inbox.last_error is None
    box.deliver(mail("Later"))
    run_while_there_is_news(box)
    assert subjects(box) == sorted([*EVERYTHING, "Later"])


def test_the_rescan_goes_on_where_a_run_ended(box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BATCHES_PER_RUN", 1)
    monkeypatch.setattr(intake, "FetchLimits", partial(FetchLimits, batch_messages=1))
    run_while_there_is_news(box)
    assert subjects(box) == EVERYTHING


def test_what_was_erased_stays_erased(mailbox: Mailbox) -> None:
    world = mailbox.world
    mailbox.deliver(mail("Before"), mail("Of Wilhelmina", sender="wilhelmina@customer.example"), mail("Another's"))
    mailbox.run()
    erasing.erase(world, mailbox.inbox.tenant_id, "wilhelmina@customer.example", by="Ann")
    with mailbox.server.rolled_back(mailbox.user):
        mailbox.deliver(mail("Lost there"), mail("Lost, too"))
        mailbox.run()
    mailbox.deliver(mail("Behind"))
    run_while_there_is_news(mailbox)
    assert subjects(mailbox) == ["Another's", "Before", "Behind", "Lost there", "Lost, too"]
    assert mailbox.states()["erased"] == 1


def test_it_happens_again(box: Mailbox) -> None:
    with box.server.rolled_back(box.user):
        run_while_there_is_news(box)
        box.deliver(mail("Lost there, too"))
        run_while_there_is_news(box)
    box.deliver(mail("At last, in the same UID and longer"), mail("The next"))
    run_while_there_is_news(box)
    assert subjects(box) == sorted([*EVERYTHING, "Lost there, too", "At last, in the same UID and longer", "The next"])


def test_a_resync_knows_what_was_read_again(box: Mailbox) -> None:
    run_while_there_is_news(box)
    resyncing.wish(box.world, box.inbox_id, datetime.now(UTC) - timedelta(days=30))
    box.run()
    assert "4 there, 0 of them taken in" in box.inbox.note
    assert subjects(box) == EVERYTHING


def test_a_certificate_holds_what_is_there_now_against_its_own_rows(box: Mailbox) -> None:
    run_while_there_is_news(box)
    box.query("UPDATE inboxes SET first_read_at = now() - interval '3 days' WHERE id = %s RETURNING 1", box.inbox_id)
    assert certify(box)["findings"] == []
