"""`inboxops doctor`: one question to each part, and what to do when the answer is wrong."""

from __future__ import annotations

import imaplib
import smtplib
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import psycopg
import redis
from botocore.exceptions import BotoCoreError, ClientError

import inboxops
from inboxops import settings
from inboxops.composition import departing, mailboxes, upkeep
from inboxops.composition.world import World
from inboxops.core.inbox import ROSTER_DAG
from inboxops.core.installations import Moves
from inboxops.core.looking import Standing
from inboxops.core.pulse import State
from inboxops.errors import InboxOpsError, OperatorError, TransientError
from inboxops.orchestrator.cells import Airflows
from inboxops.settings import Settings
from inboxops.stories.trust import PROPOSED
from inboxops_local.stack.home import Home
from inboxops_local.stack.lock import held
from inboxops_local.stack.ports import Ports
from inboxops_local.stack.record import Record

SECONDS = 10
NAMED_BY = {
    "postgres": "INBOXOPS_DATABASE_URL",
    "redis": "INBOXOPS_REDIS_URL",
    "s3": "INBOXOPS_S3_*",
    "airflow of": "INBOXOPS_CELLS",
    "airflow": "INBOXOPS_AIRFLOW_*",
    "cells": "INBOXOPS_CELLS",
    "api": "INBOXOPS_API_URL",
}
"""The settings that say where a part is; the others are reached by these."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one part. `fix` says what to do when it is not well."""

    part: str
    well: bool
    said: str
    fix: str = ""


def examine(home: Home) -> list[Finding]:
    """Look at everything at once; seldom takes longer than 10 seconds."""
    try:
        known = settings.load()
    except OperatorError as exc:
        return [Finding("settings", False, str(exc.args[0]), exc.fix)]
    record = Record.read(home.record) if held(home.lock) else None
    questions: list[tuple[str, Callable[[], str]]] = [
        ("postgres", lambda: _postgres(known)),
        ("redis", lambda: _redis(known)),
        ("s3", lambda: _s3(known)),
        *_airflows(known),
        ("api", lambda: _api(known)),
        ("pulse", lambda: _standing(known, upkeep.pulse_state)),
        ("looks", lambda: _standing(known, upkeep.looks_state)),
        ("idle", lambda: _standing(known, mailboxes.idle_state)),
        ("moves", lambda: _standing(known, departing.moves_state)),
        ("forged mail", lambda: _forged_mail(known)),
    ]
    if record is not None:
        ports = Ports(base=record.port_base)
        questions += [
            ("imap", lambda: _imap(ports, home.ca_file)),
            ("smtp", lambda: _smtp(ports, home.ca_file)),
        ]
    with ThreadPoolExecutor(len(questions)) as pool:
        findings = list(pool.map(lambda asked: _ask(asked[0], asked[1], home, record), questions))
    return [Finding("inboxops", True, f"{inboxops.__version__}, {_where(home, record)}"), *findings]


def _where(home: Home, record: Record | None) -> str:
    return f"running in {home.path} as process {record.supervisor.pid}" if record else f"no local stack in {home.path}"


def _ask(part: str, question: Callable[[], str], home: Home, record: Record | None) -> Finding:
    try:
        return Finding(part, True, question())
    except (InboxOpsError, psycopg.Error, redis.RedisError, BotoCoreError, ClientError) as exc:
        said = str(exc)
    except (httpx.HTTPError, imaplib.IMAP4.error, smtplib.SMTPException, OSError, KeyError, ValueError) as exc:
        said = f"{type(exc).__name__}: {exc}"
    advice = f"See {home.path / 'logs'}" if record else "Start the local stack with `inboxops up`"
    named = next((f", or correct {setting}" for name, setting in NAMED_BY.items() if part.startswith(name)), "")
    return Finding(part, False, " ".join(said.split())[:300], f"{advice}{named}")


def _postgres(known: Settings) -> str:
    url = known.database_url.get_secret_value()
    with psycopg.connect(url, connect_timeout=SECONDS) as connection:
        version = connection.info.server_version
        if version < 160_000:
            raise OperatorError(f"PostgreSQL {version // 10_000} is too old", fix="Use 16 or newer")
        return f"PostgreSQL {version // 10_000}.{version % 10_000}, database {connection.info.dbname}"


