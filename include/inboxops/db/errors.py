"""The one seam where psycopg's errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg_pool import PoolTimeout

from inboxops.errors import OperatorError, TransientError


@contextmanager
def translated() -> Iterator[None]:
    """Raises TransientError for a database that is away or a conflict worth retrying, OperatorError for a wrong set-up."""
    try:
        yield
    except (psycopg.errors.InvalidPassword, psycopg.errors.InvalidCatalogName, psycopg.errors.UndefinedTable) as exc:
        raise OperatorError(
            f"the application database refuses: {exc}", fix="Check INBOXOPS_DATABASE_URL and run `inboxops prepare`"
        ) from exc
    except psycopg.errors.InsufficientPrivilege as exc:
        raise OperatorError(
            f"the application database refuses: {exc}",
            fix="Run `inboxops prepare` as the owner of the tables (INBOXOPS_OWNER_DATABASE_URL): docs/operations.md, Roles",
        ) from exc
    except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected) as exc:
        raise TransientError(f"the database asks for another try: {exc}") from exc
    except (psycopg.OperationalError, PoolTimeout) as exc:
        raise TransientError(
            f"the application database is away: {exc}", fix="Is PostgreSQL running? `inboxops doctor` tells"
        ) from exc
