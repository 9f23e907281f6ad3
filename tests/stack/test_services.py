"""PostgreSQL, Valkey and the S3 server as `inboxops up` runs them: closed to strangers, and back after a crash."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError

import boto3
import psutil
import psycopg
import pytest
import redis
from botocore.exceptions import ClientError

from inboxops.settings import Settings
from inboxops_lab.testing.processes import wait_until
from inboxops_local.stack.home import Home
from inboxops_local.stack.layout import command
from inboxops_local.stack.postgres import erase
from inboxops_local.stack.record import Record, members
from inboxops_local.stack.testing import free_base, running

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("services") / "home"


@pytest.fixture(scope="module")
def services(home: Path) -> Iterator[Settings]:
    with running(home, "--only=services") as settings:
        yield settings


def _record(home: Path) -> Record:
    record = Record.read(home / "stack.json")
    assert record is not None
    return record


def test_the_roles_of_the_application_and_of_its_api_are_no_superusers(services: Settings) -> None:
    assert services.api_database_url is not None
    assert services.owner_database_url is not None
    for url, role, sees_all in (
        (services.owner_database_url, "inboxops", False),
        (services.database_url, "inboxops_tasks", True),
        (services.api_database_url, "inboxops_api", False),
    ):
        with psycopg.connect(url.get_secret_value()) as connection:
            query = "SELECT current_user, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
            assert connection.execute(query).fetchone() == (role, False, sees_all)
            with pytest.raises(psycopg.OperationalError, match="permission denied"):
                psycopg.connect(url.get_secret_value(), dbname="airflow").close()


def test_nobody_gets_in_without_a_password(services: Settings) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            services.database_url.get_secret_value().replace("://inboxops_tasks:", "://inboxops_tasks:x")
        ).close()
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(services.redis_url.get_secret_value().replace("redis://:", "redis://:x")).ping()


def test_the_bucket_is_private_and_links_to_it_expire(services: Settings) -> None:
    ours = _client(services, services.s3_secret_key.get_secret_value())
    ours.put_object(Bucket=services.s3_bucket, Key="note", Body=b"private")
    link = ours.generate_presigned_url("get_object", {"Bucket": services.s3_bucket, "Key": "note"}, ExpiresIn=5)
    with urllib.request.urlopen(link) as answer:
        assert answer.read() == b"private"
    for closed in (f"{services.s3_endpoint}/{services.s3_bucket}/note", f"{services.s3_endpoint}/{services.s3_bucket}"):
        with pytest.raises(HTTPError, match="403"):
            urllib.request.urlopen(closed)
    deadline = time.monotonic() + 30
    while _status(link) == 200:
        assert time.monotonic() < deadline, "the link does not expire"
        time.sleep(0.1)
    assert _status(link) == 403
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        _client(services, "wrong").get_object(Bucket=services.s3_bucket, Key="note")


def _client(services: Settings, secret: str) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=services.s3_endpoint,
        region_name=services.s3_region,
        aws_access_key_id=services.s3_access_key,
        aws_secret_access_key=secret,
    )


def _status(link: str) -> int:
    try:
        with urllib.request.urlopen(link) as answer:
            return int(answer.status)
    except HTTPError as exc:
        return exc.code


def test_everything_listens_on_loopback_alone(services: Settings, home: Path) -> None:
    parts = [part.process for part in _record(home).parts.values() if part.process]
    sockets = [each for part in parts for process in members(part) for each in process.net_connections("tcp")]
    listening = {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_what_was_committed_is_there_after_a_crash_of_the_server(services: Settings, home: Path) -> None:
    url = services.owner_dsn
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 7 AS number")
    _kill_postmaster(home)
    _comes_back(url)
    assert _record(home).parts["postgres"].restarts == 1


def test_a_computation_that_outlives_the_killed_server_keeps_no_new_one_out(services: Settings, home: Path) -> None:
    """Its process leads a session of its own, and looks for the server only when it next waits for something."""
    url = services.owner_dsn
    connection = psycopg.connect(url)
    backend, restarts = connection.info.backend_pid, _record(home).parts["postgres"].restarts

    def compute() -> None:
        with suppress(psycopg.OperationalError):
            connection.execute("SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 1000000) b")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(compute)
        began = psutil.Process(backend).cpu_times().user
        wait_until("it computes", lambda: psutil.Process(backend).cpu_times().user > began + 0.3)
        _kill_postmaster(home)
        _comes_back(url)
    assert not psutil.pid_exists(backend)
    assert _record(home).parts["postgres"].restarts == restarts + 1, "at the first try"


def _kill_postmaster(home: Path) -> None:
    process = _record(home).parts["postgres"].process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)


def _comes_back(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with psycopg.connect(url, connect_timeout=2) as connection:
                assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
            return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "PostgreSQL did not come back"
            time.sleep(0.1)


def test_one_in_the_background_keeps_what_it_said_before_and_is_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    log = home / "up.log"
    log.write_text("what the last one said\n")
    environment = {**os.environ, "INBOXOPS_HOME": str(home), "INBOXOPS_PORT_BASE": str(free_base())}

    def inboxops(*arguments: str) -> str:
        done = subprocess.run(command(*arguments), env=environment, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        inboxops("up", "--detach", "--no-demo", "--only=services")
        supervisor = _record(home).supervisor
        flags = Path(f"/proc/{supervisor.pid}/fdinfo/1").read_text().split("flags:")[1].split()[0]
        assert int(flags, 8) & os.O_APPEND, "or cutting the log would leave a hole in it"
        first, *others = log.read_text().splitlines()
        assert first == "what the last one said"
        assert any("postgres: ready" in line for line in others)
        assert "pulse" not in inboxops("status"), "services alone have none"
    finally:
        inboxops("down")
    assert not supervisor.alive
    erase(Home(home))
