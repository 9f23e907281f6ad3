"""Airflow's connections become the library's arguments, once a process.

`inboxops_db` (postgres) is the application's database; `inboxops_s3` (aws) the object store. Everything else, and every
secret that is none of Airflow's business, comes from the library's own settings.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inboxops.composition.world import World

DATABASE = "inboxops_db"
OBJECTS = "inboxops_s3"


@cache
def world() -> World:
    """The World of this process. Imports every adapter, so only tasks and triggers call it, never a DAG file."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from psycopg.conninfo import make_conninfo

    from inboxops.composition.world import World
    from inboxops.settings import load

    database = PostgresHook.get_connection(DATABASE)
    dsn = make_conninfo(
        host=database.host,
        port=database.port,
        user=database.login,
        password=database.password,
        dbname=database.schema,
        **database.extra_dejson,
    )
    return World(load(), dsn=dsn, s3=_objects)


def _objects() -> Any:
    """Made on first use: most sends carry no file."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    return S3Hook(aws_conn_id=OBJECTS).get_conn()
