"""The steps between the servers: `python -m inboxops_local.stack.jobs NAME`, each a process that ends and takes its imports
with it.

All of them may run again and again.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from inboxops import settings
from inboxops.errors import InboxOpsError
from inboxops_local.stack import postgres
from inboxops_local.stack.home import PREVIOUS_POSTGRES_PASSWORD, Home, Secrets, read_env
from inboxops_local.stack.ports import Ports

if TYPE_CHECKING:
    from psycopg import Connection


def _home() -> Home:
    return Home(settings.home())


def _secrets() -> Secrets:
    return Secrets(read_env(_home().env_file))


def cluster() -> None:
    """The files of PostgreSQL."""
    postgres.make(_home(), _secrets()["STACK_POSTGRES_PASSWORD"])


def databases(*airflows: str) -> None:
    """Roles and databases: `inboxops` with the roles of tasks and of the API, and one for each Airflow; closed to everyone else."""
    from psycopg import sql

    secrets = _secrets()
    roles = {
        "inboxops": secrets["STACK_OWNER_PASSWORD"],
        "inboxops_tasks": secrets["STACK_TASKS_PASSWORD"],
        "inboxops_api": secrets["STACK_API_PASSWORD"],
        "airflow": secrets["STACK_AIRFLOW_DATABASE_PASSWORD"],
    }
    password = secrets["STACK_POSTGRES_PASSWORD"]
    with _superuser(password, secrets.values.get(PREVIOUS_POSTGRES_PASSWORD)) as connection:
        connection.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(sql.Literal(password)))
        known = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
        for role, password in roles.items():
            verb = sql.SQL("ALTER" if role in known else "CREATE")
            sees = sql.SQL("BYPASSRLS" if role == "inboxops_tasks" else "NOBYPASSRLS")
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE {} PASSWORD {}").format(
                    verb, sql.Identifier(role), sees, sql.Literal(password)
                )
            )
        known = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        wanted = {"inboxops": ("inboxops", ("inboxops_tasks", "inboxops_api"))} | {
            name: ("airflow", ()) for name in airflows
        }
        for database, (owner, guests) in wanted.items():
            name = sql.Identifier(database)
            if database not in known:
                made = sql.SQL("CREATE DATABASE {} OWNER {} STRATEGY wal_log")
                connection.execute(made.format(name, sql.Identifier(owner)))
                connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
            for guest in guests:
                connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.Identifier(guest)))


def _superuser(password: str, previous: str | None) -> Connection[tuple[Any, ...]]:
    """previous: its password before, where the server may not have been told of the new one."""
    import psycopg

    where = f"host=127.0.0.1 port={Ports().postgres} user=postgres dbname=postgres"
    try:
        return psycopg.connect(where, password=password, autocommit=True)
    except psycopg.OperationalError:
        if previous is None:
            raise
        return psycopg.connect(where, password=previous, autocommit=True)


def schema() -> None:
    """The application's tables."""
    from inboxops.db.migrate import migrate

    migrate(settings.load().owner_dsn)


def demo() -> None:
    """The demonstration tenant and inboxes, before Airflow reads which inboxes there are."""
    from inboxops.cli.world import opened
    from inboxops_local.demo.seed import connect

    with opened() as world:
        connect(world, _home(), Ports())


def bucket() -> None:
    """The bucket, and one small object through it: seconds may pass until the server has found or allocated a volume."""
    import boto3

    from inboxops_local.stack.celery import LOG_BUCKET

    known = settings.load()
    client = boto3.client(
        "s3",
        endpoint_url=known.s3_endpoint,
        region_name=known.s3_region,
        aws_access_key_id=known.s3_access_key,
        aws_secret_access_key=known.s3_secret_key.get_secret_value(),
    )
    names = {entry["Name"] for entry in client.list_buckets()["Buckets"]}
    for name in {known.s3_bucket, LOG_BUCKET} - names:
        client.create_bucket(Bucket=name)
    client.put_object(Bucket=known.s3_bucket, Key=".ready", Body=b"ready")
    client.get_object(Bucket=known.s3_bucket, Key=".ready")["Body"].read()
    client.delete_object(Bucket=known.s3_bucket, Key=".ready")


def airflow_db(database: str) -> None:
    """The tables of an Airflow. The version they were last migrated to stands in the database's comment; importing Airflow just to
    find that there is nothing to do takes seconds.
    """
    import psycopg
    from psycopg import sql

    wanted = f"migrated by apache-airflow {version('apache-airflow-core')}"
    with psycopg.connect(
        host="127.0.0.1",
        port=Ports().postgres,
        user="airflow",
        password=_secrets()["STACK_AIRFLOW_DATABASE_PASSWORD"],
        dbname=database,
        autocommit=True,
    ) as connection:
        query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
        row = connection.execute(query).fetchone()
        made_by = row[0] if row else None
        if made_by == wanted:
            return
        if older_than(version("apache-airflow-core"), made_by):
            sys.exit(f"error: Airflow's database was {made_by}, and this is older. Install the newer version")
        if failed := subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"]).returncode:
            sys.exit(failed)  # its last words are in the log already
        comment = sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(database), sql.Literal(wanted))
        connection.execute(comment)


def older_than(ours: str, comment: str | None) -> bool:
    """Whether a newer Airflow than ours has left that comment on its database."""
    from packaging.version import Version

    return comment is not None and Version(comment.rpartition(" ")[2]) > Version(ours)


def pools(url: str) -> None:
    """The pools of an Airflow, through its API: a LocalExecutor queues beyond its parallelism unless pools bound it."""
    import httpx

    from inboxops_local.stack.airflow import ADMIN, POOLS

    secrets = _secrets()
    login = {"username": ADMIN, "password": secrets["STACK_AIRFLOW_ADMIN_PASSWORD"]}
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        token = client.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        known_pools = client.get("/api/v2/pools").raise_for_status().json()["pools"]
        slots_of = {pool["name"]: pool["slots"] for pool in known_pools}
        for name, (slots, description) in POOLS.items():
            if name not in slots_of:
                pool = {"name": name, "slots": slots, "description": description, "include_deferred": False}
                client.post("/api/v2/pools", json=pool).raise_for_status()


JOBS: dict[str, Callable[..., None]] = {
    job.__name__.replace("_", "-"): job for job in (cluster, databases, schema, demo, bucket, airflow_db, pools)
}


def main() -> None:
    try:
        JOBS[sys.argv[1]](*sys.argv[2:])
    except InboxOpsError as exc:
        sys.exit(f"error: {exc}")


if __name__ == "__main__":
    main()
