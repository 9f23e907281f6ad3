"""Every inbox is looked at at its turn, by one of those who look, and its DAG is woken only when there is mail."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from inboxops.composition import intake, looking, upkeep
from inboxops.composition.world import World
from inboxops.core.looking import LATE
from inboxops.errors import AuthenticationFailed, InboxOpsError, OperatorError, TransientError
from inboxops.stories import look
from inboxops.stories.look import AT_ONCE, Looker
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.processes import free_ports
from tests.stories.conftest import Mailbox, connect, mail

EVERY, SELDOM = timedelta(minutes=5), timedelta(days=1)


@pytest.fixture
def world(world: World) -> Iterator[World]:
    """Where inboxes are looked at, and none was before."""
    world.looks.end()
    world.settings = world.settings.model_copy(update={"look_minutes": 5})
    yield world
    world.looks.end()


@contextmanager
def at_work(*lookers: Looker) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(looker.run()) for looker in lookers]
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True)), name="lookers"
    )
    thread.start()
    try:
        yield
    finally:
        for task in tasks:
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


def eventually(what: str, seen: Callable[[], object], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def due(world: World, *inbox_ids: int) -> None:
    """Their turn is now, nobody else's is soon, and who looked last does not matter."""
    world.looks.follow(EVERY)
    run(world, "UPDATE inbox_looks SET due_at = now() + interval '4 minutes', claimed_until = NULL, looked_by = NULL")
    run(world, "UPDATE inbox_looks SET due_at = now() WHERE inbox_id = ANY (%s)", list(inbox_ids))


def run(world: World, statement: str, *parameters: object) -> None:
    with world.database.transaction() as t:
        t.connection.execute(statement.encode(), parameters)


def result(world: World, inbox_id: int) -> str | None:
    last = world.looks.last(inbox_id)
    return last["result"] if last else None


def wakes(box: Mailbox) -> int:
    """Airflow is away in these tests: what wakes an inbox waits in the outbox, as for any other who wakes one."""
    ((count,),) = box.query(
        "SELECT count(*) FROM outbox WHERE kind = 'wake' AND name = %s AND done_at IS NULL", str(box.inbox_id)
    )
    return int(str(count))


class Watched:
    """Inboxes that count who looks at them, each look taking a moment. breaks: what a look at an inbox raises."""

    def __init__(self, breaks: dict[int, Exception] | None = None) -> None:
        self.looked: Counter[int] = Counter()
        self.noted: dict[int, str] = {}
        self.woken: Counter[int] = Counter()
        self.breaks = breaks or {}
        self.hold = threading.Event()
        self.hold.set()

    def look(self, inbox_id: int) -> bool:
        self.looked[inbox_id] += 1
        self.hold.wait(30)
        if inbox_id in self.breaks:
            raise self.breaks[inbox_id]
        return False

    def wake(self, inbox_id: int) -> None:
        self.woken[inbox_id] += 1

    def note(self, inbox_id: int, error: InboxOpsError) -> None:
        self.noted[inbox_id] = str(error)

    def forget(self, inbox_id: int, connection_type: str) -> None:
        """Nothing is kept."""


def looker(world: World, name: str, inboxes: Watched) -> Looker:
    """After one look at an inbox no other falls due while a test runs."""
    return Looker(name, world.looks, inboxes, every=SELDOM)


@pytest.fixture
def many(world: World, tenant: str) -> list[int]:
    """Inboxes of one server that nobody asks."""
    tenant_id, ids = world.inboxes.tenant_id(tenant), []
    for number in range(150):
        id_ = world.inboxes.add(
            tenant_id=tenant_id, name=f"n{number}", email_address=f"n{number}@{tenant}.example", display_name="",
            connection_type="imap", connection={"host": f"{tenant}.example"}, credentials=world.vault.seal({}),
            first_sync_days=7, first_sync_messages=500,
        )  # fmt: skip
        assert id_ is not None
        ids.append(id_)
    return ids


def test_an_inbox_is_woken_when_there_is_mail_and_left_alone_when_there_is_none(
    world: World, tenant: str, mail_server: MailServer
) -> None:
    quiet, busy = connect(world, tenant, mail_server, "quiet"), connect(world, tenant, mail_server, "busy")
    for box in (quiet, busy):
        intake.fetch(world, box.inbox_id)
    busy.deliver(mail("News"))
    due(world, quiet.inbox_id, busy.inbox_id)
    with at_work(looking.looker(world)):
        eventually("mail is found", lambda: result(world, busy.inbox_id) == "found")
        eventually("the other was looked at", lambda: result(world, quiet.inbox_id) == "nothing")
    assert (wakes(quiet), wakes(busy)) == (0, 1)
    last = world.looks.last(busy.inbox_id)
    assert last is not None
    assert last["found_at"] == last["looked_at"]
    assert timedelta(0) < last["due_at"] - last["looked_at"] <= EVERY
    assert quiet.inbox.last_error is None


