"""A backlog is filed while it is read: the same tickets in the same order, whatever becomes of the process that files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import structlog
from pydantic import SecretStr
from structlog.testing import capture_logs

from inboxops.composition import filing, intake
from inboxops.composition.forks import Begin
from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.core.model import InboxContext
from inboxops.core.plan import Facts, Item, Plan, Slice
from inboxops.db.persist import PersistStore, PlanMaker
from inboxops.ports import StoredRow
from inboxops.stories import persist as persisting
from inboxops.stories import stored_mail
from inboxops.stories.classify import FEW, Classified
from inboxops.stories.persist import Persisted
from inboxops_lab.testing.processes import wait_until
from tests.stories.conftest import Mailbox, mail
from tests.test_beside import alive

SLICE, CHUNK, COUNT = 10, 5, 65  # but for the last chunk, six slices
ROOT = Path(__file__).parents[2]
Hold = Callable[[Mailbox, Sequence[StoredRow]], None]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices and chunks of which a backlog of a few dozen mails has several."""
    monkeypatch.setattr(persisting, "SLICE", SLICE)
    monkeypatch.setattr(stored_mail, "CHUNK_MESSAGES", CHUNK)


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured  # type: ignore[misc]


@pytest.fixture
def backlog(mailbox: Mailbox) -> Mailbox:
    """Mail that is stored and not read; the second mail answers the last one."""
    rest = (mail(f"Mail {number}", id=f"id{number}") for number in range(2, COUNT))
    mailbox.deliver(mail("Mail 0", id="id0"), mail("Re: Mail 64", id="id1", answers="id64"), *rest)
    intake.fetch(mailbox.world, mailbox.inbox_id)
    return mailbox


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, backlog: Mailbox) -> Callable[[int, Hold], None]:
    """Have the chunk with the mail at a place wait before it is read."""

    def held(place: int, hold: Hold) -> None:
        chosen = place // CHUNK
        first = backlog.world.inbound.stored(backlog.inbox_id, after=0, limit=COUNT)[chosen * CHUNK].id
        plain = filing.reader

        def reader(world: World, known: InboxContext) -> Callable[[Sequence[StoredRow], Begin], Classified]:
            read = plain(world, known)

            def waiting(rows: Sequence[StoredRow], begin: Begin) -> Classified:
                if rows[0].id == first:
                    own = Mailbox(World(world.settings), backlog.server, backlog.user, backlog.inbox_id)
                    own.world.database.in_fork()
                    hold(own, rows)
                    own.world.close()
                return read(rows, begin)

            return waiting

        monkeypatch.setattr(filing, "reader", reader)

    return held


def until_filed(count: int) -> Hold:
    def hold(box: Mailbox, rows: Sequence[StoredRow]) -> None:
        wait_until(f"{count} mails are filed", lambda: box.states().get("persisted", 0) >= count)

    return hold


class Elsewhere(PersistStore):
    """The store of the process beside: `within` is called in each of its transactions that files something, with its number.

    marks: a file with one byte for each transaction that began.
    """

    def __init__(self, world: World, marks: Path, within: Callable[[int], None] = lambda number: None) -> None:
        super().__init__(world.database)
        self._here, self._marks, self._within, self._slices = os.getpid(), marks, within, 0

    def persist(self, inbox: Inbox, make_plan: PlanMaker, **more: Any) -> Slice:
        if os.getpid() == self._here:
            return super().persist(inbox, make_plan, **more)

        def planned(items: Sequence[Item], facts: Facts) -> Plan:
            self._slices += 1
            self._within(self._slices)
            return make_plan(items, facts)

        with self._marks.open("a") as marks:
            marks.write("+")
        return super().persist(inbox, planned, **more)


def subjects(box: Mailbox) -> list[object]:
    return [subject for subject, _ in box.tickets()]


def check(box: Mailbox, beside: Persisted, after: Persisted) -> None:
    """As a backlog is filed by persist alone."""
    total = beside + after
    assert box.states() == total.outcomes == {"persisted": COUNT}
    assert box.query("SELECT count(*) FROM messages WHERE inbox_id = %s", box.inbox_id) == [(COUNT,)]
    assert subjects(box) == ["Mail 0", "Re: Mail 64", *(f"Mail {number}" for number in range(2, COUNT - 1))]
    assert dict(box.tickets())["Re: Mail 64"] == 2
    assert total.tickets == COUNT - 1


