"""A certificate names mail that was not filed and answers that have not left, and says what it compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from psycopg.types.json import Jsonb

from inboxops.core.accounting import TO_DO, Kind
from inboxops.core.certificate import sentence
from inboxops.stories.certify_mailbox import MOST_COMPARED, Door
from tests.sending.conftest import Desk, desk
from tests.stories.conftest import Mailbox, mail
from tests.stories.test_certify import begin, box, certify, found
from tests.stories.test_certify_gaps import with_door

__all__ = ["box", "desk"]


@pytest.mark.parametrize("state", ["stored", "classified"])
def test_mail_that_nobody_filed_for_a_day_is_named(box: Mailbox, state: str) -> None:
    waits = (
        "UPDATE inbound SET state = %s, updated_at = now() - make_interval(hours => %s)"
        " WHERE inbox_id = %s AND subject = 'Spam' RETURNING 1"
    )
    box.query(waits, state, 12, box.inbox_id)
    assert found(certify(box)) == [], "a backlog takes its time"
    box.query(waits, state, 30, box.inbox_id)
    (finding,) = certify(box)["findings"]
    assert (finding["kind"], finding["repaired"], finding["to_do"]) == ("mail_unfiled", False, TO_DO[Kind.MAIL_UNFILED])
    assert f"is {state} since 20" in finding["detail"]


def test_a_mail_that_is_still_not_filed_is_named_when_its_day_is_long_over(box: Mailbox) -> None:
    box.query(
        "UPDATE inbound SET state = 'stored', created_at = now() - interval '20 days', updated_at = now() - interval '20 days'"
        " WHERE inbox_id = %s AND subject = 'Spam' RETURNING 1",
        box.inbox_id,
    )
    assert ("mail_unfiled", False) in found(certify(box))


@pytest.mark.parametrize("status", ["pending", "failed", "unknown"])
def test_an_answer_that_has_not_left_is_counted_at_once_and_named_when_it_is_old(desk: Desk, status: str) -> None:
    begin(desk.box)
    accepted = desk.reply(desk.ticket())
    is_so = (
        "UPDATE messages SET send_status = %s, created_at = now() - make_interval(days => %s) WHERE id = %s RETURNING 1"
    )
    for days, wanted in ((0, []), (2, [("not_sent", False)]), (20, [])):
        desk.box.query(is_so, status, days, accepted.message_id)
        body = certify(desk.box)
        assert (found(body), body["unsent"]) == (wanted, {status: 1})
        assert sentence(body).endswith("; 1 of ours not sent")
        assert all(f"message {accepted.message_id} says {status}" in one["detail"] for one in body["findings"])


def test_an_answer_that_says_failed_and_left_as_its_copy_proves_is_named_once(desk: Desk) -> None:
    begin(desk.box)
    accepted = desk.reply(desk.ticket())
    assert desk.send(accepted) == "sent"
    desk.box.query(
        "UPDATE messages SET send_status = 'failed', created_at = now() - interval '2 days' WHERE id = %s RETURNING 1",
        accepted.message_id,
    )
    assert found(certify(desk.box)) == [("sent_unrecorded", False)]


def test_an_inbox_that_keeps_no_copies_stands_there_as_not_checked(desk: Desk) -> None:
    begin(desk.box)
    more = "UPDATE inboxes SET connection = connection || %s WHERE id = %s RETURNING 1"
    desk.box.query(more, Jsonb({"save_sent": False}), desk.box.inbox_id)
    assert desk.send(desk.reply(desk.ticket())) == "sent"
    (told,) = certify(desk.box)["inboxes"]
    assert (told["skipped"], told["sent_unchecked"]) == ("", "no copies are kept")


def test_refused_mail_is_counted_apart(box: Mailbox) -> None:
    box.query(
        "UPDATE inbound SET state = 'refused', reason = 'too large', storage_key = NULL, storage_offset = NULL,"
        " storage_length = NULL WHERE inbox_id = %s AND subject = 'Spam' RETURNING 1",
        box.inbox_id,
    )
    body = certify(box)
    assert (body["mails"], body["refused"], found(body)) == (5, 1, [])
    assert sentence(body).endswith("each accounted for; 1 refused and never stored")


def test_of_many_mails_whose_size_is_told_roughly_others_are_compared_every_day(box: Mailbox) -> None:
    box.deliver(*(mail(f"Rough {n}") for n in range(MOST_COMPARED + 10)))
    box.run()
    rough = "UPDATE inbound SET size_bytes = size_bytes + 1 WHERE inbox_id = %s AND subject LIKE 'Rough%%' RETURNING 1"
    box.query(rough, box.inbox_id)

    def compared(days: int) -> tuple[set[int], dict[str, object]]:
        """The rows that the certificate of another day compares, and what it says of its inbox."""
        seen: set[int] = set()

        def watched(door: Door) -> Door:
            return replace(door, stored=_seen(seen, door.stored))

        again = "UPDATE inboxes SET certified_until = NULL WHERE id = %s RETURNING 1"
        box.query(again, box.inbox_id)
        return seen, certify(box, door=with_door(box, watched), later=timedelta(days=days))["inboxes"][0]

    first, told = compared(0)
    assert (len(first), told["odd_sizes"], told["compared"]) == (MOST_COMPARED, MOST_COMPARED + 10, MOST_COMPARED)
    assert compared(1)[0] != first


def _seen(seen: set[int], stored: Callable[[int], bytes]) -> Callable[[int], bytes]:
    def look(inbound_id: int) -> bytes:
        seen.add(inbound_id)
        return stored(inbound_id)

    return look
