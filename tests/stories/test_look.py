"""Every inbox is looked at at its turn, by one of those who look, and its DAG is woken only when there is mail."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from inboxops.composition import intake, looking, upkeep
from inboxops.composition.world import World
from inboxops.core import looking as core
from inboxops.core.looking import FEW_AT_ONCE, LATE, LONGEST_PAUSE, NOT_FETCHED, UNFETCHED, Found, Look, Seen, next_turn
from inboxops.errors import AuthenticationFailed, InboxOpsError, OperatorError, ServiceAway, TransientError
from inboxops.stories import look
from inboxops.stories.look import Looker, Looks
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.processes import free_ports
from tests.stories.conftest import Mailbox, connect, mail

EVERY = timedelta(minutes=5)
SELDOM = timedelta(days=10_000)
"""Turns are spread over it: of the 150 inboxes of a test one may well have its own in these seconds where it is a day."""


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


def claimed_by(world: World, inbox_id: int) -> str | None:
    with world.database.transaction() as t:
        row = t.connection.execute(b"SELECT claimed_by FROM inbox_looks WHERE inbox_id = %s", (inbox_id,)).fetchone()
    return row["claimed_by"] if row else None


def seen(claimed: Look, found: Found) -> Seen:
    return core.seen(claimed, found=found.mail, every=EVERY, at=datetime.now(UTC))


def passes(box: Mailbox, time: timedelta) -> None:
    """For what is kept of the inbox and of the looks at it."""
    run(box.world, "UPDATE inbox_looks SET finding_since = finding_since - %s WHERE inbox_id = %s", time, box.inbox_id)
    back = "UPDATE inboxes SET last_fetch_at = last_fetch_at - %s, updated_at = updated_at - %s WHERE id = %s"
    run(box.world, back, time, time, box.inbox_id)


def wakes(box: Mailbox) -> int:
    """Airflow is away in these tests: what wakes an inbox waits in the outbox, as for any other who wakes one."""
    ((count,),) = box.query(
        "SELECT count(*) FROM outbox WHERE kind = 'wake' AND name = %s AND done_at IS NULL", str(box.inbox_id)
    )
    return int(str(count))


class Watched:
    """Inboxes that count who looks at them, each look taking a moment. breaks: what a look raises; mail: which have some."""

    def __init__(self, breaks: dict[int, Exception] | None = None, *, mail: Collection[int] = ()) -> None:
        self.looked: Counter[int] = Counter()
        self.noted: dict[int, str] = {}
        self.woken: Counter[int] = Counter()
        self.breaks, self.mail = breaks or {}, mail
        self.hold = threading.Event()
        self.hold.set()

    def look(self, inbox_id: int) -> Found:
        self.looked[inbox_id] += 1
        self.hold.wait(30)
        if inbox_id in self.breaks:
            raise self.breaks[inbox_id]
        return Found(inbox_id in self.mail, asked=True)

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
    return inboxes_of(world, tenant, 150)


def inboxes_of(world: World, tenant: str, count: int, name: str = "n") -> list[int]:
    """Of a server that bears the name of the tenant and theirs."""
    tenant_id, ids = world.inboxes.tenant_id(tenant), []
    for number in range(count):
        id_ = world.inboxes.add(
            tenant_id=tenant_id, name=f"{name}{number}", email_address=f"{name}{number}@{tenant}.example", display_name="",
            connection_type="imap", connection={"host": f"{name}.{tenant}.example"}, credentials=world.vault.seal({}),
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
        eventually("it does as many of a server as it may", lambda: slow.looked.total() == FEW_AT_ONCE)
        threading.Timer(0.5, slow.hold.set).start()
    assert slow.looked.total() == FEW_AT_ONCE
    assert len(world.looks.claim("other", limit=1000)) == len(many) - FEW_AT_ONCE


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


def test_a_server_that_is_silent_holds_up_no_inbox_of_another(
    world: World, tenant: str, mail_server: MailServer, many: list[int]
) -> None:
    """It takes half a minute until three of its inboxes have failed, and all threads would wait for it until then."""

    class Silent(Watched):
        def look(self, inbox_id: int) -> Found:
            if inbox_id not in many:
                return Found(bool(self.looked.update([inbox_id])), asked=True)
            return super().look(inbox_id)

    other = connect(world, tenant, mail_server, "other")
    inboxes = Silent()
    inboxes.hold.clear()
    due(world, *many)
    with at_work(looker(world, "only", inboxes)):
        eventually("some wait for the server", lambda: inboxes.looked.total() >= FEW_AT_ONCE)
        run(world, "UPDATE inbox_looks SET due_at = now() WHERE inbox_id = %s", other.inbox_id)
        eventually("the other is looked at", lambda: result(world, other.inbox_id) == "nothing")
        assert sum(inboxes.looked[id_] for id_ in many) == FEW_AT_ONCE
        inboxes.hold.set()
        eventually("it answers, and all are looked at", lambda: all(result(world, id_) == "nothing" for id_ in many))


def test_however_many_inboxes_a_slow_server_has_those_of_another_are_looked_at(world: World, tenant: str) -> None:
    slow, others = inboxes_of(world, tenant, 600, "slow"), inboxes_of(world, tenant, 3, "other")

    class Slow(Watched):
        def look(self, inbox_id: int) -> Found:
            return super().look(inbox_id) if inbox_id in slow else Found(mail=False, asked=True)

    inboxes = Slow()
    inboxes.hold.clear()
    due(world, *slow)
    with at_work(looker(world, "only", inboxes)):
        eventually("some wait for the server", lambda: inboxes.looked.total() == FEW_AT_ONCE)
        run(world, "UPDATE inbox_looks SET due_at = now() WHERE inbox_id = ANY (%s)", others)
        eventually("the others are looked at", lambda: all(result(world, id_) == "nothing" for id_ in others))
        assert inboxes.looked.total() == FEW_AT_ONCE
        claimed = sum(claimed_by(world, id_) == "only" for id_ in slow)
        assert claimed <= FEW_AT_ONCE + look.WAITING + look.AT_ONCE, "those behind them are another looker's"
        inboxes.hold.set()


def test_looks_that_are_late_are_told_with_the_server_that_is_to_blame(world: World, tenant: str) -> None:
    slow, other = inboxes_of(world, tenant, 3, "slow"), inboxes_of(world, tenant, 1, "other")
    due(world)
    run(world, "UPDATE inbox_looks SET due_at = now() - %s WHERE inbox_id = ANY (%s)", 2 * LATE, slow)
    run(world, "UPDATE inbox_looks SET due_at = now() - %s WHERE inbox_id = ANY (%s)", 1.5 * LATE, other)
    with pytest.raises(OperatorError, match=f"most of all at imap slow.{tenant}.example: 3 of its inboxes"):
        looking.check(world)


def test_one_that_was_paused_and_resumed_while_it_is_looked_at_is_not_looked_at_twice(
    world: World, many: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is a new one then, which nobody has claimed."""
    monkeypatch.setattr(look, "FOLLOW_SECONDS", 0.1)
    inboxes = Watched({many[0]: TransientError("the server is away")})
    inboxes.hold.clear()
    due(world, many[0])
    with at_work(looker(world, "only", inboxes)):
        eventually("it is looked at", lambda: inboxes.looked[many[0]] == 1)
        world.inboxes.pause(many[0], paused=True)
        eventually("no more", lambda: world.looks.last(many[0]) is None)
        world.inboxes.pause(many[0], paused=False)
        due(world, many[0])
        eventually("it is claimed again", lambda: claimed_by(world, many[0]) == "only")
        inboxes.hold.set()
        eventually("the look is kept", lambda: result(world, many[0]) == "failed")
        assert inboxes.looked[many[0]] == 1
        for number in (2, 3, 4, 5):
            eventually("the look is kept", lambda: claimed_by(world, many[0]) is None)
            run(world, "UPDATE inbox_looks SET due_at = now() WHERE inbox_id = %s", many[0])
            eventually("no room of its server is lost", lambda number=number: inboxes.looked[many[0]] == number)  # type: ignore[misc]


