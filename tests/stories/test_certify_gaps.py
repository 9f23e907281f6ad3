"""A certificate says what it could not look at, and names what is not here though its provider has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from inboxops.composition import certifying, upkeep
from inboxops.composition.world import World
from inboxops.core.certificate import sentence
from inboxops.core.inbox import Inbox
from inboxops.core.model import Listed
from inboxops.errors import TransientError
from inboxops.stories.certify_mailbox import Door
from tests.receiver import Receiver
from tests.sending.conftest import Desk, desk
from tests.stories.conftest import Mailbox, connect, mail
from tests.stories.test_certify import begin, box, certify, found

__all__ = ["box", "desk"]


def forget(box: Mailbox, *subjects: str) -> None:
    """Rows that are gone, while the mailbox has the mail."""
    for subject in subjects:
        box.query("DELETE FROM messages WHERE inbox_id = %s AND subject = %s RETURNING 1", box.inbox_id, subject)
        box.query("DELETE FROM inbound WHERE inbox_id = %s AND subject = %s RETURNING 1", box.inbox_id, subject)


def with_door(box: Mailbox, change: Callable[[Door], Door]) -> Callable[[Inbox], Door]:
    """The inbox's own door, changed."""
    return lambda inbox: change(certifying.way_in(box.world, inbox))


def fails() -> bool:
    raise TransientError("the mail server hung up")


def test_mail_that_is_missing_and_can_not_be_fetched_is_named(box: Mailbox) -> None:
    forget(box, "Two")
    body = certify(box, door=with_door(box, lambda door: replace(door, fetch=fails)))
    assert found(body) == [("mail_missing", False)]
    assert (body["mails"], body["unaccounted"]) == (5, 1)
    assert "1 things not accounted for" in sentence(body)
    assert "hung up" in body["inboxes"][0]["skipped"]
    assert ("mail_missing", True) in found(certify(box)), "and the next one fetches it"


def test_what_was_fetched_before_the_server_failed_is_told_as_well(box: Mailbox) -> None:
    forget(box, "Two", "Spam")

    def one_and_no_more(door: Door) -> Door:
        def fetch_named(wanted: Sequence[Listed]) -> None:
            door.fetch_named(wanted[:1])
            fails()

        return replace(door, fetch_named=fetch_named)

    assert found(certify(box, door=with_door(box, one_and_no_more))) == [
        ("mail_missing", False),
        ("mail_missing", True),
    ]


def test_a_backlog_that_is_being_read_is_none_that_is_missing(box: Mailbox) -> None:
    box.deliver(mail("Not polled yet"))
    body = certify(box, door=with_door(box, lambda door: replace(door, fetch=lambda: False)))
    assert (found(body), "backlog" in body["inboxes"][0]["skipped"]) == ([], True)


def test_each_is_said_only_when_every_inbox_was_asked(box: Mailbox) -> None:
    assert "each accounted for" in sentence(certify(box))
    box.world.inboxes.pause(box.inbox_id, paused=True)
    said = sentence(certify(box))
    assert "each" not in said
    assert said.endswith("accounted for as far as it was asked; not asked: support")


def test_admins_are_told_of_mail_that_can_not_be_fetched(desk: Desk, receiver: Receiver) -> None:
    begin(desk.box)
    desk.box.deliver(mail("One"), mail("Two"))
    desk.box.run()
    upkeep.tell(desk.world, desk.tenant_id, mail="", url=receiver.url, kinds=["mail_unaccounted"])
    forget(desk.box, "Two")
    certify(desk.box, door=with_door(desk.box, lambda door: replace(door, fetch=fails)))
    upkeep.notify(desk.world)
    assert receiver.told == [("mail_unaccounted", False)]
    certify(desk.box)
    upkeep.notify(desk.world)
    assert receiver.told == [("mail_unaccounted", False), ("mail_unaccounted", True)]


def sent_days_ago(desk: Desk, count: int, *, days: int) -> None:
    """Replies that left then, with their copies in the Sent folder of that day."""
    accepted = desk.reply(desk.ticket())
    assert desk.send(accepted) == "sent"
    desk.box.query(
        "INSERT INTO messages (tenant_id, inbox_id, ticket_id, direction, type, message_id_header, send_status, sent_at,"
        " created_at) SELECT tenant_id, inbox_id, ticket_id, 'outbound', type, n || '@old.example', 'sent', s.at, s.at"
        " FROM messages, generate_series(1, %s) n,"
        " (SELECT now() - make_interval(days => %s) AS at) s WHERE id = %s RETURNING 1",
        count,
        days,
        accepted.message_id,
    )
    with desk.box.server.client(desk.box.user) as client:
        for n in range(1, count + 1):
            copy = f"Message-ID: <{n}@old.example>\r\nSubject: Re\r\n\r\nSent.\r\n".encode()
            client.append("Sent", copy, msg_time=datetime.now(UTC) - timedelta(days=days))


def was_certified(box: Mailbox, *, days: int) -> None:
    """As of so many days ago, for the last time."""
    box.query(
        "UPDATE inboxes SET first_read_at = now() - interval '9 days', certified_until = now() - make_interval(days => %s)"
        " WHERE id = %s RETURNING 1",
        days,
        box.inbox_id,
    )


def test_an_inbox_that_was_paused_for_a_week_has_nothing_of_the_others_looked_at_again(
    desk: Desk, world: World, tenant: str
) -> None:
    begin(desk.box)
    sent_days_ago(desk, 120, days=5)
    aged = "UPDATE inbound SET created_at = now() - interval '5 days' WHERE inbox_id = %s RETURNING 1"
    desk.box.query(aged, desk.box.inbox_id)
    desk.box.deliver(mail("Of today"))
    desk.box.run()
    was_certified(desk.box, days=1)
    paused = connect(world, tenant, desk.box.server, name="paused")
    paused.deliver(mail("Before the week"))
    paused.run()
    paused.query(aged, paused.inbox_id)
    was_certified(paused, days=7)
    world.inboxes.pause(paused.inbox_id, paused=True)

    body = certify(desk.box)
    assert found(body) == []
    assert [bool(one["skipped"]) for one in body["inboxes"]] == [False, True]
    assert (body["mails"], body["sent"]) == (2, 1), (
        "the one of today, and of the paused inbox all since its last certificate"
    )
