"""From mailbox to ticket on real servers, and what a crash between the stages leaves."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
import redis

from inboxops.composition import filing, intake, mailboxes, runs, upkeep
from inboxops.composition.forks import Begin, Died, spread
from inboxops.composition.world import World
from inboxops.core.model import Cursor
from inboxops.core.packs import unpack
from inboxops.core.plan import Plan, Slice
from inboxops.db.database import Row
from inboxops.db.persist import PersistStore
from inboxops.errors import AuthenticationFailed, OperatorError, TransientError
from inboxops.events.redis_bus import channel
from inboxops.ports import FetchLimits, StoredRow
from inboxops.providers import provider
from inboxops.stories import fetch as fetching
from inboxops.stories import persist as persisting
from inboxops.stories.classify import FEW, Classified, classify
from inboxops.stories.stored_mail import CHUNK_MESSAGES
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.processes import wait_until
from tests.stories.conftest import Mailbox, connect, mail

FILES = """\
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b"""
TWO_FILES = """\
--b
Content-Type: text/plain

two files
--b
Content-Type: text/csv
Content-Disposition: attachment; filename="report.csv"

a,b
--b
Content-Type: text/csv
Content-Disposition: attachment; filename="report.csv"

c,d
--b--"""


def test_mail_becomes_a_ticket_with_its_files_in_the_object_store(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("Two files", body=TWO_FILES, more=FILES))
    mailbox.run()
    assert mailbox.tickets() == [("Two files", 1)]
    rows = mailbox.query(
        "SELECT file_name, storage_key FROM attachments a JOIN messages m ON m.id = a.message_id WHERE inbox_id = %s ORDER BY a.id",
        mailbox.inbox_id,
    )
    assert [name for name, _ in rows] == ["report.csv", "report (2).csv"]
    assert [mailbox.world.objects.get(str(key)).strip() for _, key in rows] == [b"a,b", b"c,d"]


def test_a_second_run_takes_nothing_in_twice(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("One"))
    mailbox.run()
    assert not intake.wants_fetch(mailbox.world, mailbox.inbox_id)
    mailbox.run()
    assert mailbox.states() == {"persisted": 1}


def test_replies_join_their_ticket_in_whatever_order_they_come(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("Re: Order", id="b", answers="a"))
    mailbox.run()
    mailbox.deliver(mail("Re: Order", id="c", answers="b"), mail("Order", id="a"))
    mailbox.run()
    assert [count for _, count in mailbox.tickets()] == [3]


def test_tickets_that_turn_out_to_be_one_are_merged_and_answer_under_the_one_that_stays(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("Re: Order", id="b", answers="a"))
    mailbox.run()
    mailbox.deliver(mail("Re: my parcel", id="c", answers="a", sender="ben@customer.example"))
    mailbox.run()
    assert len(mailbox.tickets()) == 2
    mailbox.deliver(mail("Order", id="a"))
    mailbox.run()
    mailbox.deliver(mail("Re: Order", id="d", answers="c"))
    mailbox.run()
    assert [count for _, count in mailbox.tickets()] == [4]


def test_ticket_numbers_of_a_tenant_are_gapless_over_its_inboxes(
    world: World, tenant: str, mail_server: MailServer
) -> None:
    boxes = [connect(world, tenant, mail_server, name) for name in ("one", "two")]
    for box in boxes:
        box.deliver(mail("A"), mail("B"))
        box.run()
    numbers = boxes[0].query(
        "SELECT ticket_number FROM tickets t JOIN tenants n ON n.id = t.tenant_id WHERE slug = %s ORDER BY 1", tenant
    )
    assert [number for (number,) in numbers] == [1, 2, 3, 4]


def test_a_crash_after_fetch_is_finished_by_the_next_run(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("One"))
    intake.fetch(mailbox.world, mailbox.inbox_id)
    assert intake.wants_fetch(mailbox.world, mailbox.inbox_id), (
        "mail that is durable and not filed is work, also without news"
    )
    mailbox.run()
    assert mailbox.states() == {"persisted": 1}


def test_a_crash_between_storing_and_committing_leaves_the_cursor_and_the_mail_is_read_again(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("One"))

    class Killed(BaseException):
        pass

    class Dies:
        def known(self, inbox_id: int, messages: object) -> frozenset[str]:
            return frozenset()

        def reserve(self, count: int) -> list[int]:
            return list(range(count))

        def add_batch(self, *args: object, **kwargs: object) -> int:
            raise Killed

    before = mailbox.inbox.cursor
    mailbox.world.__dict__["inbound"] = Dies()
    with pytest.raises(Killed):
        intake.fetch(mailbox.world, mailbox.inbox_id)
    del mailbox.world.__dict__["inbound"]
    assert mailbox.inbox.cursor == before == Cursor()
    mailbox.run()
    assert mailbox.states() == {"persisted": 1}


@pytest.mark.parametrize("failing", [0, 1, 3, 5])
def test_no_batch_is_passed_over_when_the_object_store_fails_for_one(mailbox: Mailbox, failing: int) -> None:
    """Later batches may be durable by then: their cursor would leave the one that is not behind for ever."""
    world = mailbox.world
    mailbox.deliver(*(mail(f"Mail {number}") for number in range(6)))

    class FailsOnce:
        def put(self, key: str, content: bytes, **more: str) -> None:
            if b"Mail %d" % failing in unpack(content)[0]:
                raise TransientError("the object store is away")
            world.objects.put(key, content, **more)

    inbox = mailbox.inbox
    with pytest.raises(TransientError, match="the object store is away"):
        fetching.fetch(
            *(
                inbox,
                mailboxes.account(world, inbox),
                provider(inbox.connection_type),
                world.inbound,
                world.inboxes,
                FailsOnce(),
            ),
            limits=FetchLimits(batch_messages=1),
            max_batches=10,
        )
    assert mailbox.states() == ({"stored": failing} if failing else {})
    mailbox.run()
    assert [subject for subject, _ in mailbox.tickets()] == [f"Mail {number}" for number in range(6)]


def test_two_runs_that_read_the_same_mail_at_once_store_it_once(mailbox: Mailbox, world: World) -> None:
    mailbox.deliver(mail("One"))
    slow = mailbox.inbox
    mailbox.run()
    with pytest.raises(TransientError, match="another run moved the cursor"):
        world.inbound.add_batch(slow, [], old=slow.cursor, new=replace(slow.cursor, last_uid=999), note="")
    assert mailbox.states() == {"persisted": 1}


def test_spam_is_listed_and_can_be_released_into_a_ticket(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("Win", more="X-Spam-Flag: YES"))
    mailbox.run()
    assert mailbox.states() == {"listed": 1}
    [row] = [r for r in mailbox.world.inbound.listed(tenant=mailbox.inbox.tenant, states=["listed"])]
    mailbox.world.inbound.send_back(row["id"], release=True)
    intake.file(mailbox.world, mailbox.inbox_id)
    assert mailbox.tickets() == [("Win", 1)]


def test_the_same_id_with_other_content_is_a_ticket_of_its_own(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("One", id="x", body="first"))
    mailbox.run()
    second = mail("Two", id="x", body="second")
    for _ in range(2):
        mailbox.deliver(second)
        mailbox.run()
    assert mailbox.states() == {"persisted": 2, "duplicate": 1}
    assert mailbox.tickets() == [("One", 1), ("Two", 1)]


def test_the_copy_that_a_list_makes_of_a_mail_is_a_duplicate(mailbox: Mailbox) -> None:
    direct = mail("One", id="x", body="My question.")
    mailbox.deliver(direct)
    mailbox.run()
    by_list = direct.replace(b"Subject: One", b"Subject: [list] One") + b"--\r\nlist@groups.example\r\n"
    mailbox.deliver(by_list)
    mailbox.run()
    assert mailbox.states() == {"persisted": 1, "duplicate": 1}


def test_the_copy_of_a_list_that_rewrites_from_is_a_duplicate_in_whatever_order_they_come(mailbox: Mailbox) -> None:
    for id, is_list_first in (("x", False), ("y", True)):
        direct = mail("One", id=id, sender="Kim Lee <kim@customer.example>", body="My question.")
        by_list = direct.replace(
            b"From: Kim Lee <kim@customer.example>", b'From: "Kim Lee via Team" <team@groups.example>'
        )
        by_list = b"List-Id: <team.groups.example>\r\nX-Original-From: Kim Lee <kim@customer.example>\r\n" + by_list
        for raw in sorted((direct, by_list + b"--\r\nteam@groups.example\r\n"), key=len, reverse=is_list_first):
            mailbox.deliver(raw)
            mailbox.run()
    assert mailbox.states() == {"persisted": 2, "duplicate": 2}


def test_two_mails_under_one_id_whose_files_differ_are_both_tickets_and_a_copy_of_one_is_none(mailbox: Mailbox) -> None:
    def invoice(content: str) -> bytes:
        more = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b"
        part = f"--b\r\nContent-Type: application/pdf; name=invoice.pdf\r\n\r\n{content}\r\n--b--"
        raw = mail("Invoice", id="constant", more=more, body=f"--b\r\n\r\nSee the file.\r\n{part}")
        return re.sub(rb"Date: [^\r]*", b"Date: Mon, 02 Nov 2026 09:00:00 +0000", raw)

    for raw in (
        invoice("number 1"),
        invoice("number 2"),
        invoice("number 1").replace(b"See the file.", b"[EXTERNAL]\r\nSee the file."),
    ):
        mailbox.deliver(raw)
        mailbox.run()
    assert mailbox.states() == {"persisted": 2, "duplicate": 1}
    assert mailbox.tickets() == [("Invoice", 1), ("Invoice", 1)]


def test_mails_that_share_a_reference_nobody_saw_join_across_runs_when_their_people_know_each_other(
    mailbox: Mailbox,
) -> None:
    mailbox.deliver(mail("Re: Printer", id="p1", answers="unseen", more="Cc: bob@customer.example"))
    mailbox.run()
    mailbox.deliver(mail("Printer again", id="p2", answers="unseen", sender="bob@customer.example"))
    mailbox.run()
    mailbox.deliver(mail("Re: give me the data", id="p3", answers="unseen", sender="mallory@else.example"))
    mailbox.run()
    assert mailbox.tickets() == [("Re: Printer", 2), ("Re: give me the data", 1)]


def test_a_message_whose_raw_bytes_are_gone_is_parked_and_the_others_go_on(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("One"))
    intake.fetch(mailbox.world, mailbox.inbox_id)
    [(key,)] = mailbox.query("SELECT storage_key FROM inbound WHERE inbox_id = %s", mailbox.inbox_id)
    mailbox.world.objects.delete([str(key)])
    mailbox.deliver(mail("Two"))
    mailbox.run()
    assert mailbox.states() == {"parked": 1, "persisted": 1}
    assert mailbox.tickets() == [("Two", 1)]


def test_a_pack_that_was_cut_short_parks_what_it_lacks_and_the_others_go_on(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("One"), mail("Two"))
    intake.fetch(mailbox.world, mailbox.inbox_id)
    [(key, first)] = mailbox.query(
        "SELECT storage_key, storage_length FROM inbound WHERE inbox_id = %s ORDER BY id LIMIT 1", mailbox.inbox_id
    )
    objects, name = mailbox.world.objects, str(key)
    objects.put(name, objects.get(name)[: int(str(first))], content_type="application/octet-stream")
    mailbox.deliver(mail("Three"))
    mailbox.run()
    assert mailbox.tickets() == [("One", 1), ("Three", 1)]
    [(reason,)] = mailbox.query("SELECT reason FROM inbound WHERE inbox_id = %s AND state = 'parked'", mailbox.inbox_id)
    assert "nothing of it is there" in str(reason)


def test_a_pack_of_which_nothing_is_left_parks_its_mail_and_the_others_go_on(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("One"))
    intake.fetch(mailbox.world, mailbox.inbox_id)
    [(key,)] = mailbox.query("SELECT storage_key FROM inbound WHERE inbox_id = %s", mailbox.inbox_id)
    mailbox.world.objects.put(str(key), b"", content_type="application/octet-stream")
    mailbox.deliver(mail("Two"))
    mailbox.run()
    assert mailbox.tickets() == [("Two", 1)]
    assert mailbox.states() == {"parked": 1, "persisted": 1}


def test_a_backlog_is_read_by_other_processes_and_nothing_is_lost(mailbox: Mailbox) -> None:
    count = 2 * FEW + 1
    mailbox.deliver(*(mail(f"File {number}", body=TWO_FILES, more=FILES) for number in range(count)))
    mailbox.run()
    assert mailbox.states() == {"persisted": count}
    keys = [
        str(key)
        for (key,) in mailbox.query(
            "SELECT storage_key FROM attachments a JOIN messages m ON m.id = a.message_id WHERE inbox_id = %s",
            mailbox.inbox_id,
        )
    ]
    assert len(keys) == 2 * count
    assert mailbox.world.objects.get(keys[-1]).strip() in (b"a,b", b"c,d")


@pytest.mark.parametrize(("count", "careful"), [(FEW + 1, False), (8, True)])
def test_a_message_that_ends_the_process_which_reads_it_is_parked_and_the_others_go_on(
    mailbox: Mailbox, count: int, careful: bool
) -> None:
    mailbox.deliver(*(mail(f"Mail {number}") for number in range(count)))
    world, inbox_id = mailbox.world, mailbox.inbox_id
    intake.fetch(world, inbox_id)
    context = mailboxes.context(world, mailbox.inbox)
    victim = world.inbound.stored(inbox_id, after=0, limit=8)[-1].id

    def prepare() -> Callable[[Sequence[StoredRow], Begin], Classified]:
        read = filing.reader(world, context)

        def deadly(rows: Sequence[StoredRow], begin: Begin) -> Classified:
            for position, row in enumerate(rows):
                begin(position)
                if row.id == victim:
                    os.kill(os.getpid(), signal.SIGKILL)
            return read(rows)

        return deadly

    def spread_deadly(chunks: Iterable[Sequence[StoredRow]]) -> Iterator[Classified | tuple[StoredRow, str]]:
        world.database.close()
        for outcome in spread(prepare, chunks, processes=2):
            yield (outcome.item, outcome.how) if isinstance(outcome, Died) else outcome

    classify(context, world.inbound, world.objects, spread_deadly, careful=careful)
    intake.persist(world, inbox_id)
    assert mailbox.states() == {"persisted": count - 1, "parked": 1}
    assert mailbox.query("SELECT reason FROM inbound WHERE inbox_id = %s AND state = 'parked'", inbox_id) == [
        ("reading it ended the process that read it (signal 9)",)
    ]


def file_a_bad_one_among_three(mailbox: Mailbox, field: str, value: str) -> None:
    """The reading of the second has that value there when it is filed."""
    mailbox.deliver(mail("One"), mail("Bad"), mail("Three"))
    intake.fetch(mailbox.world, mailbox.inbox_id)
    intake.classify(mailbox.world, mailbox.inbox_id)
    with mailbox.world.database.transaction() as t:
        t.connection.execute(
            "UPDATE inbound SET reading = jsonb_set(reading, %s::text[], to_jsonb(%s::text))"
            " WHERE inbox_id = %s AND subject = 'Bad'",
            (field, value, mailbox.inbox_id),
        )
    intake.persist(mailbox.world, mailbox.inbox_id)


def test_a_row_that_can_not_be_filed_is_parked_with_the_reason_and_holds_no_other(mailbox: Mailbox) -> None:
    file_a_bad_one_among_three(mailbox, "{verdict,kind}", "nonsense")
    assert mailbox.states() == {"persisted": 2, "parked": 1}
    [(reason,)] = mailbox.query("SELECT reason FROM inbound WHERE inbox_id = %s AND state = 'parked'", mailbox.inbox_id)
    assert "nonsense" in str(reason)


def test_an_address_that_no_index_can_hold_parks_its_mail_alone(mailbox: Mailbox) -> None:
    """PostgreSQL says that a limit of the program is exceeded, which psycopg has among the errors of a database that is away."""
    file_a_bad_one_among_three(mailbox, "{sender,address}", f"{secrets.token_hex(4000)}@x.example")
    assert mailbox.states() == {"persisted": 2, "parked": 1}


def test_a_schema_that_is_behind_is_the_operators_and_no_mail_is_parked_for_it(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("One"))
    intake.fetch(mailbox.world, mailbox.inbox_id)
    intake.classify(mailbox.world, mailbox.inbox_id)
    with psycopg.connect(mailbox.world.settings.owner_dsn) as owner:
        owner.execute("ALTER TABLE tickets RENAME COLUMN subject TO of_another_version")
    try:
        with pytest.raises(OperatorError) as refused:
            intake.persist(mailbox.world, mailbox.inbox_id)
    finally:
        with psycopg.connect(mailbox.world.settings.owner_dsn) as owner:
            owner.execute("ALTER TABLE tickets RENAME COLUMN of_another_version TO subject")
    assert "inboxops prepare" in refused.value.fix
    assert mailbox.states() == {"classified": 1}


def test_a_sender_whose_address_is_far_too_long_gets_a_ticket_without_it(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("Long", sender=f"{secrets.token_hex(2000)}@x.example"))
    mailbox.run()
    assert mailbox.tickets() == [("Long", 1)]


def test_mail_of_a_removed_inbox_that_is_released_becomes_a_ticket(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("You won", more="X-Spam-Flag: YES"))
    mailbox.run()
    [(number,)] = mailbox.query("SELECT id FROM inbound WHERE inbox_id = %s", mailbox.inbox_id)
    world = mailbox.world
    world.inboxes.remove(mailbox.inbox_id)
    world.inbound.send_back(int(str(number)), release=True)
    assert not runs.wake(world, mailbox.inbox_id), "it has no run"
    mailbox.query(
        "UPDATE inbound SET updated_at = now() - interval '1 day' WHERE inbox_id = %s RETURNING 1", mailbox.inbox_id
    )
    upkeep.drain(world)
    assert mailbox.tickets() == [("You won", 1)]


def test_a_row_that_the_database_refuses_is_parked_with_the_reason_and_holds_no_other(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("One"), mail("Bad"), mail("Three"))
    intake.fetch(mailbox.world, mailbox.inbox_id)
    intake.classify(mailbox.world, mailbox.inbox_id)
    with psycopg.connect(mailbox.world.settings.owner_dsn) as owner:
        owner.execute("ALTER TABLE messages ADD CONSTRAINT refused CHECK (subject <> 'Bad') NOT VALID")
    try:
        intake.persist(mailbox.world, mailbox.inbox_id)
    finally:
        with psycopg.connect(mailbox.world.settings.owner_dsn) as owner:
            owner.execute("ALTER TABLE messages DROP CONSTRAINT refused")
    assert mailbox.states() == {"persisted": 2, "parked": 1}
    [(reason,)] = mailbox.query("SELECT reason FROM inbound WHERE inbox_id = %s AND state = 'parked'", mailbox.inbox_id)
    assert "refused" in str(reason)


def test_a_row_that_another_run_parked_meanwhile_is_not_taken_for_the_next_one(mailbox: Mailbox) -> None:
    """Both met the bad one alone. What it failed by is no reason to park the good one behind it."""
    mailbox.deliver(mail("Bad"), mail("Good"))
    world, inbox_id = mailbox.world, mailbox.inbox_id
    intake.fetch(world, inbox_id)
    intake.classify(world, inbox_id)
    [(bad,)] = mailbox.query("SELECT min(id) FROM inbound WHERE inbox_id = %s", inbox_id)

    class Overtaken(PersistStore):
        def persist(self, *arguments: Any, **more: Any) -> Slice:
            if mailbox.states().get("classified") == 2:
                if more["limit"] == 1:
                    world.inbound.park(int(str(bad)), "the other run says why")
                raise ValueError("what is wrong with the bad one")
            return super().persist(*arguments, **more)

    world.__dict__["filing"] = Overtaken(world.database)
    intake.persist(world, inbox_id)
    assert mailbox.states() == {"parked": 1, "persisted": 1}


def test_the_first_tickets_of_a_backlog_are_told_while_the_rest_is_still_filed(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(persisting, "SLICE", 2)
    mailbox.deliver(*(mail(f"Mail {number}") for number in range(4)))
    world, inbox_id = mailbox.world, mailbox.inbox_id
    intake.fetch(world, inbox_id)
    intake.classify(world, inbox_id)

    def told() -> int:
        [(count,)] = mailbox.query(
            "SELECT count(*) FROM outbox WHERE tenant_id = %s AND name = 'ticket.message_added' AND done_at IS NOT NULL",
            mailbox.inbox.tenant_id,
        )
        return int(str(count))

    class Watched(PersistStore):
        slices = 0

        def persist(self, *arguments: Any, **more: Any) -> tuple[list[int], Plan]:
            if self.slices == 1:
                wait_until("the events of the first two", lambda: told() == 2)
            self.slices += 1
            return super().persist(*arguments, **more)

    world.__dict__["filing"] = Watched(world.database)
    intake.persist(world, inbox_id)
    assert mailbox.states() == {"persisted": 4}
    assert told() == 4


def test_a_wrong_password_disconnects_once_and_a_new_one_goes_on_where_it_stopped(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("One"))
    mailbox.run()
    world = mailbox.world
    mailbox.server.add_user(mailbox.user, "another password")
    with pytest.raises(AuthenticationFailed):
        intake.wants_fetch(world, mailbox.inbox_id)
    assert mailbox.inbox.connected_at is None
    assert mailbox.inbox.last_error
    assert not intake.wants_fetch(world, mailbox.inbox_id), "a disconnected inbox is left alone"
    [(events,)] = mailbox.query(
        "SELECT count(*) FROM outbox WHERE name = 'inbox.disconnected' AND tenant_id = %s", mailbox.inbox.tenant_id
    )
    assert events == 1
    world.inboxes.reconnect(
        mailbox.inbox_id,
        mailbox.inbox.connection,
        world.vault.seal({"username": mailbox.user, "password": "another password"}),
    )
    mailbox.deliver(mail("Two"))
    mailbox.run()
    assert mailbox.tickets() == [("One", 1), ("Two", 1)]
    assert mailbox.inbox.last_error is None


def test_an_inbox_that_is_connected_again_while_its_old_password_is_refused_stays_connected(mailbox: Mailbox) -> None:
    world = mailbox.world
    asked = world.inboxes.to_probe(mailbox.inbox_id)
    mailbox.server.add_user(mailbox.user, "another password")
    world.inboxes.reconnect(
        mailbox.inbox_id,
        mailbox.inbox.connection,
        world.vault.seal({"username": mailbox.user, "password": "another password"}),
    )
    with pytest.raises(AuthenticationFailed):
        intake.wants_fetch(world, mailbox.inbox_id, asked)
    assert mailbox.inbox.is_live
    assert mailbox.inbox.last_error is None
    mailbox.deliver(mail("One"))
    mailbox.run()
    assert mailbox.tickets() == [("One", 1)]


def test_a_server_that_is_away_disconnects_nobody_and_the_inbox_says_what_it_waits_for(mailbox: Mailbox) -> None:
    with mailbox.world.database.transaction() as t:
        t.connection.execute(
            "UPDATE inboxes SET connection = jsonb_set(connection, '{port}', '1') WHERE id = %s", (mailbox.inbox_id,)
        )
    with pytest.raises(TransientError):
        intake.wants_fetch(mailbox.world, mailbox.inbox_id)
    assert mailbox.inbox.is_live
    assert "port 1 of localhost" in str(mailbox.inbox.last_error)


def test_a_woken_fetch_that_fails_for_now_is_tried_again_however_far_away_the_next_poll_is(mailbox: Mailbox) -> None:
    with mailbox.world.database.transaction() as t:
        t.connection.execute(
            "UPDATE inboxes SET connection = jsonb_set(connection, '{port}', '1') WHERE id = %s", (mailbox.inbox_id,)
        )
    with pytest.raises(TransientError):
        intake.fetch_woken(mailbox.world, mailbox.inbox_id)
    waking = (
        "SELECT count(*) FROM outbox WHERE kind = 'wake' AND name = %s AND done_at IS NULL AND available_at > now()"
    )
    assert mailbox.query(waking, str(mailbox.inbox_id)) == [(1,)]


def test_events_leave_in_order_after_the_commit_and_redis_being_away_loses_none(mailbox: Mailbox) -> None:
    world = mailbox.world
    subscriber = redis.Redis.from_url(world.settings.redis_url.get_secret_value()).pubsub()
    subscriber.subscribe(channel(mailbox.inbox.tenant_id))
    working = world.bus

    class Away:
        def publish(self, events: object) -> None:
            raise TransientError("Redis is away")

    world.__dict__["bus"] = Away()
    mailbox.deliver(mail("One"))
    mailbox.run()
    assert mailbox.states() == {"persisted": 1}, "mail goes on without Redis"
    world.__dict__["bus"] = working
    upkeep.drain(world)
    names = []
    while len(names) < 2:
        message = subscriber.get_message(timeout=30)
        assert message is not None
        if message["type"] == "message":
            names.append(json.loads(message["data"])["event"])
    assert names == ["ticket.message_added", "ticket.updated"]


@pytest.mark.parametrize("state", ["paused", "removed"])
def test_a_run_that_reads_an_inbox_stops_behind_its_batch_when_that_is_stopped(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """Many batches of one message: the inbox is stopped as the third is stored."""
    mailbox.deliver(*(mail(f"Number {number}") for number in range(12)))
    monkeypatch.setattr(intake, "FetchLimits", partial(FetchLimits, batch_messages=1))
    world, stored = mailbox.world, 0
    add = world.inbound.add_batch

    def stopped_behind_the_third(*about: Any, **more: Any) -> int:
        nonlocal stored
        stored += 1
        added = add(*about, **more)
        if stored == 3 and state == "paused":
            world.inboxes.pause(mailbox.inbox_id, paused=True)
        elif stored == 3:
            world.inboxes.remove(mailbox.inbox_id)
        return added

    monkeypatch.setattr(world.inbound, "add_batch", stopped_behind_the_third)
    fetched = intake.fetch_woken(world, mailbox.inbox_id)
    assert 3 <= fetched.stored < 12
    assert not mailbox.query("SELECT 1 FROM outbox WHERE kind = 'wake' AND name = %s", str(mailbox.inbox_id))
    intake.file(world, mailbox.inbox_id)
    assert mailbox.states() == {"persisted": fetched.stored}, "what came until then is filed"
    if state == "paused":
        world.inboxes.pause(mailbox.inbox_id, paused=False)
        mailbox.run()
        assert mailbox.states() == {"persisted": 12}


@pytest.mark.parametrize("fetch", [intake.fetch_woken, intake.fetch_by_clock])
def test_a_run_that_was_queued_when_its_inbox_was_removed_files_what_came_and_asks_no_server(
    mailbox: Mailbox, fetch: Callable[[World, int], fetching.Fetched]
) -> None:
    mailbox.deliver(mail("One"))
    world, inbox_id = mailbox.world, mailbox.inbox_id
    intake.fetch(world, inbox_id)
    mailbox.deliver(mail("Two"))
    world.inboxes.remove(inbox_id)
    assert intake.wants_fetch(world, inbox_id), "mail is there that is not filed"
    assert not fetch(world, inbox_id).skipped
    intake.file(world, inbox_id)
    assert mailbox.states() == {"persisted": 1}
    assert not intake.wants_fetch(world, inbox_id)
    assert fetch(world, inbox_id).skipped == "the inbox is removed"


def test_mail_that_there_is_no_time_for_stays_for_the_next_run(mailbox: Mailbox) -> None:
    mailbox.deliver(*(mail(f"Mail {number}") for number in range(2 * FEW)))
    intake.fetch(mailbox.world, mailbox.inbox_id)
    asked = iter([True, True])  # before the rows, and before their first chunk
    intake.file(mailbox.world, mailbox.inbox_id, careful=True, in_time=lambda: next(asked, False))
    assert mailbox.states() == {"stored": 2 * FEW - CHUNK_MESSAGES, "persisted": CHUNK_MESSAGES}
    intake.file(mailbox.world, mailbox.inbox_id)
    assert mailbox.states() == {"persisted": 2 * FEW}


def test_mail_left_by_a_crash_is_filed_by_the_drain_although_its_inbox_was_disconnected(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("One"))
    intake.fetch(mailbox.world, mailbox.inbox_id)
    mailbox.world.inboxes.disconnect(mailbox.inbox, AuthenticationFailed("gone"))
    with mailbox.world.database.transaction() as t:
        t.connection.execute(
            "UPDATE inbound SET updated_at = now() - interval '1 hour' WHERE inbox_id = %s", (mailbox.inbox_id,)
        )
    upkeep.drain(mailbox.world)
    assert mailbox.tickets() == [("One", 1)]


def test_the_hourly_limit_coalesces_and_nothing_is_lost(mailbox: Mailbox) -> None:
    world = mailbox.world
    taken = [world.inboxes.take_fetch_slot(mailbox.inbox_id, per_hour=10) for _ in range(20)]
    assert taken.count(True) == 5, "half of the hour's limit may come at once"
    mailbox.deliver(mail("One"))
    world.settings = world.settings.model_copy(update={"fetch_limit_per_hour": 10})
    assert not intake.wants_fetch(world, mailbox.inbox_id)
    assert intake.fetch_woken(world, mailbox.inbox_id).skipped
    waking = mailbox.query(
        "SELECT available_at > now() + interval '11 minutes' AND available_at <= now() + interval '12 minutes' FROM outbox"
        " WHERE kind = 'wake' AND name = %s AND done_at IS NULL",
        str(mailbox.inbox_id),
    )
    assert waking == [(True,)], "who found no room is woken once there is some, however far away the next poll is"
    with world.database.transaction() as t:
        t.connection.execute(
            "UPDATE inboxes SET fetch_slot_at = fetch_slot_at - interval '13 minutes' WHERE id = %s",
            (mailbox.inbox_id,),
        )
    assert intake.wants_fetch(world, mailbox.inbox_id)


def test_a_clock_that_was_put_back_shuts_no_inbox_out_of_its_hourly_limit(mailbox: Mailbox) -> None:
    world = mailbox.world
    with world.database.transaction() as t:
        t.connection.execute(
            "UPDATE inboxes SET fetch_slot_at = now() + interval '1 day' WHERE id = %s", (mailbox.inbox_id,)
        )
    taken = [world.inboxes.take_fetch_slot(mailbox.inbox_id, per_hour=10) for _ in range(20)]
    assert taken.count(True) == 5


def test_row_level_security_shows_the_api_role_only_its_tenant(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("Secret"))
    mailbox.run()
    url = mailbox.world.settings.api_database_url
    assert url is not None
    with psycopg.connect(url.get_secret_value()) as connection:
        for tenant_id, count in (
            ("", 0),
            (str(mailbox.inbox.tenant_id + 1_000_000), 0),
            (str(mailbox.inbox.tenant_id), 1),
        ):
            connection.execute("SELECT set_config('inboxops.tenant_id', %s, false)", (tenant_id,))
            for table in ("tickets", "messages", "inbound", "inboxes"):
                assert connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (count,), table


def test_no_password_reaches_a_log_line(
    mailbox: Mailbox, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        mailbox.deliver(mail("One"))
        mailbox.run()
    said = caplog.text + "".join(capfd.readouterr())
    assert "secret password" not in said
    assert "secret password" not in repr(mailboxes.account(mailbox.world, mailbox.inbox))


def console_rows(mailbox: Mailbox, **asked: Any) -> list[Row]:
    plain = {"q": "", "state": "", "kind": "", "trouble": False, "sort": "lag", "down": True, "offset": 0, "limit": 1}
    minutes = timedelta(minutes=5)
    return mailbox.world.console.inboxes(**{"ids": [mailbox.inbox_id], "every": minutes} | plain | asked)


def test_a_look_that_finds_nothing_is_a_look(mailbox: Mailbox) -> None:
    """What operators read as `last looked` is no arrival: a quiet inbox is none that stands still."""
    mailbox.deliver(mail("First"))
    mailbox.run()
    mailbox.query(
        "UPDATE inboxes SET last_fetch_at = now() - interval '1 hour' WHERE id = %s RETURNING 1", mailbox.inbox_id
    )
    assert not intake.wants_fetch(mailbox.world, mailbox.inbox_id)
    (row,) = console_rows(mailbox)
    assert row["lag"] < 60


def test_an_inbox_that_stands_still_without_an_error_is_in_trouble(mailbox: Mailbox) -> None:
    """Its DAG is paused in Airflow, or its runs fail behind fetch: nothing of that is noted on the inbox."""

    def stands() -> list[object]:
        return [row["stands"] for row in console_rows(mailbox, trouble=True)]

    mailbox.deliver(mail("One"))
    intake.fetch(mailbox.world, mailbox.inbox_id)
    assert stands() == []
    made = "UPDATE inbound SET updated_at = now() - interval '31 minutes' WHERE inbox_id = %s RETURNING 1"
    mailbox.query(made, mailbox.inbox_id)
    assert stands() == ["not_filed"]
    intake.file(mailbox.world, mailbox.inbox_id)
    assert stands() == []
    ago = "UPDATE inboxes SET {} = now() - interval '{} minutes' WHERE id = %s RETURNING 1"
    for column in ("last_fetch_at", "connected_at"):
        mailbox.query(ago.format(column, 121), mailbox.inbox_id)
    assert stands() == ["not_read"]
    assert console_rows(mailbox, trouble=True, every=timedelta(hours=1)) == [], "it is not its turn yet"
    looks = mailbox.world.looks
    looks.follow(timedelta(minutes=5))
    mailbox.query("UPDATE inbox_looks SET looked_at = now() WHERE inbox_id = %s RETURNING 1", mailbox.inbox_id)
    assert stands() == [], "it is looked at, and runs come seldom"
    mailbox.query("DELETE FROM inbox_looks WHERE inbox_id = %s RETURNING 1", mailbox.inbox_id)
    mailbox.world.inboxes.pause(mailbox.inbox_id, paused=True)
    assert stands() == []
    mailbox.world.inboxes.pause(mailbox.inbox_id, paused=False)
    assert stands() == [], "it was resumed a moment ago"
    mailbox.query(ago.format("resumed_at", 121), mailbox.inbox_id)
    mailbox.query(ago.format("idle_seen_at", 1), mailbox.inbox_id)
    assert stands() == [], "it is held in IDLE, however seldom it is polled"


def test_the_consoles_list_is_planned_for_who_looks_at_it(mailbox: Mailbox) -> None:
    """A plan that PostgreSQL keeps for whatever is asked took ten times as long with 3,000 inboxes."""
    ids = list(range(mailbox.inbox_id, mailbox.inbox_id + 3_000))
    for _ in range(20):
        console_rows(mailbox, ids=ids)
    kept = "SELECT 1 FROM pg_prepared_statements WHERE statement LIKE '%%AS unfiled%%'"
    assert mailbox.query(kept) == []
