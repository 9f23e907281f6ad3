"""What the database itself lets the API's role do: its tenant's rows, and nothing else, whatever statement it is talked into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from inboxops.settings import Settings
from tests.intruders.conftest import Victim

SHARED = {"pulse", "schema_migrations"}
"""Tables of no tenant, which the API's role may read."""

DEFINER = {
    "api_key": "a key's hash, by its whole prefix: the log-in",
    "use_login_link": "the key of a link, by the link's hash",
    "session_key": "the key of a session, by the session's hash",
    "account_is_shared": "yes or no, of the tenant's own inboxes",
    "tickets_with": "ids of the tenant's own tickets",
    "gmail_listeners": "inboxes of a whole address, whichever tenant: the webhook has none",
    "graph_listeners": "the inbox of a subscription, and what its secret hashes to",
    "store_pushes": "wakes inboxes, whichever tenant",
    "metrics": "counts and ages of the whole installation",
    "certificate_metrics": "the same of certificates",
    "canary_metrics": "the same of canaries",
    "look_metrics": "the same of looks",
    "departure_metrics": "for how long a tenant has been on its way, whichever",
    "looks_standing": "how many inboxes are looked at, and how late",
    "cells": "how many inboxes each cell has, when it last beat, and how late its looks are",
}
"""Functions that run as the owner -> all that they tell or do. One more has to be thought about, and tried below."""

REFUSED = (psycopg.errors.InsufficientPrivilege, psycopg.errors.WrongObjectType, psycopg.errors.UndefinedFunction)


@contextmanager
def as_api(services: Settings, tenant_id: int | None = None) -> Iterator[psycopg.Connection]:
    assert services.api_database_url is not None
    with psycopg.connect(services.api_database_url.get_secret_value(), autocommit=True) as connection:
        if tenant_id is not None:
            connection.execute("SELECT set_config('inboxops.tenant_id', %s, false)", (str(tenant_id),))
        yield connection


def column(connection: psycopg.Connection, query: str, *parameters: object) -> list[str]:
    return [str(row[0]) for row in connection.execute(query.encode(), parameters)]


def tables(connection: psycopg.Connection, kinds: str = "rpvm") -> list[str]:
    return column(
        connection,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = ANY (%s::\"char\"[]) ORDER BY 1",
        list(kinds),
    )


def test_it_is_nobody_special(services: Settings) -> None:
    with as_api(services) as api:
        row = api.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert row == (False,) * 5
        member_of = (
            "SELECT 1 FROM pg_auth_members WHERE member = (SELECT oid FROM pg_roles WHERE rolname = current_user)"
        )
        assert column(api, member_of) == []
        for catalog, owner in {
            "class": "relowner",
            "proc": "proowner",
            "namespace": "nspowner",
            "type": "typowner",
        }.items():
            owned = (
                f"SELECT oid FROM pg_{catalog} WHERE {owner} = (SELECT oid FROM pg_roles WHERE rolname = current_user)"
            )
            assert column(api, owned) == [], f"it owns something in pg_{catalog}"
        rights = "SELECT has_schema_privilege('public', 'CREATE') OR has_database_privilege(current_database(), 'CREATE, TEMP')"
        assert column(api, rights) == ["False"]


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE inboxops",
        "SET ROLE inboxops_tasks",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION inboxops",
        "ALTER ROLE inboxops_api BYPASSRLS",
        "ALTER ROLE inboxops_api SUPERUSER",
        "CREATE ROLE another LOGIN",
        "GRANT inboxops TO inboxops_api",
        "ALTER TABLE tickets DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE tickets OWNER TO inboxops_api",
        "DROP POLICY tenant_only ON tickets",
        "ALTER POLICY tenant_only ON tickets USING (true)",
        "CREATE POLICY mine ON tickets USING (true)",
        "CREATE OR REPLACE FUNCTION current_tenant() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE mine (n int)",
        "CREATE TEMP TABLE api_keys (n int)",
        "CREATE SCHEMA mine",
        "CREATE VIEW mine AS SELECT * FROM tickets",
        "CREATE RULE mine AS ON SELECT TO tickets DO INSTEAD SELECT 1",
        "CREATE TRIGGER mine BEFORE INSERT ON tickets EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE EXTENSION plpython3u",
        "DROP TABLE tickets",
        "DROP INDEX tickets_by_update",
        "TRUNCATE tickets CASCADE",
        "DELETE FROM tickets",
        "COPY tickets TO PROGRAM 'cat'",
        "COPY (SELECT 1) TO '/tmp/intruder'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'inboxops_tasks'",
        "SELECT rolpassword FROM pg_authid",
        "ALTER SYSTEM SET listen_addresses = '*'",
        "UPDATE tenants SET cell = 'elsewhere'",
        "ALTER DATABASE inboxops SET row_security = off",
        "SELECT setval('message_id_seq', 1)",
        "SET session_replication_role = replica",
    ],
)
def test_it_can_not_get_out(services: Settings, victim: Victim, statement: str) -> None:
    """`victim` is there for its rows, and its owner's session to end."""
    victim.rows()
    with as_api(services, victim.api.tenant_id) as api, pytest.raises(psycopg.Error) as refused:
        api.execute(statement.encode())
    assert isinstance(refused.value, (*REFUSED, psycopg.errors.UndefinedFile, psycopg.errors.FeatureNotSupported)), (
        refused.value
    )