def test_two_who_look_share_the_inboxes_and_none_is_looked_at_twice(world: World, many: list[int]) -> None:
    first, second = Watched(), Watched()
    due(world, *many)
    with at_work(looker(world, "first", first), looker(world, "second", second)):
        eventually("all were looked at", lambda: all(result(world, id_) == "nothing" for id_ in many))
    assert first.looked + second.looked == Counter(many)
    assert min(first.looked.total(), second.looked.total()) > 10


def test_an_inbox_stays_with_who_looked_last_whose_connection_it_is(world: World, many: list[int]) -> None:
    first, second = Watched(), Watched()
    due(world, *many)
    with at_work(looker(world, "first", first)):
        eventually("all were looked at", lambda: all(result(world, id_) == "nothing" for id_ in many))
        run(world, "UPDATE inbox_looks SET due_at = now() WHERE inbox_id = ANY (%s)", many)
        with at_work(looker(world, "second", second)):
            eventually(
                "all were looked at again", lambda: first.looked.total() + second.looked.total() >= 2 * len(many)
            )
    assert second.looked.total() == 0


def test_what_a_looker_that_died_had_claimed_is_looked_at_by_another(world: World, many: list[int]) -> None:
    due(world, *many)
    assert len(world.looks.claim("dead", limit=100)) == 100
    other = Watched()
    with at_work(looker(world, "other", other)):
        eventually("what nobody had was looked at", lambda: other.looked.total() == 50)
        run(world, "UPDATE inbox_looks SET claimed_until = now() - interval '1 s' WHERE claimed_by = 'dead'")
        eventually("the rest, too", lambda: other.looked.total() == 150)
    assert other.looked == Counter(many)


def test_a_look_that_takes_long_stays_with_its_looker_as_long_as_that_one_lives(world: World, many: list[int]) -> None:
    due(world, *many[:5])
    taken = {look.inbox_id for look in world.looks.claim("slow", limit=10)}
    assert taken == set(many[:5])
    run(world, "UPDATE inbox_looks SET claimed_until = now() - interval '1 second' WHERE claimed_by = 'slow'")
    world.looks.renew("slow", many[1:5])
    assert [look.inbox_id for look in world.looks.claim("other", limit=10)] == many[:1], (
        "it did not know that it had it"
    )


def test_who_ends_keeps_what_it_saw_and_claims_no_more(world: World, many: list[int]) -> None:
    slow = Watched()
    slow.hold.clear()
    due(world, *many)
    with at_work(looker(world, "slow", slow)):
        eventually("it does as many as it may", lambda: slow.looked.total() == AT_ONCE)
        threading.Timer(0.5, slow.hold.set).start()
    assert slow.looked.total() == AT_ONCE
    assert len(world.looks.claim("other", limit=1000)) == len(many) - AT_ONCE


def test_a_refused_login_is_left_to_a_run_which_fails_and_disconnects_the_inbox(
    world: World, tenant: str, mail_server: MailServer
) -> None:
    box = connect(world, tenant, mail_server)
    mail_server.add_user(box.user, "changed")
    due(world, box.inbox_id)
    with at_work(looking.looker(world)):
        eventually("the look failed", lambda: result(world, box.inbox_id) == "failed")
        assert (box.inbox.state, wakes(box)) == ("connected", 1)
        with pytest.raises(AuthenticationFailed):
            intake.fetch_woken(world, box.inbox_id)
        assert box.inbox.state == "disconnected"
        eventually("nobody looks any more", lambda: world.looks.last(box.inbox_id) is None)


def test_a_server_that_is_away_is_noted_on_the_inbox_and_forgotten_when_it_is_back(
    world: World, tenant: str, mail_server: MailServer
) -> None:
    box = connect(world, tenant, mail_server)
    intake.fetch(world, box.inbox_id)
    right = dict(box.inbox.connection)
    set_port = "UPDATE inboxes SET connection = jsonb_set(connection, '{port}', to_jsonb(%s::int)) WHERE id = %s"
    run(world, set_port, free_ports(1)[0], box.inbox_id)
    due(world, box.inbox_id)
    with at_work(looking.looker(world)):
        eventually("the look failed", lambda: result(world, box.inbox_id) == "failed")
        last = world.looks.last(box.inbox_id)
        assert last is not None
        assert last["failures"] == 1
        assert last["error"] == box.inbox.last_error
        assert wakes(box) == 0, "nobody can help"
        run(world, set_port, right["port"], box.inbox_id)
        due(world, box.inbox_id)
        eventually("it answers again", lambda: result(world, box.inbox_id) == "nothing")
    assert box.inbox.last_error is None
    last = world.looks.last(box.inbox_id)
    assert last is not None
    assert (last["failures"], last["error"]) == (0, "")


