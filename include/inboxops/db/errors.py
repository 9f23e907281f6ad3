"""The one seam where psycopg's errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg_pool import PoolTimeout

from inboxops.errors import InvalidInput, OperatorError, ServiceAway, TransientError

_CUT_OFF = (
    psycopg.errors.QueryCanceled,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
)
_SHORT_OF_ROOM = (psycopg.errors.DiskFull, psycopg.errors.OutOfMemory, psycopg.errors.ConfigurationLimitExceeded)
_POOLER = (psycopg.errors.InvalidSqlStatementName, psycopg.errors.DuplicatePreparedStatement)
"""A statement that was prepared on one connection is asked for on another."""

_MOVING = "IOMOV"
"""What `refuse_departing` of migration 0041 says."""


@contextmanager
def translated() -> Iterator[None]:
    """Raises ServiceAway for a database that is away or short of room, a standby, a time-out or a conflict worth retrying,
    OperatorError for a wrong set-up, TransientError for rows of a tenant that is moving away.

    What is wrong with a row passes as psycopg's own error: whoever wrote it keeps the other rows apart from it.
    """
    try:
        yield
    except psycopg.errors.ProgramLimitExceeded:
        raise  # psycopg has it as an error of the database's operation; it is what is in the row, and no other try mends that
    except (
        psycopg.errors.InvalidPassword,
        psycopg.errors.InvalidCatalogName,
        psycopg.errors.UndefinedTable,
        psycopg.errors.UndefinedColumn,
        psycopg.errors.UndefinedFunction,
    ) as exc:
        raise OperatorError(
            f"the application database refuses: {exc}", fix="Check INBOXOPS_DATABASE_URL and run `inboxops prepare`"
        ) from exc
    except psycopg.errors.InsufficientPrivilege as exc:
        raise OperatorError(
            f"the application database refuses: {exc}",
            fix="Run `inboxops prepare` as the owner of the tables (INBOXOPS_OWNER_DATABASE_URL): docs/operations.md, Roles",
        ) from exc
    except (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted) as exc:
        raise OperatorError(
            f"the application database is damaged: {exc}",
            fix="Stop writing to it, look at its disk, and restore it: docs/operations.md, Back up and restore",
        ) from exc
    except _POOLER as exc:
        raise OperatorError(
            f"the application database refuses: {exc}",
            fix="A pooler before PostgreSQL has to keep prepared statements apart: PgBouncer from 1.21 with"
            " max_prepared_statements above 0, or in session mode",
        ) from exc
    except _CUT_OFF as exc:
        raise ServiceAway(
            f"the application database cut a statement off: {exc}",
            fix="Another try may be quicker. If it lasts, raise the time-outs that are set for this role or database"
            " (statement_timeout and its like), or look what holds the locks",
        ) from exc
    except _SHORT_OF_ROOM as exc:
        raise ServiceAway(
            f"the application database is short of room: {exc}", fix="Give PostgreSQL the disk or memory that it lacks"
        ) from exc
    except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected) as exc:
        raise ServiceAway(f"the database asks for another try: {exc}") from exc
    except psycopg.errors.ReadOnlySqlTransaction as exc:
        raise ServiceAway(
            f"the application database only reads: {exc}",
            fix="Is it a standby, or its disk full? If this lasts, name the primary in INBOXOPS_DATABASE_URL",
        ) from exc
    except (psycopg.OperationalError, PoolTimeout) as exc:
        raise ServiceAway(
            f"the application database is away: {exc}", fix="Is PostgreSQL running? `inboxops doctor` tells"
        ) from exc
    except psycopg.Error as exc:
        if exc.sqlstate != _MOVING:
            raise
        raise TransientError(
            "the tenant is moving to another installation: nothing is written here meanwhile",
            fix="`inboxops doctor` says how far it is",
            retry_after=30,
        ) from exc


@contextmanager
def refused_as_input() -> Iterator[None]:
    """Raises InvalidInput for what somebody typed and no column holds: a number that is too large, bytes that are no UTF-8."""
    try:
        yield
    except psycopg.DataError as exc:
        raise InvalidInput(f"the database does not hold what was given: {exc}", fix="Give another value") from exc
    except UnicodeEncodeError as exc:
        raise InvalidInput(f"{exc.object!r} is no text in UTF-8", fix="Type it in UTF-8") from exc