def test_one_that_is_paused_while_it_waits_for_its_server_is_not_looked_at(
    world: World, many: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "FOLLOW_SECONDS", 0.1)
    inboxes = Watched()
    inboxes.hold.clear()
    due(world, *many[:10])
    with at_work(looker(world, "only", inboxes)):
        eventually("some wait", lambda: all(claimed_by(world, id_) == "only" for id_ in many[:10]))
        (paused,) = sorted(set(many[:10]) - inboxes.looked.keys())[:1]
        world.inboxes.pause(paused, paused=True)
        eventually("its look is no more", lambda: world.looks.last(paused) is None)
        inboxes.hold.set()
        eventually("the others are looked at", lambda: inboxes.looked.total() == 9)
    assert inboxes.looked[paused] == 0


def test_an_inbox_that_nobody_could_wake_has_its_turn_as_ever_and_says_why(world: World, many: list[int]) -> None:
    class Unwakeable(Watched):
        def wake(self, inbox_id: int) -> None:
            super().wake(inbox_id)
            raise ServiceAway("the database is away")

    inboxes = Unwakeable({many[1]: OperatorError("a certificate that nobody trusts")}, mail=many[:1])
    with at_work(looker(world, "only", inboxes)):
        for times in (1, 2, 3):
            due(world, *many[:2])
            eventually(
                "both were to be woken", lambda times=times: all(inboxes.woken[id_] == times for id_ in many[:2])
            )  # type: ignore[misc]
            eventually("and are kept", lambda: all(claimed_by(world, id_) is None for id_ in many[:2]))
    for id_, said in zip(many[:2], ("found", "failed"), strict=True):
        last = world.looks.last(id_)
        assert last is not None
        assert (last["result"], last["error"]) == (said, "the database is away")
        assert last["due_at"] == next_turn(id_, SELDOM, last["looked_at"])
    assert inboxes.noted == dict.fromkeys(many[:2], "the database is away")