def test_inboxes_of_a_server_that_answers_nobody_are_passed_over_and_say_what_they_wait_for(
    world: World, many: list[int]
) -> None:
    inboxes = Watched({id_: TransientError("the server is away") for id_ in many})
    due(world, *many[:3])
    with at_work(looker(world, "only", inboxes)):
        eventually("three found it away", lambda: all(result(world, id_) == "failed" for id_ in many[:3]))
        run(world, "UPDATE inbox_looks SET due_at = now() WHERE inbox_id = ANY (%s)", many[3:])
        eventually("the others wait", lambda: all(result(world, id_) in ("passed", "failed") for id_ in many[3:]))
    assert inboxes.looked.total() <= 5, "three, and one that tried it after its rest"
    assert set(inboxes.noted.values()) == {"the server is away"}
    assert len(inboxes.noted) >= 145


def test_a_look_that_breaks_as_nobody_foresaw_stops_no_other(world: World, many: list[int]) -> None:
    inboxes = Watched({many[0]: ZeroDivisionError("nobody foresaw it")})
    due(world, *many)
    with at_work(looker(world, "only", inboxes)):
        eventually("all were looked at", lambda: all(result(world, id_) for id_ in many))
    last = world.looks.last(many[0])
    assert last is not None
    assert "nobody foresaw it" in last["error"]
    assert {result(world, id_) for id_ in many[1:]} == {"nothing"}


def test_nor_does_a_wake_up_that_breaks(world: World, many: list[int]) -> None:
    class Unwakeable(Watched):
        def wake(self, inbox_id: int) -> None:
            raise ZeroDivisionError("nobody foresaw it")

    due(world, *many[:50])
    inboxes = Unwakeable({id_: OperatorError("a certificate that nobody trusts") for id_ in many[:50]})
    with at_work(looker(world, "only", inboxes)):
        eventually("more were looked at than it does at once", lambda: all(result(world, id_) for id_ in many[:50]))


def test_a_person_that_has_to_help_is_shown_one_failed_run(world: World, many: list[int]) -> None:
    inboxes = Watched({many[0]: OperatorError("a certificate that nobody trusts")})
    with at_work(looker(world, "only", inboxes)):
        for times in (1, 2):
            due(world, many[0])
            eventually("it was looked at", lambda times=times: inboxes.looked[many[0]] == times)  # type: ignore[misc]
            eventually("and kept", lambda times=times: (world.looks.last(many[0]) or {})["failures"] == times)  # type: ignore[misc]
    assert inboxes.woken == Counter(many[:1])


def test_a_paused_inbox_is_looked_at_no_more_until_it_is_resumed(world: World, many: list[int]) -> None:
    world.looks.follow(EVERY)
    world.inboxes.pause(many[0], paused=True)
    assert (many[0], "imap") in world.looks.follow(EVERY)
    assert world.looks.last(many[0]) is None
    world.inboxes.pause(many[0], paused=False)
    world.looks.follow(EVERY)
    assert world.looks.last(many[0]) is not None


def test_every_look_goes_by_the_databases_clock(world: World, many: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose clock is behind would find every inbox due again at once, one that is ahead would look too seldom."""

    class Behind(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Behind:
            return cls.fromtimestamp(time.time() - 3600, tz)

    monkeypatch.setattr(look, "datetime", Behind)
    inboxes = Watched()
    due(world, *many)
    with at_work(looker(world, "only", inboxes)):
        eventually("all were looked at", lambda: all(result(world, id_) for id_ in many))
    for id_ in many:
        last = world.looks.last(id_)
        assert last is not None
        assert last["due_at"] > datetime.now(UTC)
        assert datetime.now(UTC) - last["looked_at"] < timedelta(minutes=1)


def test_a_clock_that_was_put_back_keeps_no_inbox_waiting(world: World, many: list[int]) -> None:
    world.looks.follow(EVERY)
    run(world, "UPDATE inbox_looks SET due_at = now() + interval '3 hours' WHERE inbox_id = %s", many[0])
    world.looks.follow(EVERY)
    last = world.looks.last(many[0])
    assert last is not None
    assert last["due_at"] < datetime.now(UTC) + EVERY + timedelta(seconds=30)


def test_looks_that_nobody_does_are_told(world: World, many: list[int]) -> None:
    assert looking.check(world).well
    run(world, "UPDATE inbox_looks SET due_at = now() - %s WHERE inbox_id = %s", 2 * LATE, many[0])
    with pytest.raises(OperatorError, match="looks are late by 36"):
        looking.check(world)


def test_where_it_is_off_nothing_waits_for_a_look(world: World, many: list[int]) -> None:
    world.looks.follow(EVERY)
    world.settings = world.settings.model_copy(update={"look_minutes": None})
    upkeep.drain(world)
    assert world.looks.last(many[0]) is None
    assert "each look is a run" in upkeep.looks_state(world).said