def test_what_is_read_is_filed_while_the_rest_is_read_and_the_counts_of_both_tasks_add_up(
    backlog: Mailbox, held: Callable[[int, Hold], None], lines: list[dict[str, Any]]
) -> None:
    held(COUNT - 1, until_filed(3 * SLICE))
    classified = intake.classify(backlog.world, backlog.inbox_id)
    assert classified.read == COUNT
    assert classified.filed_beside.outcomes["persisted"] >= 3 * SLICE
    check(backlog, classified.filed_beside, intake.persist(backlog.world, backlog.inbox_id))
    [told] = [line for line in lines if line["event"] == "classify_ended"]
    assert told["filed_beside"]["outcomes"] == classified.filed_beside.outcomes
    assert warned(lines) == []


def test_nothing_is_filed_before_what_came_first_is_read(
    backlog: Mailbox, held: Callable[[int, Hold], None], tmp_path: Path
) -> None:
    """Another order would give other numbers, and decide otherwise which of two mails opens a ticket."""
    marks = tmp_path / "slices"
    backlog.world.__dict__["filing"] = Elsewhere(backlog.world, marks)

    def hold(box: Mailbox, rows: Sequence[StoredRow]) -> None:
        waiting = 2 * CHUNK  # this process has the next chunk that it is to read already
        wait_until("all else is read", lambda: box.states() == {"stored": waiting, "classified": COUNT - waiting})
        wait_until("the process beside looked", marks.exists)

    held(0, hold)
    classified = intake.classify(backlog.world, backlog.inbox_id)
    check(backlog, classified.filed_beside, intake.persist(backlog.world, backlog.inbox_id))


def test_its_events_leave_at_once(backlog: Mailbox, held: Callable[[int, Hold], None]) -> None:
    told = "SELECT count(*) FROM outbox WHERE tenant_id = %s AND name = 'ticket.message_added' AND done_at IS NOT NULL"
    held(COUNT - 1, lambda box, rows: wait_until("ten", lambda: box.query(told, box.inbox.tenant_id) >= [(SLICE,)]))
    intake.file(backlog.world, backlog.inbox_id)
    assert backlog.query(told, backlog.inbox.tenant_id) == [(COUNT,)]