def test_row_security_can_not_be_turned_off(services: Settings, victim: Victim) -> None:
    with as_api(services) as api:
        api.execute("SET row_security = off")
        for table in ("tickets", "messages", "api_keys", "inboxes"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                api.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))


def test_every_table_is_under_row_level_security_or_closed(services: Settings, victim: Victim) -> None:
    with as_api(services) as api:
        for table in tables(api, "rp"):
            secured = column(api, "SELECT relrowsecurity FROM pg_class WHERE oid = %s::regclass", table) == ["True"]
            rights = "SELECT has_table_privilege(%s, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')"
            closed = column(api, rights, table) == ["False"]
            assert secured or closed or table in SHARED, table
        for table in SHARED & set(tables(api)):
            assert column(api, "SELECT has_table_privilege(%s, 'INSERT, UPDATE, DELETE, TRUNCATE')", table) == ["False"]
        for view in tables(api, "vm"):
            options = column(api, "SELECT coalesce(reloptions, '{}') FROM pg_class WHERE oid = %s::regclass", view)
            assert "security_invoker=true" in options[0], view


def test_with_no_tenant_and_with_another_there_is_no_row(services: Settings, victim: Victim) -> None:
    """Each table, view: no row without a tenant; with one, only that one's; none of the victim's can be changed or made."""
    theirs = victim.api.tenant_id
    for tenant_id in (None, theirs + 10**6):
        with as_api(services, tenant_id) as api:
            for table in tables(api):
                _tried(api, table, theirs)
    with as_api(services, theirs) as api:
        seen = {table for table in tables(api) if table not in SHARED and _count(api, table)}
    assert {
        "tickets",
        "messages",
        "attachments",
        "inbound",
        "inboxes",
        "outbox",
        "corrections",
        "mail_rule_sets",
    } <= seen


def _tried(api: psycopg.Connection, table: str, theirs: int) -> None:
    name = sql.Identifier(table)
    assert table in SHARED or _count(api, table) == 0, table
    columns = column(api, "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0", table)
    if "tenant_id" not in columns or table in tables(api, "vm"):
        return
    for statement in (
        sql.SQL("UPDATE {} SET tenant_id = tenant_id WHERE tenant_id = {}").format(name, theirs),
        sql.SQL("DELETE FROM {} WHERE tenant_id = {}").format(name, theirs),
    ):
        try:
            assert api.execute(statement).rowcount == 0, statement.as_string(api)
        except psycopg.errors.InsufficientPrivilege:
            continue
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.IntegrityError)) as refused:
        api.execute(sql.SQL("INSERT INTO {} (tenant_id) VALUES ({})").format(name, theirs))
    assert (
        isinstance(refused.value, psycopg.errors.InsufficientPrivilege)
        or not _may_insert(api, table)
        or _has_check(api, table)
    )


