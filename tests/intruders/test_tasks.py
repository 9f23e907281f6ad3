"""What tasks may do to the database, and what a run does whose conf somebody forged."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from psycopg import sql

from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops_airflow import connections
from inboxops_airflow.push import DuePush, RegisterPush
from inboxops_airflow.replaying import ReplayMail
from inboxops_airflow.sending import SendMessage
from inboxops_lab.testing.mailserver import MailServer
from inboxops_local.stack.home import Home, load_or_make_secrets, read_env
from inboxops_local.stack.ports import Ports
from tests.intruders.conftest import Victim
from tests.sending.conftest import Desk, set_up


@pytest.fixture
def tasks(services: Settings, owner: World) -> Iterator[psycopg.Connection]:
    with psycopg.connect(services.database_url.get_secret_value(), autocommit=True) as connection:
        yield connection


def test_the_role_of_tasks_owns_nothing_and_reaches_every_row(tasks: psycopg.Connection, victim: Victim) -> None:
    about = "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles WHERE rolname = current_user"
    assert tasks.execute(about).fetchone() == (False,) * 4
    for catalog, column in {
        "class": "relowner",
        "proc": "proowner",
        "namespace": "nspowner",
        "type": "typowner",
    }.items():
        owned = f"SELECT oid FROM pg_{catalog} WHERE {column} = (SELECT oid FROM pg_roles WHERE rolname = current_user)"
        assert tasks.execute(owned.encode()).fetchall() == []
    member_of = "SELECT 1 FROM pg_auth_members WHERE member = (SELECT oid FROM pg_roles WHERE rolname = current_user)"
    assert tasks.execute(member_of).fetchall() == []
    tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    for (table,) in tasks.execute(tables).fetchall():
        wanted = "SELECT" if table == "schema_migrations" else "SELECT, INSERT, UPDATE, DELETE"
        for right in wanted.split(", "):
            assert tasks.execute("SELECT has_table_privilege(%s, %s)", (table, right)).fetchone() == (True,), (
                table,
                right,
            )
    seen = tasks.execute("SELECT count(*) FROM tickets WHERE tenant_id = %s", (victim.api.tenant_id,)).fetchone()
    assert seen is not None
    assert seen[0] > 0


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE tickets",
        "TRUNCATE tickets CASCADE",
        "ALTER TABLE tickets DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE tickets DROP COLUMN subject",
        "DROP POLICY tenant_only ON tickets",
        "CREATE TABLE mine (n int)",
        "CREATE TEMP TABLE mine (n int)",
        "CREATE OR REPLACE FUNCTION current_tenant() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
        "DROP FUNCTION current_tenant()",
        "SET ROLE inboxops",
        "ALTER ROLE inboxops_tasks SUPERUSER",
        "ALTER ROLE inboxops_api BYPASSRLS",
        "DELETE FROM schema_migrations",
        "INSERT INTO schema_migrations VALUES ('9999', '', now())",
        "COPY tickets TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/passwd')",
        "DROP DATABASE inboxops",
        "DROP SCHEMA public CASCADE",
        "SET session_replication_role = replica",
        "SELECT setval('message_id_seq', 1)",
    ],
)
def test_tasks_drop_and_alter_nothing(tasks: psycopg.Connection, statement: str) -> None:
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ActiveSqlTransaction)) as refused:
        tasks.execute(statement.encode())
    assert isinstance(refused.value, psycopg.errors.InsufficientPrivilege)


def test_what_a_later_migration_makes_is_open_to_tasks(services: Settings, owner: World) -> None:
    name = sql.Identifier(f"later_{uuid.uuid4().hex[:8]}")
    with psycopg.connect(services.owner_dsn, autocommit=True) as later:
        later.execute(sql.SQL("CREATE TABLE {} (id bigint GENERATED ALWAYS AS IDENTITY, n int)").format(name))
        later.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(name))
        try:
            with psycopg.connect(services.database_url.get_secret_value()) as tasks:
                tasks.execute(sql.SQL("INSERT INTO {} (n) VALUES (1)").format(name))
                tasks.execute(sql.SQL("DELETE FROM {}").format(name))
        finally:
            later.execute(sql.SQL("DROP TABLE {}").format(name))


def test_a_home_of_an_older_version_gets_the_role_and_keeps_what_it_has(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.make()
    before = load_or_make_secrets(home, Ports(base=20_000)).values
    older = {
        name: value
        for name, value in before.items()
        if name not in ("STACK_TASKS_PASSWORD", "INBOXOPS_OWNER_DATABASE_URL")
    }
    older["INBOXOPS_DATABASE_URL"] = before["INBOXOPS_OWNER_DATABASE_URL"]
    home.env_file.write_text("".join(f"{name}={value}\n" for name, value in older.items()))
    (home.path / "postgres").mkdir()  # there is data
    load_or_make_secrets(home, Ports(base=20_000))
    now = read_env(home.env_file)
    assert now["INBOXOPS_DATABASE_URL"].startswith(f"postgresql://inboxops_tasks:{now['STACK_TASKS_PASSWORD']}@")
    assert {name: now[name] for name in older if name != "INBOXOPS_DATABASE_URL"} == {
        name: value for name, value in older.items() if name != "INBOXOPS_DATABASE_URL"
    }


# -- forged runs

Run = Callable[[Any], Any]


@pytest.fixture
def desk(owner: World, mail_server: MailServer) -> Iterator[Desk]:
    slug = f"d{uuid.uuid4().hex[:12]}"
    owner.inboxes.add_tenant(slug, "Desk Ltd")
    with set_up(owner, slug, mail_server) as desk:
        yield desk


@pytest.fixture
def run(owner: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, Any], Any]:
    """Executes an operator as a run with that conf would."""
    monkeypatch.setattr(connections, "world", lambda: owner)
    monkeypatch.setattr(ExecutorSafeguard, "test_mode", True, raising=False)

    def execute(operator: Any, conf: Any) -> Any:
        ti = SimpleNamespace(try_number=1, max_tries=12)
        return operator.execute({"dag_run": SimpleNamespace(conf=conf), "params": conf or {}, "ti": ti})

    return execute


IDS: list[Any] = ["1", "1; DROP TABLE tickets", True, 1.5, [1], {"id": 1}, 0, -1, 2**63, None]
NO_NUMBERS: list[Any] = [
    *(None, {}, {"message_id": 1}, {"attempt": 0}, {"message_id": 1, "attempt": -1}, {"message_id": 1, "attempt": "0"}),
    *({"message_id": value, "attempt": 0} for value in IDS),
]


@pytest.mark.parametrize("conf", NO_NUMBERS, ids=str)
def test_a_send_run_without_numbers_fails_at_once(run: Callable[[Any, Any], Any], conf: Any) -> None:
    with pytest.raises(AirflowFailException, match="has to be a whole number"):
        run(SendMessage(task_id="send"), conf)


def test_a_forged_send_run_sends_nothing_that_is_not_ordered(
    run: Callable[[Any, Any], Any], desk: Desk, victim: Victim
) -> None:
    """Whoever may start runs lets out, at most, what its tenant ordered: once, as it was written, to whom it was written."""
    send = SendMessage(task_id="send")
    ticket = desk.ticket()
    (asked,) = desk.box.query("SELECT max(id) FROM messages WHERE ticket_id = %s", ticket)
    before = victim.rows()
    for message_id, attempt in ((2**62, 0), (int(str(asked[0])), 0), (victim.ids["message_id"], 7)):
        told = run(
            send, {"message_id": message_id, "attempt": attempt, "to": "evil@evil.example", "tenant_id": desk.tenant_id}
        )
        assert told["state"] == "skipped"
    assert (victim.rows(), desk.taken) == (before, [])

    accepted = desk.reply(ticket)
    assert run(send, {"message_id": accepted.message_id, "attempt": 1})["state"] == "skipped"
    assert desk.taken == []
    told = run(
        send, {"message_id": accepted.message_id, "attempt": 0, "to": ["evil@evil.example"], "body_text": "forged"}
    )
    assert told["state"] == "sent"
    assert [mail.recipients for mail in desk.taken] == [["ann@customer.example"]]
    assert "forged" not in desk.taken[0].message.text
    for attempt in (0, 1, 2):
        assert run(send, {"message_id": accepted.message_id, "attempt": attempt})["state"] == "skipped"
    assert len(desk.taken) == 1


def test_a_message_that_failed_goes_out_again_for_no_forged_run(run: Callable[[Any, Any], Any], desk: Desk) -> None:
    accepted = desk.reply(desk.ticket())
    desk.submission.answer = "550 no"
    with pytest.raises(AirflowFailException):
        run(SendMessage(task_id="send"), {"message_id": accepted.message_id, "attempt": 0})
    desk.submission.answer = ""
    for attempt in (0, 1, 5):
        assert (
            run(SendMessage(task_id="send"), {"message_id": accepted.message_id, "attempt": attempt})["state"]
            == "skipped"
        )
    assert (desk.row(accepted.message_id)["send_status"], desk.taken) == ("failed", [])


def test_a_forged_push_run_makes_no_channel_where_none_belongs(
    run: Callable[[Any, Any], Any], owner: World, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = owner.settings.model_copy(update={"google_pubsub_topic": "projects/a/topics/b"})
    monkeypatch.setattr(owner, "settings", topic)
    due = DuePush(task_id="due", connection_type="gmail")
    for value in ("1", True, 1.5, None, -1, [1]):
        with pytest.raises(AirflowFailException, match="has to be a whole number"):
            run(due, {"inbox_id": value})
    for inbox_id in run(due, {"inbox_id": desk.box.inbox_id, "connection_type": "gmail"}):
        register = RegisterPush(task_id="register", inbox_id=inbox_id)
        with pytest.raises(AirflowSkipException, match="no push is set up for imap"):
            run(register, {})
    (nowhere,) = run(due, {"inbox_id": 2**62})
    with pytest.raises(AirflowFailException):
        run(RegisterPush(task_id="register", inbox_id=nowhere), {})
    (row,) = desk.box.query("SELECT push_registered_at, push_error FROM inboxes WHERE id = %s", desk.box.inbox_id)
    assert row == (None, None)


@pytest.mark.parametrize("value", IDS, ids=str)
def test_a_replay_run_without_a_number_fails_at_once(run: Callable[[Any, Any], Any], value: Any) -> None:
    for conf in (None, {}, {"replay_id": value}):
        with pytest.raises(AirflowFailException, match="has to be a whole number"):
            run(ReplayMail(task_id="replay"), conf)


def test_what_reads_no_conf_is_told_nothing_by_one() -> None:
    """Inbox DAGs, the pulse, the drain and housekeeping know what to do by themselves; only these files look."""
    root = Path(connections.__file__).parent
    readers = {file.name for file in root.glob("*.py") if "dag_run" in (text := file.read_text()) and ".conf" in text}
    assert readers == {"conf.py"}
    by_params = {file.name for file in root.glob("*.py") if re.search(r"[\"']params[\"']|\.params\b", file.read_text())}
    assert by_params == set(), "params are the conf under another name"
    askers = {file.name for file in root.glob("*.py") if "conf.number(" in file.read_text()}
    assert askers == {"sending.py", "push.py", "certifying.py", "replaying.py"}