def test_mail_that_looks_find_and_no_run_fetches_is_told(world: World, mailbox: Mailbox) -> None:
    """As when somebody paused the inbox's DAG in Airflow, which answers every wake-up as ever and begins no run."""
    intake.fetch(world, mailbox.inbox_id)
    mailbox.deliver(mail("News"))

    def found() -> None:
        due(world, mailbox.inbox_id)
        (claimed,) = world.looks.claim("one", limit=1)
        world.looks.done("one", [seen(claimed, looking.look(world, mailbox.inbox_id))])

    found()
    passes(mailbox, UNFETCHED / 2)
    found()
    assert looking.check(world).well
    passes(mailbox, UNFETCHED / 2)
    with pytest.raises(
        OperatorError, match=f"mail in 1 inboxes that no run has fetched since: {mailbox.inbox.tenant}/support"
    ):
        looking.check(world)
    assert mailbox.inbox.last_error == NOT_FETCHED
    world.inboxes.note_error(mailbox.inbox_id, OperatorError("the disk is full"))
    world.looks.follow(EVERY)
    assert mailbox.inbox.last_error == "the disk is full", "a run that fails says more"
    intake.fetch(world, mailbox.inbox_id)
    found()
    assert looking.check(world).well, "its mail waits to be filed, which is nothing that a look finds out"
    assert mailbox.inbox.last_error is None


def test_a_fetch_begins_that_time_anew(world: World, mailbox: Mailbox) -> None:
    def found() -> None:
        due(world, mailbox.inbox_id)
        (claimed,) = world.looks.claim("one", limit=1)
        world.looks.done("one", [seen(claimed, Found(mail=True, asked=True))])

    found()
    passes(mailbox, 2 * UNFETCHED)
    world.inboxes.is_read(mailbox.inbox_id)
    found()
    assert looking.check(world).well
    passes(mailbox, UNFETCHED)
    with pytest.raises(OperatorError, match="no run has fetched since"):
        looking.check(world)


def test_what_was_found_without_asking_its_server_says_nothing_of_the_server(world: World, many: list[int]) -> None:
    class Unasked(Watched):
        def look(self, inbox_id: int) -> Found:
            found = super().look(inbox_id)
            return replace(found, asked=inbox_id not in many[2:4])

    inboxes = Unasked({id_: TransientError("the server is away") for id_ in (*many[:2], *many[4:])}, mail=many[2:3])
    with at_work(looker(world, "only", inboxes)):
        for some, said in ((many[:2], {"failed"}), (many[2:4], {"found", "nothing"}), (many[4:5], {"failed"})):
            due(world, *some)
            eventually("they are looked at", lambda some=some, said=said: {result(world, id_) for id_ in some} == said)  # type: ignore[misc]
        due(world, *many[5:7])
        eventually("the server is left alone", lambda: {result(world, id_) for id_ in many[5:7]} == {"passed"})