def _count(api: psycopg.Connection, table: str) -> int:
    try:
        row = api.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return 0
    assert row is not None
    return int(row[0])


def _may_insert(api: psycopg.Connection, table: str) -> bool:
    return column(api, "SELECT has_table_privilege(%s, 'INSERT')", table) == ["True"]


def _has_check(api: psycopg.Connection, table: str) -> bool:
    """Whether a policy looks at new rows: its own WITH CHECK, else what it shows."""
    policies = "SELECT coalesce(with_check, qual) FROM pg_policies WHERE tablename = %s"
    return all("current_tenant()" in each for each in column(api, policies, table)) and bool(
        column(api, policies, table)
    )


def test_no_row_can_be_moved_to_another_tenant(services: Settings, victim: Victim) -> None:
    with as_api(services, victim.api.tenant_id) as api:
        for table in tables(api, "r"):
            columns = column(
                api, "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0", table
            )
            if "tenant_id" in columns and _count(api, table):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    api.execute(sql.SQL("UPDATE {} SET tenant_id = tenant_id + 1").format(sql.Identifier(table)))


def test_functions_that_run_as_the_owner_are_few_pinned_and_closed_to_the_public(
    services: Settings, victim: Victim
) -> None:
    with as_api(services) as api:
        rows = api.execute(
            "SELECT proname, coalesce(proconfig::text, ''), coalesce(proacl::text, '=X/everybody')"
            " FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
        ).fetchall()
    assert {name for name, _, _ in rows} == set(DEFINER)
    for name, settings, rights in rows:
        # Where pg_temp is not named, it is looked into first: a caller's table would stand in the place of ours.
        assert "search_path=public, pg_temp" in settings, name
        assert not any(right.startswith("=") for right in rights.strip("{}").split(",")), f"{name} is open to PUBLIC"


def test_what_runs_as_the_owner_tells_no_tenant_of_another(services: Settings, victim: Victim) -> None:
    search = "SELECT tickets_with('zebra', NULL, NULL, NULL, NULL, NULL, 10)"
    with as_api(services) as api:
        assert column(api, search) == ["[]"]
        assert column(api, "SELECT account_is_shared(%s)", victim.ids["inbox_id"]) == ["False"]
        for pattern in ("", "%", "io_%", "_" * 12):
            assert column(api, "SELECT id FROM api_key(%s)", pattern) == []
            assert column(api, "SELECT key FROM gmail_listeners(ARRAY[%s])", pattern) == []
            assert column(api, "SELECT key FROM graph_listeners(ARRAY[%s])", pattern) == []
        assert column(api, "SELECT id FROM use_login_link('')") == []
        assert column(api, "SELECT id FROM session_key('')") == []
    with as_api(services, victim.api.tenant_id + 10**6) as api:
        assert column(api, search) == ["[]"]
    with as_api(services, victim.api.tenant_id) as api:
        assert column(api, search) != ["[]"]


def test_whether_a_strangers_account_is_shared_is_not_told(services: Settings, victim: Victim) -> None:
    """Two inboxes of the victim on one consent: the victim is told, nobody else."""
    victim.share_an_account()
    for tenant_id, told in ((victim.api.tenant_id, "True"), (victim.api.tenant_id + 10**6, "False"), (None, "False")):
        with as_api(services, tenant_id) as api:
            assert column(api, "SELECT account_is_shared(%s)", victim.ids["inbox_id"]) == [told], tenant_id


def test_sequences_give_numbers_and_take_none(services: Settings, victim: Victim) -> None:
    with as_api(services, victim.api.tenant_id) as api:
        for name in tables(api, "S"):
            assert column(api, "SELECT has_sequence_privilege(%s, 'UPDATE')", name) == ["False"], name
