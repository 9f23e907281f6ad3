"""Many objects at little cost: the same bytes as through boto3, and the same answer to who can help."""

from __future__ import annotations

import httpx
import pytest

from inboxops.errors import ObjectMissing, OperatorError, TransientError
from inboxops.storage.s3 import S3Store, client
from inboxops.storage.swift import SwiftStore
from inboxops_lab.testing.processes import free_ports
from tests.objectstore import S3Server
from tests.storage.test_s3 import ready


@pytest.fixture(scope="module")
def store(s3_server: S3Server) -> S3Store:
    return ready(s3_server)


@pytest.fixture
def swift(s3_server: S3Server, store: S3Store) -> SwiftStore:
    return SwiftStore(client(s3_server.settings()), s3_server.settings().s3_bucket)


@pytest.mark.parametrize("size", [0, 1, 100_000, 9_000_000])
def test_what_one_puts_the_other_gets(swift: SwiftStore, store: S3Store, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    swift.put("7/swift/a", content, content_type="text/plain")
    assert store.get("7/swift/a") == content
    store.put("7/swift/b", content, content_type="text/plain")
    if size:
        assert swift.get("7/swift/b", offset=0, length=size) == content
        assert swift.get("7/swift/b", offset=size - 1, length=1) == content[-1:]


def test_a_file_is_saved_under_its_name(swift: SwiftStore, store: S3Store) -> None:
    swift.put("7/swift/named", b"x", content_type="text/html", file_name="Übersicht.html")
    link = store.presigned_get("7/swift/named", file_name="Übersicht.html", content_type="text/html", seconds=60)
    assert "filename*=UTF-8''%C3%9Cbersicht.html" in httpx.get(link).headers["content-disposition"]


def test_a_missing_object_is_named(swift: SwiftStore) -> None:
    with pytest.raises(ObjectMissing, match="'7/none' is missing"):
        swift.get("7/none", offset=0, length=1)


def test_a_missing_bucket_is_named(s3_server: S3Server) -> None:
    elsewhere = SwiftStore(client(s3_server.settings()), "no-such-bucket")
    with pytest.raises(OperatorError, match="no-such-bucket"):
        elsewhere.get("a", offset=0, length=1)


@pytest.mark.parametrize("changes", [{"s3_secret_key": "wrong"}, {"s3_access_key": "nobody"}])
def test_wrong_keys_are_the_operators_business(s3_server: S3Server, changes: dict[str, str]) -> None:
    intruder = SwiftStore(client(s3_server.settings(**changes)), "inboxops-tests")
    with pytest.raises(OperatorError, match="INBOXOPS_S3_SECRET_KEY"):
        intruder.put("a", b"x", content_type="text/plain")


def test_a_store_that_is_away_is_tried_again_later(s3_server: S3Server) -> None:
    [port] = free_ports(1)
    gone = SwiftStore(client(s3_server.settings(s3_endpoint=f"http://127.0.0.1:{port}")), "inboxops-tests")
    with pytest.raises(TransientError, match="in trouble"):
        gone.put("a", b"x", content_type="text/plain")
