"""Whoever gets no connection to the database is told why; a forked process has no thread for it."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Sequence

import pytest
from psycopg.conninfo import make_conninfo

from inboxops.composition.forks import Begin, spread
from inboxops.composition.world import World
from inboxops.db.database import Database, Transaction
from inboxops.errors import InboxOpsError, OperatorError, ServiceAway
from inboxops.settings import Settings
from inboxops_lab.testing.processes import free_ports


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        pytest.param(lambda: {"port": free_ports(1)[0]}, "Connection refused", id="nobody there"),
        pytest.param(lambda: {"password": "another"}, "password authentication failed", id="another password"),
        pytest.param(lambda: {"dbname": "nowhere"}, 'database "nowhere" does not exist', id="no such database"),
    ],
)
def test_what_postgresql_says_is_told(services: Settings, changed: Callable[[], dict[str, object]], why: str) -> None:
    database = Database(make_conninfo(services.database_url.get_secret_value(), **changed()), patience=1)
    with pytest.raises(ServiceAway, match=why), database.transaction():
        pass
    database.close()


def test_a_process_that_has_none_free_says_so(services: Settings) -> None:
    database = Database(services.database_url.get_secret_value(), connections=1, patience=1)
    with (
        database.transaction(),
        pytest.raises(ServiceAway, match="this process has 1 of 1 open, 0 of them free"),
        database.transaction(),
    ):
        pass
    database.close()


def one(t: Transaction) -> int:
    return int(t.connection.execute("SELECT 1 AS one").fetchall()[0]["one"])


def test_a_forked_process_connects_without_a_thread_that_openssl_could_hold_for_ever(services: Settings) -> None:
    """In a new thread of a fork it waits for a lock that a thread of the parent may have held at the fork."""
    world = World(services)
    with world.database.transaction() as t:
        assert one(t) == 1
    world.database.close()

    def prepare() -> Callable[[Sequence[int], Begin], tuple[int, int]]:
        database = world.database.in_fork()

        def threads_and_answer(chunk: Sequence[int], begin: Begin) -> tuple[int, int]:
            with database.transaction() as t:
                return threading.active_count(), one(t)

        return threads_and_answer

    assert list(spread(prepare, [[1], [2]], processes=1)) == [(1, 1), (1, 1)]
    world.close()


def test_what_a_forked_process_failed_at_is_rolled_back_and_a_connection_that_was_ended_is_made_anew(
    services: Settings,
) -> None:
    database = Database(services.database_url.get_secret_value()).in_fork()
    with pytest.raises(ValueError, match="no"), database.transaction() as t:
        t.connection.execute("SELECT set_config('inboxops.tried', 'yes', false)")
        raise ValueError("no")
    with database.transaction() as t:
        assert t.connection.execute("SELECT current_setting('inboxops.tried', true) AS it").fetchall() != [
            {"it": "yes"}
        ]
        [backend] = t.connection.execute("SELECT pg_backend_pid() AS pid").fetchall()
    with Database(services.database_url.get_secret_value()).in_fork().transaction() as other:
        other.connection.execute("SELECT pg_terminate_backend(%s)", (backend["pid"],))
    with database.transaction() as t:
        assert t.connection.execute("SELECT pg_backend_pid() AS pid").fetchall() != [backend]
    database.close()


def sleeps(t: Transaction) -> None:
    t.connection.execute("SET LOCAL statement_timeout = '50ms'")
    t.connection.execute("SELECT pg_sleep(30)")


def waits_for_a_lock(t: Transaction) -> None:
    t.connection.execute("SET LOCAL lock_timeout = '50ms'")
    t.connection.execute("SELECT pg_advisory_xact_lock(4242)")


def idles(t: Transaction) -> None:
    t.connection.execute("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
    assert select.select([t.connection.fileno()], [], [], 30)[0], "the server ends the session"
    t.connection.execute("SELECT 1")


def raises(code: str) -> Callable[[Transaction], None]:
    def raised(t: Transaction) -> None:
        t.connection.execute(f"DO $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '{code}'; END $$".encode())

    return raised


def only_reads(t: Transaction) -> None:
    t.connection.execute("SET TRANSACTION READ ONLY")
    t.connection.execute("CREATE TABLE none_may_write (one int)")


def asks_for_anothers_statement(t: Transaction) -> None:
    t.connection.execute("EXECUTE _pg3_of_another_connection")


@pytest.mark.parametrize(
    ("fails", "kind", "why", "to_do"),
    [
        (sleeps, ServiceAway, "cut a statement off: canceling statement due to statement timeout", "statement_timeout"),
        (waits_for_a_lock, ServiceAway, "cut a statement off: canceling statement due to lock timeout", "locks"),
        (idles, ServiceAway, "cut a statement off: terminating connection due to idle-in-transaction", "time-outs"),
        (raises("53100"), ServiceAway, "short of room: no room", "disk or memory"),
        (raises("53200"), ServiceAway, "short of room: no room", "disk or memory"),
        (only_reads, ServiceAway, "only reads: cannot execute CREATE TABLE", "standby"),
        (asks_for_anothers_statement, OperatorError, "_pg3_of_another_connection", "PgBouncer"),
        (raises("XX001"), OperatorError, "is damaged: no room", "restore it"),
        (raises("XX002"), OperatorError, "is damaged: no room", "restore it"),
    ],
    ids=[
        "statement time-out",
        "lock time-out",
        "idle time-out",
        "disk full",
        "out of memory",
        "standby",
        "pooler",
        "bad page",
        "bad index",
    ],
)
def test_a_database_that_answers_and_can_not_do_it_says_why_and_is_not_said_to_be_away(
    services: Settings, fails: Callable[[Transaction], None], kind: type[InboxOpsError], why: str, to_do: str
) -> None:
    database = Database(services.database_url.get_secret_value())
    with (
        Database(services.database_url.get_secret_value()).in_fork().transaction() as other,
        pytest.raises(kind, match=why) as told,
        database.transaction() as t,
    ):
        other.connection.execute("SELECT pg_advisory_xact_lock(4242)")
        fails(t)
    assert to_do in told.value.fix
    assert "away" not in str(told.value)
    with database.transaction() as t:
        assert one(t) == 1
    database.close()