def test_a_look_asks_no_server_of_an_inbox_that_is_paused_gone_or_has_mail_to_file(
    world: World, mailbox: Mailbox
) -> None:
    assert looking.look(world, mailbox.inbox_id) == Found(mail=True, asked=True)
    mailbox.deliver(mail("News"))
    intake.fetch(world, mailbox.inbox_id)
    assert looking.look(world, mailbox.inbox_id) == Found(mail=True, asked=False)
    intake.file(world, mailbox.inbox_id)
    assert looking.look(world, mailbox.inbox_id) == Found(mail=False, asked=True)
    world.inboxes.pause(mailbox.inbox_id, paused=True)
    assert looking.look(world, mailbox.inbox_id) == Found(mail=False, asked=False)
    world.inboxes.remove(mailbox.inbox_id)
    assert looking.look(world, mailbox.inbox_id) == Found(mail=False, asked=False)


@pytest.mark.parametrize("mended", ["read", "reconnected"])
def test_an_inbox_that_was_mended_has_its_turn_as_if_it_had_never_failed(
    world: World, mailbox: Mailbox, mended: str
) -> None:
    due(world, mailbox.inbox_id)
    run(
        world,
        "UPDATE inbox_looks SET failures = 9, failed_as = 'operator', error = 'x', looked_at = clock_timestamp(),"
        " due_at = now() + interval '50 minutes' WHERE inbox_id = %s",
        mailbox.inbox_id,
    )
    world.looks.follow(EVERY)
    last = world.looks.last(mailbox.inbox_id)
    assert last is not None
    assert (last["failures"], last["due_at"] > datetime.now(UTC) + EVERY) == (9, True), "nobody has mended it yet"
    if mended == "read":
        world.inboxes.is_read(mailbox.inbox_id)
    else:
        sealed = world.inboxes.credentials(mailbox.inbox_id)
        assert sealed is not None
        world.inboxes.reconnect(mailbox.inbox_id, mailbox.inbox.connection, sealed)
    world.looks.follow(EVERY)
    last = world.looks.last(mailbox.inbox_id)
    assert last is not None
    assert (last["failures"], last["error"]) == (0, "")
    assert last["due_at"] <= datetime.now(UTC) + EVERY


def test_what_a_server_says_stops_no_looker(world: World, many: list[int]) -> None:
    """No text of PostgreSQL has a NUL, which a line of IMAP or a string of JSON may have."""
    inboxes = Watched({many[0]: AuthenticationFailed("the server says: NO bad\x00pass\ud83dword")})
    due(world, *many[:3])
    with at_work(looker(world, "only", inboxes)):
        eventually("all are kept", lambda: all(result(world, id_) for id_ in many[:3]))
    last = world.looks.last(many[0])
    assert last is not None
    assert last["error"] == "the server says: NO bad\ufffdpass\ufffdword"
    assert world.inboxes.disconnect(
        world.inboxes.get(many[0]), AuthenticationFailed("the server says: NO bad\x00password")
    )
    assert world.inboxes.get(many[0]).state == "disconnected"


def test_a_look_that_the_database_refuses_keeps_no_other_from_it(world: World, many: list[int]) -> None:
    class Refusing:
        """Of `many[0]` it is handed what it can't keep."""

        def __getattr__(self, name: str) -> object:
            return getattr(world.looks, name)

        def done(self, by: str, looks: Sequence[Seen]) -> None:
            world.looks.done(by, [replace(each, error="\x00") if each.inbox_id == many[0] else each for each in looks])

    looks: Looks = Refusing()  # type: ignore[assignment]
    due(world, *many[:20])
    with at_work(Looker("only", looks, Watched(), every=SELDOM)):
        eventually("all others are kept", lambda: all(result(world, id_) for id_ in many[1:20]))
        due(world, many[30])
        eventually("and it goes on", lambda: result(world, many[30]))
    assert result(world, many[0]) is None


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


@pytest.mark.parametrize("failures", [0, 5])
def test_a_clock_that_was_put_back_keeps_no_inbox_waiting(world: World, many: list[int], failures: int) -> None:
    world.looks.follow(EVERY)
    set_due = "UPDATE inbox_looks SET due_at = now() + %s, failures = %s WHERE inbox_id = %s"
    run(world, set_due, timedelta(hours=3), failures, many[0])
    run(world, set_due, LONGEST_PAUSE, 5, many[1])
    world.looks.follow(EVERY)
    last, failing = world.looks.last(many[0]), world.looks.last(many[1])
    assert last is not None
    assert failing is not None
    assert last["due_at"] < datetime.now(UTC) + EVERY + timedelta(seconds=30)
    assert failing["due_at"] > datetime.now(UTC) + EVERY, "one that fails may wait so long"


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
