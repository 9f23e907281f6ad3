"""An inbox that certificates can't ask is told of, though its mail is read and the tenant's other inboxes are well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from inboxops.composition import upkeep
from inboxops.composition.world import World
from inboxops.core.model import Copy
from inboxops.errors import MailboxNotFound
from inboxops.ports import Account
from inboxops.providers.smtp import SmtpSender
from tests.receiver import Receiver
from tests.sending.conftest import Desk, desk
from tests.stories.test_certify import begin, certify
from tests.stories.test_certify_gaps import with_door

__all__ = ["desk"]


def age_hours(world: World) -> float:
    """As Prometheus is told."""
    with world.database.transaction() as t:
        (row,) = t.connection.execute(
            b"SELECT value / 3600 AS hours FROM certificate_metrics() WHERE name = 'certificate_age_seconds'"
        ).fetchall()
    return float(row["hours"])


def was_asked_two_days_ago(desk: Desk) -> None:
    desk.box.query(
        "UPDATE inboxes SET first_read_at = now() - interval '9 days', connected_at = now() - interval '9 days',"
        " certified_until = now() - interval '2 days', resumed_at = NULL WHERE id = %s RETURNING 1",
        desk.box.inbox_id,
    )


class NoSentFolder(SmtpSender):
    """Of a mailbox whose Sent folder this account may not open."""

    def copies(self, account: Account, *, since: datetime) -> Iterator[Copy] | None:
        raise MailboxNotFound("the folder Sent can't be opened")


def test_a_sent_folder_that_fails_for_good_is_told_once_and_so_is_its_end(desk: Desk, receiver: Receiver) -> None:
    begin(desk.box)
    assert desk.send(desk.reply(desk.ticket())) == "sent"
    upkeep.tell(desk.world, desk.tenant_id, mail="", url=receiver.url, kinds=["inbox_not_certified"])
    was_asked_two_days_ago(desk)
    upkeep.notify(desk.world)
    assert receiver.told == [], "of a certificate that nobody made the operator is told"
    shut = with_door(desk.box, lambda door: replace(door, sender=NoSentFolder()))
    told = certify(desk.box, door=shut)["inboxes"][0]
    assert told["skipped"] == told["sent_unchecked"] == "the folder Sent can't be opened"
    for _ in range(3):
        upkeep.notify(desk.world)
    assert receiver.told == [("inbox_not_certified", False)]
    assert b"Sent can't be opened" in receiver.taken[0][1]
    assert age_hours(desk.world) >= 48

    desk.world.inboxes.pause(desk.box.inbox_id, paused=True)
    certify(desk.box)
    upkeep.notify(desk.world)
    desk.world.inboxes.pause(desk.box.inbox_id, paused=False)
    upkeep.notify(desk.world)
    assert receiver.told == [("inbox_not_certified", False)], "a pause is no end"
    assert certify(desk.box)["inboxes"][0]["skipped"] == ""
    for _ in range(3):
        upkeep.notify(desk.world)
    assert receiver.told == [("inbox_not_certified", False), ("inbox_not_certified", True)]


def test_an_inbox_that_was_paused_or_connected_again_has_its_next_certificate_first(desk: Desk) -> None:
    begin(desk.box)
    was_asked_two_days_ago(desk)
    assert age_hours(desk.world) >= 48
    desk.world.inboxes.pause(desk.box.inbox_id, paused=True)
    assert age_hours(desk.world) < 36
    desk.world.inboxes.pause(desk.box.inbox_id, paused=False)
    assert age_hours(desk.world) < 36
    was_asked_two_days_ago(desk)
    desk.through(desk.submission.port)
    assert age_hours(desk.world) < 36
