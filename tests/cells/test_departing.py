"""A tenant goes to another installation while its mail comes and its agents answer: it is in one of the two, whole, at any time."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from airflow.triggers.base import TaskSkippedEvent
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from inboxops.composition import departing, erasing, intake, moving, sending, upkeep
from inboxops.composition.world import World
from inboxops.core.cells import MOVING
from inboxops.core.installations import RANGE, range_of
from inboxops.core.keys import tenant_prefix
from inboxops.core.push import Errand
from inboxops.db import departures
from inboxops.db.departures import ArrivalStore, DepartureStore
from inboxops.db.migrate import migrate
from inboxops.db.tenant_tables import OF_ALL, tenant_tables
from inboxops.errors import (
    Conflict,
    InboxOpsError,
    InvalidInput,
    OperatorError,
    Overtaken,
    ServiceAway,
    TransientError,
)
from inboxops.settings import Settings
from inboxops_airflow import connections
from inboxops_airflow.triggers import ProbeTrigger
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.processes import wait_until
from inboxops_local.stack.testing import running
from inboxops_local.standins.running import Serving
from tests.cells.conftest import Cell, Cells
from tests.cli.test_inbox_commands import Shell
from tests.push.conftest import StandInAirflow
from tests.sending.conftest import Desk, set_up
from tests.stories.conftest import Mailbox, mail


@pytest.fixture(scope="session")
def elsewhere(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Servers of another installation, which knows what the first one signs with and has a range of ids of its own."""
    with running(tmp_path_factory.mktemp("elsewhere") / "home", "--only=services") as settings:
        migrate(settings.owner_dsn, id_range=7)
        known = f"{services.signing_key.get_secret_value()}@2100-01-01T00:00:00Z"
        yield settings.model_copy(update={"previous_signing_keys": SecretStr(known), "cell": "far"})


@dataclass
class Two:
    """Both installations. said: what the command told."""

    here: Cell
    far: Cell
    tenant: str
    said: list[str]

    def leave(self, cell: str = "far") -> departing.Left:
        return departing.leave(self.here.world, self.far.world, self.tenant, cell, tell=self.said.append)

    def stay(self) -> str:
        return departing.stay(self.here.world, self.far.world, self.tenant)

    def in_far(self, box: Mailbox) -> Mailbox:
        return replace(box, world=self.far.world)

    def cell(self, world: World) -> str | None:
        return {row["slug"]: row["cell"] for row in world.inboxes.tenants()}.get(self.tenant)


@pytest.fixture
def both(two: Cells, elsewhere: Settings) -> Iterator[Two]:
    with Serving(StandInAirflow("far")) as serving:
        world = World(elsewhere.model_copy(update={"airflow_url": serving.url}))
        assert isinstance(serving.stand_in, StandInAirflow)
        far = Cell("far", world, serving.stand_in, serving)
        far.beat()
        yield Two(two.main, far, two.tenant, [])
        world.close()


@pytest.fixture
def desk(both: Two, mail_server: MailServer) -> Iterator[Desk]:
    with set_up(both.here.world, both.tenant, mail_server) as desk:
        yield desk