def _redis(known: Settings) -> str:
    client = redis.Redis.from_url(
        known.redis_url.get_secret_value(), socket_timeout=SECONDS, socket_connect_timeout=SECONDS
    )
    with client:
        info = client.info("server")
    return f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}"


def _s3(known: Settings) -> str:
    from inboxops.storage import s3

    client = s3.client(known, connect_seconds=SECONDS, read_seconds=SECONDS, attempts=1)
    answer = client.head_bucket(Bucket=known.s3_bucket)
    server = answer["ResponseMetadata"]["HTTPHeaders"].get("server", "S3")
    return f"{server}, bucket {known.s3_bucket}"


def _airflows(known: Settings) -> list[tuple[str, Callable[[], str]]]:
    """That of each cell whose Airflow is known."""
    world = World(known)
    try:
        cells = list(world.airflows)
    except OperatorError as exc:
        said = exc

        def wrong() -> str:
            raise said

        return [("cells", wrong)]
    return [
        ("airflow" if cell == known.cell else f"airflow of cell {cell}", partial(_airflow, world.airflows, cell))
        for cell in cells
    ]


def _airflow(airflows: Airflows, cell: str) -> str:
    address = airflows.address(cell)
    with httpx.Client(base_url=address["url"], timeout=SECONDS, trust_env=False) as client:
        version = client.get("/api/v2/version").raise_for_status().json()["version"]
        health = client.get("/api/v2/monitor/health").raise_for_status().json()
        login = {"username": address["username"], "password": address["password"]}
        client.post("/auth/token", json=login).raise_for_status()
    ill = [name for name, part in health.items() if part["status"] != "healthy"]
    with suppress(TransientError):  # it has not read its DAGs yet
        airflows.of(cell).parse_again(ROSTER_DAG)  # harmless, and answers whose Airflow it is
    if ill:
        raise OperatorError(f"Airflow {version}: {', '.join(ill)} not healthy")
    return f"Airflow {version}, {', '.join(health)} healthy"


def _api(known: Settings) -> str:
    answer = httpx.get(f"{known.api_url}/healthz", timeout=SECONDS, trust_env=False)
    try:
        health = answer.json()
    except ValueError as exc:
        raise OperatorError(f"no answer of InboxOps from {known.api_url} (HTTP {answer.status_code})") from exc
    if answer.status_code != httpx.codes.OK:
        raise OperatorError(f"InboxOps API: database {health['database']}, redis {health['redis']}")
    return f"InboxOps API {health['version']}"


def _standing(known: Settings, of: Callable[[World], State | Standing | Moves]) -> str:
    """Whether tasks run and reach what they need, inboxes are looked at or held in IDLE, and no tenant stands half-way."""
    world = World(known)
    try:
        found = of(world)
    finally:
        world.close()
    if not found.well:
        raise OperatorError(found.said)
    return found.said


def _forged_mail(known: Settings) -> str:
    """A hint, and no fault: there are mail servers that don't say what they found."""
    world = World(known)
    try:
        found = mailboxes.unguarded(world)
    finally:
        world.close()
    if not found:
        return "every inbox that answers by itself knows which mail is forged"
    hints = (
        f"`inboxops inbox set {one.name} --tenant {one.tenant} --trusted-server {one.proposed or 'SERVER'}`"
        + (" (its newest mails have that on top)" if one.proposed else "")
        for one in found[:PROPOSED]
    )
    return f"{len(found)} answer by themselves, also forged mail: {'; '.join(hints)}"


def _imap(ports: Ports, ca_file: Path) -> str:
    context = ssl.create_default_context(cafile=ca_file)
    with imaplib.IMAP4_SSL("localhost", ports.imap, ssl_context=context, timeout=SECONDS) as client:
        return f"IMAP over TLS on {ports.imap}: {' '.join(client.capabilities[:4])}"


def _smtp(ports: Ports, ca_file: Path) -> str:
    with smtplib.SMTP("localhost", ports.smtp, timeout=SECONDS) as client:
        client.starttls(context=ssl.create_default_context(cafile=ca_file))
        client.ehlo()
        return f"submission on {ports.smtp}: STARTTLS, AUTH {client.esmtp_features.get('auth', '').strip()}"
