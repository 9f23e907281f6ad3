"""Airflow's connections become the library's arguments, once a process.

`inboxops_db` (postgres) is the application's database; `inboxops_s3` (aws) the object store. Everything else, and every
secret that is none of Airflow's business, comes from the library's own settings.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from inboxops.composition.world import World

DATABASE = "inboxops_db"
OBJECTS = "inboxops_s3"


@cache
def world() -> World:
    """The World of this process. Imports every adapter, so only tasks and triggers call it, never a DAG file.

    Raises OperatorError where the settings name another cell than the environment, by which the list of inboxes goes.
    """
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from inboxops.composition.world import World
    from inboxops.errors import OperatorError
    from inboxops.settings import load
    from inboxops_airflow.roster import own_cell

    known = load()
    if known.cell != own_cell():
        raise OperatorError(
            f"tasks are of cell {known.cell} by inboxops.env, and the list of inboxes of cell {own_cell()} by the environment",
            fix="Set INBOXOPS_CELL in the environment of all processes of this Airflow",
        )
    return World(known, dsn=conninfo(PostgresHook.get_connection(DATABASE)), s3=_objects)


def conninfo(database: Connection) -> str:
    """For libpq, which takes what stands as extra, too: whether TLS is wanted, and whose certificates count.

    Raises psycopg.ProgrammingError for what it does not know.
    """
    from psycopg.conninfo import make_conninfo

    return make_conninfo(
        host=database.host,
        port=database.port,
        user=database.login,
        password=database.password,
        dbname=database.schema,
        **database.extra_dejson,
    )


def _objects() -> Any:
    """Made on first use: most sends carry no file."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    return S3Hook(aws_conn_id=OBJECTS).get_conn()