def test_when_it_is_killed_classify_says_so_and_persist_files_the_rest(
    backlog: Mailbox, held: Callable[[int, Hold], None], tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    marks = tmp_path / "killed"

    def within(number: int) -> None:
        if number == 2:
            marks.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    backlog.world.__dict__["filing"] = Elsewhere(backlog.world, tmp_path / "slices", within)
    held(COUNT - 1, lambda box, rows: wait_until("it is killed", marks.exists))
    classified = intake.classify(backlog.world, backlog.inbox_id)
    assert classified.filed_beside.outcomes == {"persisted": backlog.states()["persisted"]}
    assert warned(lines) == ["signal 9"]
    check(backlog, classified.filed_beside, intake.persist(backlog.world, backlog.inbox_id))


def test_when_its_database_goes_away_nothing_of_the_slice_is_written_and_persist_files_it(
    backlog: Mailbox, held: Callable[[int, Hold], None], tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    marks, same_role = tmp_path / "ended", backlog.world.settings.database_url.get_secret_value()

    def within(number: int) -> None:
        """End the connection that decides for the inbox, in the middle of its transaction."""
        if number == 2:
            ending = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid::bigint = %s"
            with psycopg.connect(same_role) as other:
                assert other.execute(ending, (backlog.inbox_id,)).fetchall() == [(True,)]
            marks.touch()

    backlog.world.__dict__["filing"] = Elsewhere(backlog.world, tmp_path / "slices", within)
    held(COUNT - 1, lambda box, rows: wait_until("its connection is ended", marks.exists))
    classified = intake.classify(backlog.world, backlog.inbox_id)
    assert classified.read == COUNT, "reading went on"
    assert classified.filed_beside.outcomes == {"persisted": backlog.states()["persisted"]}
    [why] = warned(lines)
    assert "database" in why
    check(backlog, classified.filed_beside, intake.persist(backlog.world, backlog.inbox_id))


def test_a_mail_that_can_not_be_filed_is_parked_alone(
    backlog: Mailbox, held: Callable[[int, Hold], None], lines: list[dict[str, Any]]
) -> None:
    owner = backlog.world.settings.owner_dsn
    with psycopg.connect(owner) as other:
        other.execute("ALTER TABLE messages ADD CONSTRAINT refused CHECK (subject <> 'Mail 12') NOT VALID")
    try:
        held(COUNT - 1, lambda box, rows: wait_until("it is parked", lambda: box.states().get("parked") == 1))
        classified = intake.classify(backlog.world, backlog.inbox_id)
    finally:
        with psycopg.connect(owner) as other:
            other.execute("ALTER TABLE messages DROP CONSTRAINT refused")
    total = classified.filed_beside + intake.persist(backlog.world, backlog.inbox_id)
    assert classified.filed_beside.outcomes["parked"] == 1
    assert backlog.states() == total.outcomes == {"persisted": COUNT - 1, "parked": 1}
    assert warned(lines) == []


def test_mail_that_is_sent_back_meanwhile_holds_nothing_up_and_is_the_next_runs(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    mailbox.deliver(mail("You won", more="X-Spam-Flag: YES"))
    mailbox.run()
    [(spam,)] = mailbox.query("SELECT id FROM inbound WHERE inbox_id = %s", mailbox.inbox_id)
    backlog: Mailbox = request.getfixturevalue("backlog")

    def hold(box: Mailbox, rows: Sequence[StoredRow]) -> None:
        until_filed(1)(box, rows)
        box.world.inbound.send_back(int(str(spam)), release=True)
        until_filed(3 * SLICE)(box, rows)

    request.getfixturevalue("held")(COUNT - 1, hold)
    intake.file(backlog.world, backlog.inbox_id)
    assert backlog.states() == {"persisted": COUNT, "stored": 1}
    intake.file(backlog.world, backlog.inbox_id)
    assert backlog.states() == {"persisted": COUNT + 1}


def test_killed_with_the_task_that_reads_it_leaves_what_the_next_run_ends(backlog: Mailbox) -> None:
    rows = backlog.world.inbound.stored(backlog.inbox_id, after=0, limit=COUNT)
    known = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in backlog.world.settings.model_dump().items()
    }
    order = {
        "settings": known,
        "inbox_id": backlog.inbox_id,
        "waits_at": rows[-CHUNK].id,
        "slice": SLICE,
        "chunk": CHUNK,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.stories.waiting_task"], cwd=ROOT, stdin=subprocess.PIPE, text=True
    ) as task:
        assert task.stdin is not None
        print(json.dumps(order), file=task.stdin, flush=True)
        wait_until("some is filed", lambda: backlog.states().get("persisted", 0) >= SLICE, seconds=60)
        forked = psutil.Process(task.pid).children()
        task.kill()
    wait_until("none of its processes is left but the reader that waits", lambda: len(list(filter(alive, forked))) <= 1)
    for process in filter(alive, forked):
        process.kill()
    filed = backlog.states()["persisted"]
    total = intake.file(backlog.world, backlog.inbox_id)
    assert total.outcomes == {"persisted": COUNT - filed}
    check(backlog, Persisted(filed, {"persisted": filed}), total)


def test_few_mails_have_no_process_more(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than a slice, though read by several processes."""
    monkeypatch.setattr(persisting, "SLICE", 200)
    mailbox.deliver(*(mail(f"Mail {number}") for number in range(FEW + 1)))
    intake.fetch(mailbox.world, mailbox.inbox_id)
    assert intake.classify(mailbox.world, mailbox.inbox_id).filed_beside == Persisted()
    assert mailbox.states() == {"classified": FEW + 1}


def warned(lines: list[dict[str, Any]]) -> list[str]:
    return [line["why"] for line in lines if line["event"] == "filing_beside_ended"]
