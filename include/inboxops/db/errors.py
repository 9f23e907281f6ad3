"""The one seam where psycopg's errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg_pool import PoolTimeout

from inboxops.errors import InvalidInput, OperatorError, ServiceAway


@contextmanager
def translated() -> Iterator[None]:
    """Raises ServiceAway for a database that is away, a standby or a conflict worth retrying, OperatorError for a wrong set-up.

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
    except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected) as exc:
        raise ServiceAway(f"the database asks for another try: {exc}") from exc
    except (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction, PoolTimeout) as exc:
        raise ServiceAway(
            f"the application database is away: {exc}", fix="Is PostgreSQL running? `inboxops doctor` tells"
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