def query(world: World, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with world.database.transaction() as t:
        return [tuple(row.values()) for row in t.connection.execute(sql.encode(), parameters).fetchall()]


def changed(world: World, **settings: Any) -> World:
    return World(world.settings.model_copy(update=settings))


def rows(world: World, tenant_id: int) -> dict[str, int]:
    """Of the tenant, in each table that has any."""
    with world.database.transaction() as t:
        counts = {}
        for table in tenant_tables(t):
            query = departures.sql.SQL("SELECT count(*) AS n FROM {} WHERE {}").format(
                table.named(), table.belongs(tenant_id)
            )
            row = t.connection.execute(query).fetchone()
            counts[table.name] = row["n"] if row else 0
        return {name: count for name, count in counts.items() if count}


def triggers(world: World, tenant_id: int) -> list[tuple[Any, ...]]:
    return query(world, "SELECT tgname FROM pg_trigger WHERE tgname LIKE %s", f"departing_{tenant_id}_%")


def objects(world: World, tenant_id: int) -> dict[str, int]:
    return dict(world.objects.sizes(tenant_prefix(tenant_id)))


def nothing_is_left(both: Two, tenant_id: int) -> None:
    assert rows(both.here.world, tenant_id) == {}
    assert objects(both.here.world, tenant_id) == {}
    assert triggers(both.here.world, tenant_id) == []
    assert both.tenant not in {each.slug for each in both.here.world.departures.on_their_way()}


WITH_FILES = (
    'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee there.\r\n'
    '--b\r\nContent-Type: application/pdf; name="{name}"\r\nContent-Disposition: attachment; filename="{name}"\r\n\r\n'
    "{content}\r\n--b--"
)


def with_file(subject: str, name: str, size: int) -> bytes:
    content = "\r\n".join(["x" * 70] * (size // 72))
    return mail(subject, body="", more=WITH_FILES.format(name=name, content=content))


def test_everything_goes_and_the_mailbox_is_read_on_from_where_it_was(both: Two, desk: Desk) -> None:
    box, world, there = desk.box, both.here.world, both.far.world
    box.deliver(with_file("Small file", "small.pdf", 9_000), with_file("Large file", "large.pdf", 400_000))
    answered = desk.ticket(id=f"first-{both.tenant}")
    desk.reply(answered, "An answer that has left.")
    waits = desk.reply(answered, "An answer that waits.")
    box.deliver(mail("Stored and not filed"))
    intake.fetch(world, box.inbox_id)
    tenant_id, before, kept = desk.tenant_id, rows(world, desk.tenant_id), objects(world, desk.tenant_id)
    raw = {
        row[0]: intake.raw_mail(world, int(str(row[0])))
        for row in box.query("SELECT id FROM inbound WHERE inbox_id = %s", box.inbox_id)
    }

    left = both.leave()

    assert left.rows == sum(before.values())
    assert left.objects == len(kept)
    assert objects(there, tenant_id) == kept
    nothing_is_left(both, tenant_id)
    assert both.cell(there) == "far"
    assert both.far.airflow.parsed >= 1
    assert {inbound: intake.raw_mail(there, int(str(inbound))) for inbound in raw} == raw

    box.deliver(mail("Behind"), mail("Re: First", answers=f"first-{both.tenant}"))
    moved = both.in_far(box)
    assert intake.wants_fetch(there, box.inbox_id)
    moved.run()
    assert moved.states() == {"persisted": 6}, (
        "nothing was read twice, what was stored is filed, and nothing is missing"
    )
    answers = moved.query("SELECT count(*) FROM messages WHERE ticket_id = %s AND direction = 'inbound'", answered)
    assert answers == [(2,)], "an answer to what was sent from the other installation joins its ticket"
    assert sending.send(there, waits.message_id, 0).state == "sent"
    newest = moved.query("SELECT max(id), max(reserved_message_id) FROM inbound WHERE inbox_id = %s", box.inbox_id)
    assert all(range_of(int(str(id_))) == 7 for id_ in newest[0])
    runs = [conf for _, conf in both.far.airflow.runs.values()]
    assert {"message_id": waits.message_id, "attempt": 0} in runs, "its run stands in the Airflow that was left"


def test_a_key_and_a_webhooks_secret_work_where_the_tenant_is(both: Two, desk: Desk) -> None:
    made = both.here.world.api_keys.add(desk.tenant_id, name="robot", role="agent")
    upkeep.tell(both.here.world, desk.tenant_id, mail="", url="https://93.184.216.34/x", kinds=["mail_parked"])
    tenant_id = desk.tenant_id
    both.leave()
    found = both.far.world.api_keys.caller(made)
    assert found is not None
    assert found.tenant_id == tenant_id
    sealed = [
        row[0]
        for row in query(both.far.world, "SELECT secret_encrypted FROM notify_channels WHERE tenant_id = %s", tenant_id)
    ]
    assert both.far.world.vault.open(sealed[0])["secret"].startswith("whsec_")


def test_a_tenant_comes_home_with_what_came_elsewhere(both: Two, desk: Desk) -> None:
    desk.box.deliver(mail("At home"))
    desk.box.run()
    tenant_id = desk.tenant_id
    both.leave()
    away = replace(desk, box=both.in_far(desk.box))
    accepted = away.reply(away.ticket(subject="Away"))
    assert away.send(accepted) == "sent"
    both.here.beat()
    known = SecretStr(f"{both.far.world.settings.signing_key.get_secret_value()}@2100-01-01T00:00:00Z")
    home = replace(both.here, world=changed(both.here.world, previous_signing_keys=known))
    back = Two(both.far, home, both.tenant, both.said)
    back.leave("main")
    nothing_is_left(back, tenant_id)
    desk.box.deliver(mail("Home again"))
    desk.box.run()
    assert [subject for subject, _ in desk.box.tickets()] == ["At home", "Away", "Home again"]
    assert {
        range_of(int(str(row[0])))
        for row in desk.box.query("SELECT id FROM messages WHERE inbox_id = %s", desk.box.inbox_id)
    } == {0, 7}


STEPS: dict[str, tuple[Any, str]] = {
    "objects are copied": (departing, "_bring_objects"),
    "it is held": (DepartureStore, "begin"),
    "writes are refused": (DepartureStore, "freeze"),
    "its rows are copied": (ArrivalStore, "take"),
    "its rows are deleted": (DepartureStore, "remove"),
    "its objects are deleted": (departing, "_delete_objects"),
    "writes are let through": (DepartureStore, "thaw"),
    "it is ended": (DepartureStore, "end"),
}


class Killed(BaseException):
    """What no code of ours catches."""


def dies(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, *, behind: bool) -> None:
    """The first call ends the command, before or behind what it does."""
    work, left = getattr(place, name), [1]

    def ends(*about: Any, **more: Any) -> Any:
        if left:
            left.clear()
            if behind:
                work(*about, **more)
            raise Killed(name)
        return work(*about, **more)

    monkeypatch.setattr(place, name, ends)


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize("step", STEPS)
def test_the_same_command_goes_on_from_wherever_it_ended(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str, behind: bool
) -> None:
    box = desk.box
    box.deliver(mail("One"), with_file("Two", "large.pdf", 400_000))
    box.run()
    tenant_id, kept = desk.tenant_id, objects(both.here.world, desk.tenant_id)
    dies(monkeypatch, *STEPS[step], behind=behind)
    with pytest.raises(Killed):
        both.leave()
    assert both.cell(both.far.world) != both.cell(both.here.world), "it is worked for in one of them at most"
    works = [cell for cell in (both.cell(both.far.world), both.cell(both.here.world)) if cell not in (MOVING, None)]
    assert len(works) <= 1
    box.deliver(mail("Meanwhile"))
    if (step, behind) == ("it is ended", True):
        with pytest.raises(InvalidInput, match="there is no tenant"):
            both.leave()
    else:
        both.leave()
    nothing_is_left(both, tenant_id)
    moved = both.in_far(box)
    moved.run()
    assert moved.states() == {"persisted": 3}
    assert kept.items() <= objects(both.far.world, tenant_id).items()


def test_while_rows_are_copied_nothing_is_written_and_nothing_lost(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch that was under way, an agent's answer, a status that is changed, mail that is judged."""
    box, world = desk.box, both.here.world
    ticket = desk.ticket(subject="Before", answers="something-older")
    box.deliver(mail("Stored"))
    intake.fetch(world, box.inbox_id)
    refused: list[str] = []
    take = ArrivalStore.take

    def meanwhile(*about: Any) -> int:
        box.deliver(mail("Meanwhile"))
        attempts: list[Callable[[], Any]] = [
            lambda: intake.fetch(world, box.inbox_id),
            lambda: intake.classify(world, box.inbox_id),
            lambda: desk.reply(ticket, "Too late."),
            lambda: world.outbox.add_errand(Errand.WAKE, desk.tenant_id, box.inbox_id),
            lambda: query(world, "DELETE FROM participants WHERE tenant_id = %s RETURNING 1", desk.tenant_id),
            lambda: query(world, "DELETE FROM message_references WHERE inbox_id = %s RETURNING 1", box.inbox_id),
            lambda: query(world, "UPDATE tenants SET name = 'x' WHERE id = %s RETURNING 1", desk.tenant_id),
        ]
        for attempt in attempts:
            with pytest.raises(TransientError, match="moving to another installation") as said:
                attempt()
            refused.append(str(said.value))
        return take(*about)

    monkeypatch.setattr(ArrivalStore, "take", meanwhile)
    both.leave()
    assert len(refused) == 7
    moved = both.in_far(box)
    moved.run()
    assert moved.states() == {"persisted": 3}
    assert sorted(str(subject) for subject, _ in moved.tickets()) == ["Before", "Meanwhile", "Stored"]


def test_runs_of_the_airflow_that_was_left_say_so_and_fail_nothing(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its DAGs stay in the list for some minutes."""
    world, inbox_id = both.here.world, desk.box.inbox_id
    with monkeypatch.context() as patched:
        dies(patched, *STEPS["its rows are copied"], behind=False)
        with pytest.raises(Killed):
            both.leave()
    for fetch in (intake.fetch_woken, intake.fetch_by_clock):
        assert "on its way to another installation" in fetch(world, inbox_id).skipped
    assert not intake.wants_fetch(world, inbox_id)
    both.leave()
    for fetch in (intake.fetch_woken, intake.fetch_by_clock):
        assert "here no more" in fetch(world, inbox_id).skipped
    monkeypatch.setattr(connections, "world", lambda: world)

    async def probed() -> Any:
        return await anext(ProbeTrigger(inbox_id).run())

    assert type(asyncio.run(probed())) is TaskSkippedEvent


def test_a_batch_that_comes_when_the_tenant_has_left_is_taken_in_where_it_is(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, box = both.here.world, desk.box
    box.deliver(mail("Late"))
    add = world.inbound.add_batch

    def too_late(*about: Any, **more: Any) -> int:
        both.leave()
        return add(*about, **more)

    with monkeypatch.context() as patched:
        patched.setattr(world.inbound, "add_batch", too_late)
        with pytest.raises(Overtaken, match="here no more"):
            intake.fetch(world, box.inbox_id)
    moved = both.in_far(box)
    moved.run()
    assert moved.states() == {"persisted": 1}


def test_other_tenants_go_on_while_one_is_moved(
    both: Two, desk: Desk, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.stories.conftest import connect

    other = f"{both.tenant}-other"
    both.here.world.inboxes.add_tenant(other, "Other")
    neighbour = connect(both.here.world, other, mail_server)
    take = ArrivalStore.take

    def meanwhile(*about: Any) -> int:
        neighbour.deliver(mail("Neighbour"))
        neighbour.run()
        return take(*about)

    monkeypatch.setattr(ArrivalStore, "take", meanwhile)
    both.leave()
    assert neighbour.states() == {"persisted": 1}


def test_amid_mail_and_answers_each_is_there_once(both: Two, desk: Desk) -> None:
    """Three processes' worth of work on it while it moves; each stops as it is refused, and goes on in the other installation."""
    box, world = desk.box, both.here.world
    tickets = [desk.ticket(subject=f"Ticket {number}") for number in range(3)]
    accepted: list[int] = []
    stop, delivered = threading.Event(), [0]

    def mails() -> None:
        while not stop.is_set() and delivered[0] < 200:
            box.deliver(mail(f"Load {delivered[0]}"))
            delivered[0] += 1

    def works() -> None:
        while not stop.is_set():
            try:
                intake.fetch(world, box.inbox_id)
                intake.file(world, box.inbox_id)
            except InboxOpsError:
                stop.wait(0.05)

    def answers() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                one = desk.reply(tickets[number % 3], f"Answer {number}", idempotency_key=f"{number}")
            except InboxOpsError:
                stop.wait(0.05)
                continue
            accepted.append(one.message_id)
            try:
                sending.send(world, one.message_id, 0)
            except InboxOpsError:
                stop.wait(0.05)

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(job) for job in (mails, works, answers)]
        while len(accepted) < 5:
            stop.wait(0.05)
        try:
            both.leave()
        finally:
            stop.set()
        for job in jobs:
            job.result()
    nothing_is_left(both, query(both.far.world, "SELECT id FROM tenants WHERE slug = %s", both.tenant)[0][0])
    away = replace(desk, box=both.in_far(box))
    away.box.run()
    states = away.box.states()
    assert states == {"persisted": 3 + delivered[0]}, states
    kept = {
        row[0]
        for row in away.box.query(
            "SELECT id FROM messages WHERE inbox_id = %s AND direction = 'outbound'", box.inbox_id
        )
    }
    assert kept == set(accepted), "what was accepted is there, and what was not is not"
    for message_id in accepted:
        if away.row(message_id)["send_status"] != "sent":
            sending.send(both.far.world, message_id, 0)
    subjects = [taken.message.message_id for taken in desk.taken]
    assert len(subjects) == len(set(subjects)) == len(accepted), "each left once"


def test_a_message_that_is_being_sent_is_waited_for(both: Two, desk: Desk) -> None:
    accepted = desk.reply(desk.ticket())
    claim = both.here.world.outbound.claim(accepted.message_id, 0, lease_seconds=300)
    assert claim is not None
    waited = threading.Event()

    def tell(line: str) -> None:
        both.said.append(line)
        if "is being sent" in line and not waited.is_set():
            waited.set()
            desk.let_lease_end(accepted.message_id)

    departing.leave(both.here.world, both.far.world, both.tenant, "far", tell=tell)
    assert waited.is_set()
    assert both.cell(both.far.world) == "far"


def test_of_a_tenant_that_is_held_nothing_is_begun_to_be_sent(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would leave, and as nothing is written any more, could not be told to have left."""
    accepted = desk.reply(desk.ticket())
    freeze, claims = DepartureStore.freeze, []

    def claimed(store: DepartureStore, tenant_id: int) -> None:
        claims.append(both.here.world.outbound.claim(accepted.message_id, 0, lease_seconds=300))
        freeze(store, tenant_id)

    monkeypatch.setattr(DepartureStore, "freeze", claimed)
    both.leave()
    assert claims == [None]
    assert replace(desk, box=both.in_far(desk.box)).send(accepted) == "sent"


def test_a_claim_that_is_being_made_is_seen_by_who_holds_the_tenant(both: Two, desk: Desk) -> None:
    accepted = desk.reply(desk.ticket())
    claimed = threading.Event()

    def tell(line: str) -> None:
        if "is being sent" in line:
            claimed.set()
            desk.let_lease_end(accepted.message_id)

    with ThreadPoolExecutor(1) as pool:
        with both.here.world.database.transaction() as t:
            assert t.row("claim_send", id=accepted.message_id, attempt=0, lease_seconds=300)
            moves = pool.submit(departing.leave, both.here.world, both.far.world, both.tenant, "far", tell=tell)
            wait_until("it waits for the claim", lambda: waits_for_a_lock(both.here.world), seconds=60)
        moves.result(timeout=120)
    assert claimed.is_set()


def waits_for_a_lock(world: World) -> bool:
    """A statement of the role that owns the tables, which sees its own."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM tenants WHERE slug%'"
    with psycopg.connect(world.settings.owner_dsn) as connection:
        row = connection.execute(asked.encode()).fetchone()
    return row is not None and row[0] > 0


def test_one_that_has_not_arrived_may_stay(both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    box = desk.box
    box.deliver(with_file("Two", "large.pdf", 400_000))
    box.run()
    accepted = desk.reply(desk.ticket())
    with monkeypatch.context() as patched:
        dies(patched, *STEPS["its rows are copied"], behind=False)
        with pytest.raises(Killed):
            both.leave()
    assert both.said[-1].startswith(f"{both.tenant} is on its way and stands still")
    assert both.stay() == "main"
    assert both.cell(both.here.world) == "main"
    assert triggers(both.here.world, desk.tenant_id) == []
    assert objects(both.far.world, desk.tenant_id) == {}
    box.deliver(mail("Behind"))
    box.run()
    assert box.states() == {"persisted": 3}
    assert desk.send(accepted) == "sent"
    with pytest.raises(Conflict, match="is not on its way"):
        both.stay()


def test_one_that_has_arrived_does_not_stay(both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        dies(patched, *STEPS["its rows are deleted"], behind=False)
        with pytest.raises(Killed):
            both.leave()
    with pytest.raises(Conflict, match="has arrived"):
        both.stay()
    both.leave()


def test_rows_that_do_not_arrive_as_they_left_are_not_taken(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.box.deliver(mail("One"))
    desk.box.run()
    carry = departures._carry

    def spoils(source: Any, target: Any, table: Any, tenant_id: int) -> int:
        if table.name == "tickets":
            target.connection.execute(
                b"CREATE FUNCTION pg_temp.spoil() RETURNS trigger LANGUAGE plpgsql AS"
                b" $$ BEGIN NEW.subject := 'spoiled'; RETURN NEW; END $$"
            )
            target.connection.execute(
                b"CREATE TRIGGER spoils BEFORE INSERT ON tickets FOR EACH ROW EXECUTE FUNCTION pg_temp.spoil()"
            )
        return carry(source, target, table, tenant_id)

    with monkeypatch.context() as patched:
        patched.setattr(departures, "_carry", spoils)
        with pytest.raises(OperatorError, match="rows of tickets did not arrive as they left"):
            both.leave()
    assert both.cell(both.far.world) is None
    both.leave()
    assert [subject for subject, _ in both.in_far(desk.box).tickets()] == ["One"]


def test_one_that_is_on_its_way_moves_to_no_other_cell(both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        dies(patched, *STEPS["writes are refused"], behind=False)
        with pytest.raises(Killed):
            both.leave()
    with pytest.raises(Conflict, match="on its way to another installation"):
        moving.move(both.here.world, both.tenant, "main")
    assert both.cell(both.here.world) == MOVING


def test_one_that_is_erased_where_it_arrived_does_not_come_again(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id = desk.tenant_id
    with monkeypatch.context() as patched:
        dies(patched, *STEPS["its rows are deleted"], behind=False)
        with pytest.raises(Killed):
            both.leave()
    erasing.erase_tenant(both.far.world, both.tenant)
    with pytest.raises(Conflict, match="has arrived"):
        both.stay()
    both.leave()
    nothing_is_left(both, tenant_id)
    assert both.cell(both.far.world) is None
    assert objects(both.far.world, tenant_id) == {}


def test_a_move_goes_on_to_where_it_began_to_and_nowhere_else(
    both: Two, desk: Desk, two: Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the installation that it began to the tenant may be worked for by then: a third one would be a second."""
    third = World(both.far.world.settings.model_copy(update={"owner_database_url": SecretStr(elsewhere_by_name(both))}))
    with monkeypatch.context() as patched:
        dies(patched, *STEPS["its rows are deleted"], behind=False)
        with pytest.raises(Killed):
            both.leave()
    with pytest.raises(Conflict, match="on its way to the database"):
        departing.leave(both.here.world, third, both.tenant, "far", tell=both.said.append)
    with pytest.raises(Conflict, match="on its way to the database"):
        departing.stay(both.here.world, third, both.tenant)
    both.leave()
    third.close()


def elsewhere_by_name(both: Two) -> str:
    """As another database is named: `postgres`, of the same server."""
    whole = both.far.world.settings.owner_dsn
    return make_conninfo(whole, dbname="postgres")


def test_an_id_that_is_taken_there_is_told_and_nothing_is_taken_over(both: Two, desk: Desk) -> None:
    desk.box.deliver(mail("One"))
    desk.box.run()
    taken = "INSERT INTO tenants (id, slug, name) OVERRIDING SYSTEM VALUE VALUES (%s, %s, 'x') RETURNING 1"
    query(both.far.world, taken, desk.tenant_id, f"{both.tenant}-x")
    with pytest.raises(OperatorError, match="is taken there, and nothing was taken over"):
        both.leave()
    assert both.stay() == "main"
    desk.box.run()
    assert desk.box.states() == {"persisted": 1}


def test_another_command_that_moves_it_is_not_joined(both: Two, desk: Desk) -> None:
    store = DepartureStore(both.here.world.database)
    with store.held(both.tenant), pytest.raises(Conflict, match="another command is moving"):
        both.leave()


def test_installations_that_do_not_fit_together_are_refused_before_anything_is_done(both: Two, desk: Desk) -> None:
    here, far = both.here.world, both.far.world
    refusals: list[tuple[str, World, str, type[InboxOpsError]]] = [
        ("no Airflow works in cell 'nowhere'", far, "nowhere", InvalidInput),
        ("the one it is in, or another command", here, "main", Conflict),
        ("does not know all keys", changed(far, previous_signing_keys=SecretStr("")), "far", OperatorError),
        (
            "objects in one bucket",
            changed(
                far,
                **{
                    name: getattr(here.settings, name)
                    for name in ("s3_endpoint", "s3_bucket", "s3_access_key", "s3_secret_key")
                },
            ),
            "far",
            InvalidInput,
        ),
    ]
    for said, other, cell, kind in refusals:
        with pytest.raises(kind, match=said):
            departing.leave(here, other, both.tenant, cell, tell=both.said.append)
    with pytest.raises(OperatorError, match="has to own the tables"):
        departing.leave(changed(here, owner_database_url=None), far, both.tenant, "far", tell=both.said.append)
    assert both.cell(here) == "main"
    assert both.said == []
    with pytest.raises(InvalidInput, match="there is no tenant"):
        departing.leave(here, far, "nobody", "far", tell=both.said.append)
    far.inboxes.add_tenant(both.tenant, "Another of that name")
    with pytest.raises(InvalidInput, match="already where it is to go"):
        both.leave()


def test_a_replay_that_writes_is_waited_for_by_whoever_moves(both: Two, desk: Desk) -> None:
    query(
        both.here.world,
        "INSERT INTO replays (tenant_id, state, since, asked_by) VALUES (%s, 'applying', now(), 'x') RETURNING 1",
        desk.tenant_id,
    )
    with pytest.raises(Conflict, match="replay"):
        both.leave()
    assert both.cell(both.here.world) == "main"


def test_a_replay_that_waits_goes_on_where_the_tenant_is(both: Two, desk: Desk) -> None:
    """Its run stands in the Airflow that was left, and finds no tenant there."""
    asked = "INSERT INTO replays (tenant_id, state, since, asked_by) VALUES (%s, 'asked', now(), 'x') RETURNING id"
    [(replay,)] = query(both.here.world, asked, desk.tenant_id)
    both.leave()
    assert {"replay_id": replay} in [conf for _, conf in both.far.airflow.runs.values()]


def test_two_databases_that_give_out_the_same_ids_exchange_no_tenant(both: Two, desk: Desk) -> None:
    desk.box.deliver(mail("One"))
    desk.box.run()
    alike = Two(both.far, both.here, both.tenant, [])
    both.far.world.inboxes.add_tenant("stranger", "Stranger")
    stranger = both.far.world.inboxes.tenant_id("stranger")
    assert range_of(stranger) == 7
    source = DepartureStore(both.here.world.database)
    with source.seen() as seen:
        ArrivalStore(both.far.world.database).check_ids(seen, desk.tenant_id)
        with pytest.raises(InvalidInput, match="both databases give out ids of range 0") as refused:
            ArrivalStore(both.here.world.database).check_ids(seen, desk.tenant_id)
    assert "inboxops prepare --id-range" in str(refused.value)
    assert alike.said == []


def test_ids_of_a_range_go_on_in_it_and_never_back(elsewhere: Settings) -> None:
    with pytest.raises(InvalidInput, match="range 7 are given out already"):
        migrate(elsewhere.owner_dsn, id_range=6)
    assert migrate(elsewhere.owner_dsn) == []
    world = World(elsewhere)
    world.inboxes.add_tenant("ranged", "Ranged")
    assert world.inboxes.tenant_id("ranged") > 7 * RANGE
    world.close()


def test_every_table_is_known_as_the_tenants_or_as_the_installations(world: World) -> None:
    with world.database.transaction() as t:
        named = {table.name: table for table in tenant_tables(t)}
        every = {row["name"]: row["columns"] for row in t.rows("tables")}
    assert every.keys() == named.keys() | OF_ALL
    assert [name for name in OF_ALL if "tenant_id" in every[name] or "inbox_id" in every[name]] == []
    assert [table.name for table in named.values() if table.owner not in every[table.name]] == []


def figures_of(world: World) -> dict[str, float]:
    with world.database.transaction() as t:
        return {row["name"]: row["value"] for row in t.rows("metrics")}


def test_who_runs_it_sees_what_stands_half_way(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patched:
        dies(patched, *STEPS["its rows are copied"], behind=False)
        with pytest.raises(Killed):
            both.leave()
    query(
        both.here.world,
        "UPDATE departures SET began_at = now() - interval '2 hours' WHERE slug = %s RETURNING 1",
        both.tenant,
    )
    figures = figures_of(both.here.world)
    assert figures["departure_oldest_seconds"] >= 7200
    shell = Shell(both.here.world.settings, tmp_path)
    told = " ".join(shell("doctor").stdout.split())
    assert f"{both.tenant} on its way to cell far since" in told
    assert "inboxops tenant move" in told
    listed = {
        row["slug"]: row["cell"] for row in map(json.loads, shell("tenant", "list", "--json").stdout.splitlines())
    }
    assert listed[both.tenant] == MOVING
    assert MOVING not in shell("cell", "list", "--json").stdout
    both.leave()
    figures = figures_of(both.here.world)
    assert figures["departure_oldest_seconds"] < 7200


def test_on_the_command_line(both: Two, desk: Desk, tmp_path: Path) -> None:
    shell = Shell(both.here.world.settings, tmp_path)
    settings = tmp_path / "far.env"
    values = {
        f"INBOXOPS_{name.upper()}": value
        for name, value in both.far.world.settings.model_dump().items()
        if value is not None
    }
    settings.write_text(
        "".join(
            f"{name}='{value.get_secret_value() if hasattr(value, 'get_secret_value') else value}'\n"
            for name, value in values.items()
        )
    )
    assert "Name its settings with --installation" in shell("tenant", "move", both.tenant, "--back").stderr
    assert "Name it with --to" in shell("tenant", "move", both.tenant).stderr
    assert "is not on its way" in shell("tenant", "move", both.tenant, "--back", "--installation", str(settings)).stderr
    moved = shell("tenant", "move", both.tenant, "--to", "far", "--installation", str(settings))
    assert moved.returncode == 0, moved.stderr
    assert f"tenant {both.tenant} is in cell far there" in moved.stdout
    assert both.cell(both.far.world) == "far"
    odd = tmp_path / "odd.env"
    odd.write_text("INBOXOPS_DATABASE_URI=x\n")
    assert (
        "is INBOXOPS_DATABASE_URL meant?"
        in shell("tenant", "move", both.tenant, "--installation", str(odd), "--to", "x").stderr
    )


def test_a_database_that_is_away_for_a_moment_keeps_nothing_half_done(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that lasts holds a table: it is waited for, and tried again."""
    monkeypatch.setattr("inboxops.stories.outlast.PAUSES", (0.1, 0.1))
    freeze, tries = DepartureStore.freeze, [0]

    def busy(store: DepartureStore, tenant_id: int) -> None:
        tries[0] += 1
        if tries[0] == 1:
            raise ServiceAway("the application database cut a statement off")
        freeze(store, tenant_id)

    monkeypatch.setattr(DepartureStore, "freeze", busy)
    both.leave()
    assert tries[0] == 2
    assert both.cell(both.far.world) == "far"
