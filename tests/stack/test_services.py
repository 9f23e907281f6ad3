"""PostgreSQL, Valkey and the S3 server as `inboxops up` runs them: closed to strangers, and back after a crash."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
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
from inboxops_local.stack.record import Record, members
from inboxops_local.stack.testing import running

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
    link = ours.generate_presigned_url("get_object", {"Bucket": services.s3_bucket, "Key": "note"}, ExpiresIn=1)
    with urllib.request.urlopen(link) as answer:
        assert answer.read() == b"private"
    for closed in (f"{services.s3_endpoint}/{services.s3_bucket}/note", f"{services.s3_endpoint}/{services.s3_bucket}"):
        with pytest.raises(HTTPError, match="403"):
            urllib.request.urlopen(closed)
    deadline = time.monotonic() + 10
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
    process = _record(home).parts["postgres"].process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while True:
        try:
            with psycopg.connect(url, connect_timeout=2) as connection:
                assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
            break
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "PostgreSQL did not come back"
            time.sleep(0.1)
    assert _record(home).parts["postgres"].restarts == 1
