"""Numbered plain SQL files, each applied once, in order, in a transaction of its own, by one process at a time."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

import psycopg

from inboxops.core.installations import first_of, range_of
from inboxops.db.errors import translated
from inboxops.db.queries import sql
from inboxops.errors import InvalidInput, OperatorError

LOCK = 0x1B0C505  # any constant: what matters is that every migrating process takes the same


def migrations() -> list[tuple[str, str]]:
    """(name, SQL) of every migration, in order."""
    folder = files("inboxops.db") / "migrations"
    return sorted((entry.name, entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".sql"))


def migrate(dsn: str, *, id_range: int | None = None) -> list[str]:
    """Bring the application's database to the newest schema; returns the names applied now.

    id_range: have ids given out from this range on (`core.installations`). Raises OperatorError when an applied file was changed
    afterwards or the database is newer than this code, InvalidInput for a range behind that of ids which were given out.
    """
    applied: list[str] = []
    with translated(), psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        known: dict[str, str] = dict(connection.execute("SELECT name, sha256 FROM schema_migrations").fetchall())
        available = migrations()
        if unknown := known.keys() - {name for name, _ in available}:
            raise OperatorError(
                f"the database has migrations this version does not know: {', '.join(sorted(unknown))}",
                fix="Install the newer version, or restore a backup made with this one",
            )
        for name, statements in available:
            digest = hashlib.sha256(statements.encode()).hexdigest()
            if name in known:
                if known[name] != digest:
                    raise OperatorError(
                        f"migration {name} was changed after it had been applied",
                        fix="Put the file back as it was and write a new migration instead",
                    )
                continue
            with connection.transaction():
                connection.execute(statements.encode())
                connection.execute("INSERT INTO schema_migrations (name, sha256) VALUES (%s, %s)", (name, digest))
            applied.append(name)
        with connection.transaction():
            _lift_ids(connection, id_range)
    return applied


def _lift_ids(connection: psycopg.Connection[tuple[Any, ...]], wanted: int | None) -> None:
    """Have all ids given out from one range: a table that a migration added begins at 1."""
    last: dict[str, int] = dict(connection.execute(sql("sequences"), {}).fetchall())
    now = range_of(max(last.values()))
    if wanted is not None and wanted < now:
        raise InvalidInput(f"ids of range {now} are given out already", fix=f"Choose a range from {now} on")
    for name, given in last.items():
        if range_of(given) < (wanted or now):
            connection.execute(sql("lift_sequence"), {"name": name, "last": first_of(wanted or now)})
