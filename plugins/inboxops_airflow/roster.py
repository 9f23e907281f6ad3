"""Which inboxes there are, as cheaply as a DAG file has to know it, and also when the database is away."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog
from airflow.sdk import Connection, get_parsing_context

from inboxops.core.cells import MAIN
from inboxops.core.inbox import IDLE_INBOXES, dag_id, inbox_id_of
from inboxops.db.queries import sql
from inboxops_airflow.connections import DATABASE, conninfo

log = structlog.get_logger("inboxops.roster")
CONNECT_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Seat:
    """One inbox's place in Airflow. `live`: connected and not paused, so it is polled and can be woken.

    watched: among those that IDLE may hold. held: its server has told of new mail by IDLE without a break for a while, so it is
    polled less often. since: when it came to this cell from another one, in ISO 8601; None: it was always here.
    """

    inbox_id: int
    dag_id: str
    tenant: str
    connection_type: str
    live: bool
    held: bool = False
    watched: bool = False
    since: str | None = None


def roster() -> list[Seat]:
    """All inboxes of this cell that were not removed; inside a task process only the one that the task belongs to.

    While the database is away the last list that was read stands in for it, so that no DAG vanishes.
    """
    only = get_parsing_context().dag_id
    if only is not None:
        try:
            return [Seat(inbox_id_of(only), only, "", "", live=True)]
        except ValueError:
            return []
    import psycopg

    idle = int(os.environ.get("INBOXOPS_IDLE_INBOXES") or IDLE_INBOXES)
    try:
        known = conninfo(Connection.get(DATABASE))
        with psycopg.connect(known, connect_timeout=CONNECT_SECONDS) as connection:
            rows = connection.execute(sql("roster"), {"idle_inboxes": idle, "cell": own_cell()}).fetchall()
    except psycopg.Error as exc:
        log.warning(
            "list_of_inboxes_not_read",
            why=str(exc).strip(),
            to_do="the last list stands in; `inboxops doctor` says what can be reached",
        )
        return _remembered()
    seats = [
        Seat(id_, dag_id(id_, tenant, name), tenant, type_, live, held, watched, since and since.isoformat())
        for id_, tenant, name, type_, live, held, watched, since in rows
    ]
    try:
        _remember(seats)
    except OSError as exc:  # what was read counts, wherever it can't be written
        log.warning(
            "list_of_inboxes_not_kept",
            why=str(exc),
            to_do="let the DAG processor write to AIRFLOW_HOME: while the database is away, no list stands in for it",
        )
    return seats


def own_cell() -> str:
    """Whose list this Airflow has, by the environment alone: reading all settings costs more than making a hundred DAGs."""
    return os.environ.get("INBOXOPS_CELL") or MAIN


def _memory() -> Path:
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "inboxops_roster.json"


def _remember(seats: list[Seat]) -> None:
    text = json.dumps([asdict(seat) for seat in seats])
    memory = _memory()
    if not memory.exists() or memory.read_text("utf-8") != text:
        fresh = memory.with_suffix(f".{os.getpid()}")
        fresh.write_text(text, "utf-8")
        fresh.replace(memory)


def _remembered() -> list[Seat]:
    try:
        return [Seat(**seat) for seat in json.loads(_memory().read_text("utf-8"))]
    except FileNotFoundError:
        return []
