"""What time has made useless goes; what a row names, or is about to name, stays."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from inboxops.composition import erasing, intake
from inboxops.composition.world import World
from inboxops.core.keys import attachment_key, detached_key, may_be_written_again, message_of, pack_key, upload_key
from inboxops.stories.housekeep import Housekept, Retention, housekeep
from tests.stories.conftest import Mailbox, mail
from tests.stories.test_large_files import TOO_LARGE, files, large, link
from tests.stories.test_stages import FILES, TWO_FILES

RETENTION = Retention(listed_days=90, outbox_days=7, replay_days=30)
TODAY = date(2026, 11, 24)


def keep_house(world: World, *, days_on: int = 3) -> Housekept:
    """As it would be done so many days from now, as far as objects are concerned."""
    now = datetime.now(UTC) + timedelta(days=days_on)
    return housekeep(world.leftovers, world.outbox, world.replays, world.canaries, world.objects, RETENTION, now=now)


def objects(mailbox: Mailbox) -> set[str]:
    return set(mailbox.world.objects.list(f"{mailbox.inbox.tenant_id}/"))


def age(mailbox: Mailbox, table: str, column: str, days: int) -> None:
    mailbox.query(
        f"UPDATE {table} SET {column} = {column} - make_interval(days => %s) WHERE tenant_id = %s RETURNING 1",
        days,
        mailbox.inbox.tenant_id,
    )


def test_what_a_row_names_stays_however_old_it_is(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("Two files", body=TWO_FILES, more=FILES), mail("Win", more="X-Spam-Flag: YES"))
    mailbox.run()
    before = objects(mailbox)
    assert len(before) == 3
    age(mailbox, "inbound", "updated_at", 80)
    keep_house(mailbox.world)
    assert objects(mailbox) == before
    assert mailbox.states() == {"persisted": 1, "listed": 1}


def test_set_aside_mail_goes_after_its_time_and_its_objects_with_it(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("Win", body=TWO_FILES, more=f"X-Spam-Flag: YES\r\n{FILES}"))
    mailbox.run()
    assert mailbox.states() == {"listed": 1}
    age(mailbox, "inbound", "updated_at", 91)
    keep_house(mailbox.world)
    assert mailbox.states() == {}
    assert objects(mailbox) == set()


def test_the_large_files_of_a_raw_mail_stay_and_go_with_it(mailbox: Mailbox) -> None:
    """Nothing but the raw mail names them while it is set aside, and it can still be released."""
    content, raw = large(TOO_LARGE)
    mailbox.deliver(raw.replace(b"Subject:", b"X-Spam-Flag: YES\r\nSubject:"))
    mailbox.run()
    assert mailbox.states() == {"listed": 1}
    keep_house(mailbox.world)
    assert len(objects(mailbox)) == 2, "the pack and the file"
    [row] = mailbox.world.inbound.listed(tenant=mailbox.inbox.tenant, states=["listed"])
    mailbox.world.inbound.send_back(row["id"], release=True)
    intake.file(mailbox.world, mailbox.inbox_id)
    [(*_, key)] = files(mailbox)
    assert mailbox.world.objects.get(str(key)) == content

    mailbox.deliver(large(TOO_LARGE)[1].replace(b"Subject:", b"X-Spam-Flag: YES\r\nSubject:"))
    mailbox.run()
    assert len(objects(mailbox)) == 4
    age(mailbox, "inbound", "updated_at", 91)
    keep_house(mailbox.world)
    assert len(objects(mailbox)) == 2
    assert mailbox.world.objects.get(str(key)) == content


def test_the_copy_of_a_file_in_a_pack_stays_with_its_mail_and_goes_once_that_is_erased(mailbox: Mailbox) -> None:
    content, raw = large()
    mailbox.deliver(raw)
    mailbox.run()
    assert link(mailbox) == content
    keep_house(mailbox.world)
    assert len(objects(mailbox)) == 2, "the pack and the copy"
    [(*_, key)] = files(mailbox)
    erasing.erase(mailbox.world, mailbox.inbox.tenant_id, "ann@customer.example", by="Ann")
    mailbox.world.objects.put(
        str(key), content, content_type="image/png"
    )  # as a process does that was stopped for a while
    keep_house(mailbox.world)
    assert objects(mailbox) == set()


def test_a_large_file_that_a_crash_left_without_its_mail_goes(mailbox: Mailbox) -> None:
    key = detached_key(mailbox.inbox.tenant_id, 10**15, 0)
    mailbox.world.objects.put(key, b"left", content_type="application/octet-stream")
    keep_house(mailbox.world, days_on=0)
    assert objects(mailbox) == {key}, "its mail may be about to be committed"
    keep_house(mailbox.world, days_on=2)
    assert objects(mailbox) == set()


def test_a_pack_stays_whole_as_long_as_one_row_names_it(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("Win", more="X-Spam-Flag: YES"), mail("Help"))
    mailbox.run()
    age(mailbox, "inbound", "updated_at", 91)
    keep_house(mailbox.world)
    assert mailbox.states() == {"persisted": 1}
    [(key,)] = mailbox.query("SELECT storage_key FROM inbound WHERE inbox_id = %s", mailbox.inbox_id)
    assert objects(mailbox) == {key}


def test_a_pack_that_a_crash_left_without_rows_goes_once_nobody_can_write_it_again(mailbox: Mailbox) -> None:
    key = pack_key(mailbox.inbox.tenant_id, mailbox.inbox_id, "ab12", datetime.now(UTC).date())
    mailbox.world.objects.put(key, b"left", content_type="application/octet-stream")
    keep_house(mailbox.world, days_on=1)
    assert objects(mailbox) == {key}, "the same batch, fetched again today, would be this object"
    keep_house(mailbox.world, days_on=2)
    assert objects(mailbox) == set()


@pytest.mark.parametrize("state", ["stored", "classified"])
def test_attachments_of_mail_that_is_still_in_work_stay(mailbox: Mailbox, state: str) -> None:
    mailbox.deliver(mail("Two files", body=TWO_FILES, more=FILES))
    intake.fetch(mailbox.world, mailbox.inbox_id)
    intake.classify(mailbox.world, mailbox.inbox_id)
    mailbox.query("UPDATE inbound SET state = %s WHERE inbox_id = %s RETURNING 1", state, mailbox.inbox_id)
    before = objects(mailbox)
    keep_house(mailbox.world)
    assert objects(mailbox) == before
    intake.file(mailbox.world, mailbox.inbox_id)
    assert mailbox.states() == {"persisted": 1}


def test_a_released_mail_gets_back_the_attachments_that_were_cleared_away_while_it_was_listed(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("Win", body=TWO_FILES, more=f"X-Spam-Flag: YES\r\n{FILES}"))
    mailbox.run()
    keep_house(mailbox.world)
    assert len(objects(mailbox)) == 1, "its raw mail"
    [row] = mailbox.world.inbound.listed(tenant=mailbox.inbox.tenant, states=["listed"])
    mailbox.world.inbound.send_back(row["id"], release=True)
    intake.file(mailbox.world, mailbox.inbox_id)
    assert len(objects(mailbox)) == 3
    assert mailbox.states() == {"persisted": 1}


def test_uploads_that_no_message_took_go(mailbox: Mailbox) -> None:
    world, tenant_id = mailbox.world, mailbox.inbox.tenant_id
    for token in ("old", "new"):
        key = upload_key(tenant_id, token, "a.txt")
        world.objects.put(key, b"x", content_type="text/plain")
        world.attachments.add(
            tenant_id, file_name="a.txt", storage_key=key, content_type="text/plain", size_bytes=1, uploaded=True
        )
        if token == "old":
            age(mailbox, "attachments", "created_at", 3)
    keep_house(world)
    assert objects(mailbox) == {upload_key(tenant_id, "new", "a.txt")}


def test_delivered_events_go_and_open_ones_stay(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("One"))
    mailbox.run()
    mailbox.query(
        "INSERT INTO outbox (tenant_id, kind, name) VALUES (%s, 'event', 'open') RETURNING 1", mailbox.inbox.tenant_id
    )
    age(mailbox, "outbox", "done_at", 8)
    keep_house(mailbox.world)
    assert mailbox.query("SELECT name FROM outbox WHERE tenant_id = %s", mailbox.inbox.tenant_id) == [("open",)]


def test_an_object_that_is_none_of_ours_is_left_alone(mailbox: Mailbox) -> None:
    key = f"{mailbox.inbox.tenant_id}/notes/somebody.txt"
    mailbox.world.objects.put(key, b"x", content_type="text/plain")
    keep_house(mailbox.world)
    assert objects(mailbox) == {key}


@pytest.mark.parametrize(
    ("key", "again"),
    [
        (pack_key(1, 2, "ab", TODAY), True),
        (pack_key(1, 2, "ab", TODAY - timedelta(days=1)), True),
        (pack_key(1, 2, "ab", TODAY - timedelta(days=2)), False),
        (attachment_key(1, 2, 3, "a b.txt"), False),
        (detached_key(1, 2, 3), False),
        (upload_key(1, "token", "a.txt"), False),
        (".ready", True),
        ("1/raw/2/ab.zst", True),
    ],
)
def test_which_objects_could_still_be_written_again(key: str, again: bool) -> None:
    assert may_be_written_again(key, today=TODAY) is again


def test_the_message_of_an_attachment_is_told_by_its_key() -> None:
    assert message_of(attachment_key(1, 22, 3, "a.txt")) == 22
    assert message_of(detached_key(1, 22, 3)) == 22
    assert message_of(pack_key(1, 22, "ab", TODAY)) is None
    assert message_of(upload_key(1, "22", "a.txt")) is None
