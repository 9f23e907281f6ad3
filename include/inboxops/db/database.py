"""Connections to the application's database: pooled, opened on first use, errors translated at this one seam."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NoReturn, Self

import msgspec
from psycopg import Connection, OperationalError
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool, PoolTimeout

from inboxops.db.errors import translated
from inboxops.db.queries import sql

Row = DictRow
CONNECT_SECONDS = 5
RECONNECT_SECONDS = 10
"""A pool tries ever more seldom. After so long it gives up, and whoever asks next begins anew: a database that comes back is
seen soon, however long it was away."""
_KNOWN: dict[str, Any] = {"row_factory": dict_row, "connect_timeout": CONNECT_SECONDS, "application_name": "inboxops"}


def jsonb(value: Any) -> Jsonb:
    """Dataclasses, datetimes and sets as PostgreSQL's jsonb."""
    return Jsonb(value, dumps=msgspec.json.encode)


class Database:
    """One pool for one role. `tenant_id` in `transaction` sets the tenant for row-level security.

    patience: seconds that a transaction waits for a connection.
    """

    def __init__(self, dsn: str, *, connections: int = 4, patience: float = 15.0) -> None:
        self.dsn, self._connections, self._patience = dsn, connections, patience
        self._pool = self._closed_pool()
        self._alone: _Alone | None = None

    def _closed_pool(self) -> ConnectionPool[Connection[DictRow]]:
        return ConnectionPool(
            self.dsn,
            min_size=1,
            max_size=self._connections,
            open=False,
            timeout=self._patience,
            max_idle=120,
            reconnect_timeout=RECONNECT_SECONDS,
            kwargs=_KNOWN,
            check=ConnectionPool.check_connection,
        )

    @contextmanager
    def transaction(self, *, tenant_id: int | None = None) -> Iterator[Transaction]:
        """One transaction: committed at the end, rolled back on any exception."""
        with translated(), self._alone.connection() if self._alone else self._connected() as connection:
            if tenant_id is not None:
                connection.execute("SELECT set_config('inboxops.tenant_id', %s, true)", (str(tenant_id),))
            yield Transaction(connection)

    @contextmanager
    def _connected(self) -> Iterator[Connection[DictRow]]:
        self._pool.open()
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(self._pool.connection())
            except PoolTimeout as exc:
                self._ask_why(exc)
            yield connection

    def _ask_why(self, exc: PoolTimeout) -> NoReturn:
        """A pool tells its log alone why it got no connection. Raises what PostgreSQL says, or `exc` with what is known."""
        known = self._pool.get_stats()
        Connection.connect(self.dsn, connect_timeout=CONNECT_SECONDS).close()
        raise PoolTimeout(
            f"{exc}, though it takes connections now: this process has {known['pool_size']} of {self._connections} open,"
            f" {known['pool_available']} of them free, and tried {known.get('connections_num', 0)} times,"
            f" {known.get('connections_errors', 0)} in vain"
        ) from exc

    @property
    def place(self) -> str:
        """Where it stands and what it is called: host:port/name, without a secret."""
        known = conninfo_to_dict(self.dsn)
        return f"{known.get('host', 'localhost')}:{known.get('port', 5432)}/{known.get('dbname', '')}"

    def in_fork(self) -> Self:
        """This database in a process that was forked just now, closed before: from here on without a thread but the one that asks.

        A thread that begins in a fork may wait for ever: OpenSSL, which psycopg brings along, takes a lock once in each new
        thread (`ossl_init_thread_start`), and where another thread of the parent held it at the fork, nobody gives it back.
        """
        self._alone = _Alone(self.dsn)
        return self

    def close(self) -> None:
        """End all connections and threads; the next transaction opens new ones."""
        if self._alone:
            self._alone.close()
        self._pool.close()
        self._pool = self._closed_pool()

    def of_tenant(self, tenant_id: int) -> Database:
        """The same pool, every transaction for one tenant: whatever store stands on it sees nothing else."""
        return _TenantDatabase(self, tenant_id)


class _Alone:
    """Connections that are made by the thread that asks for them, and kept for the next transaction."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._idle: list[Connection[DictRow]] = []

    @contextmanager
    def connection(self) -> Iterator[Connection[DictRow]]:
        connection = self._kept() or Connection.connect(self._dsn, **_KNOWN)
        try:
            with connection.transaction():
                yield connection
        finally:
            self._idle.append(connection)

    def _kept(self) -> Connection[DictRow] | None:
        while self._idle:
            with suppress(OperationalError):
                connection = self._idle.pop()
                ConnectionPool.check_connection(connection)
                return connection
        return None

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


class _TenantDatabase(Database):
    def __init__(self, whole: Database, tenant_id: int) -> None:
        self._whole = whole
        self._tenant_id = tenant_id

    @contextmanager
    def transaction(self, *, tenant_id: int | None = None) -> Iterator[Transaction]:
        """Of this tenant, whatever else is asked for."""
        with self._whole.transaction(tenant_id=self._tenant_id) as t:
            yield t

    def close(self) -> None:
        """The pool belongs to the whole."""


class Transaction:
    """Named statements on one connection."""

    def __init__(self, connection: Connection[DictRow]) -> None:
        self.connection = connection

    def rows(self, name: str, /, **parameters: Any) -> list[DictRow]:
        return self.connection.execute(sql(name), parameters).fetchall()

    def row(self, name: str, /, **parameters: Any) -> DictRow | None:
        return self.connection.execute(sql(name), parameters).fetchone()

    def value(self, name: str, /, **parameters: Any) -> Any:
        """The first column of the first row, or None."""
        row = self.row(name, **parameters)
        return None if row is None else next(iter(row.values()))

    def run(self, name: str, /, **parameters: Any) -> int:
        """The number of rows that the statement touched."""
        return self.connection.execute(sql(name), parameters).rowcount
