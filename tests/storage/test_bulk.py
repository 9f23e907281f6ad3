"""Many objects at little cost: the same bytes as through boto3, and the same answer to who can help."""

from __future__ import annotations

import http.server
import threading

import httpx
import pytest

from inboxops.errors import InboxOpsError, ObjectMissing, OperatorError, ServiceAway, TransientError
from inboxops.storage.bulk import BulkStore
from inboxops.storage.s3 import S3Store, client
from inboxops_lab.testing.processes import free_ports
from tests.objectstore import S3Server
from tests.storage.test_s3 import ready


@pytest.fixture(scope="module")
def store(s3_server: S3Server) -> S3Store:
    return ready(s3_server)


@pytest.fixture
def bulk(s3_server: S3Server, store: S3Store) -> BulkStore:
    return BulkStore(client(s3_server.settings()), s3_server.settings().s3_bucket)


@pytest.mark.parametrize("size", [0, 1, 100_000, 9_000_000])
def test_what_one_puts_the_other_gets(bulk: BulkStore, store: S3Store, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    bulk.put("7/bulk/a", content, content_type="text/plain")
    assert store.get("7/bulk/a") == content
    store.put("7/bulk/b", content, content_type="text/plain")
    if size:
        assert bulk.get("7/bulk/b", offset=0, length=size) == content
        assert bulk.get("7/bulk/b", offset=size - 1, length=1) == content[-1:]


def test_a_file_is_saved_under_its_name(bulk: BulkStore, store: S3Store) -> None:
    bulk.put("7/bulk/named", b"x", content_type="text/html", file_name="Übersicht.html")
    link = store.presigned_get("7/bulk/named", file_name="Übersicht.html", content_type="text/html", seconds=60)
    assert "filename*=UTF-8''%C3%9Cbersicht.html" in httpx.get(link).headers["content-disposition"]


def test_a_missing_object_is_named(bulk: BulkStore) -> None:
    with pytest.raises(ObjectMissing, match="'7/none' is missing"):
        bulk.get("7/none", offset=0, length=1)


def test_a_missing_bucket_is_named(s3_server: S3Server) -> None:
    elsewhere = BulkStore(client(s3_server.settings()), "no-such-bucket")
    with pytest.raises(OperatorError, match="no-such-bucket"):
        elsewhere.get("a", offset=0, length=1)


@pytest.mark.parametrize("changes", [{"s3_secret_key": "wrong"}, {"s3_access_key": "nobody"}])
def test_wrong_keys_are_the_operators_business(s3_server: S3Server, changes: dict[str, str]) -> None:
    intruder = BulkStore(client(s3_server.settings(**changes)), "inboxops-tests")
    with pytest.raises(OperatorError, match="INBOXOPS_S3_SECRET_KEY"):
        intruder.put("a", b"x", content_type="text/plain")


def test_a_store_that_is_away_is_tried_again_later(s3_server: S3Server) -> None:
    [port] = free_ports(1)
    gone = BulkStore(client(s3_server.settings(s3_endpoint=f"http://127.0.0.1:{port}")), "inboxops-tests")
    with pytest.raises(TransientError, match="in trouble"):
        gone.put("a", b"x", content_type="text/plain")


@pytest.mark.parametrize(
    ("answer", "kind"), [(400, OperatorError), (412, OperatorError), (408, ServiceAway), (429, ServiceAway)]
)
def test_a_store_that_refuses_a_request_is_the_operators_and_its_words_are_kept(
    s3_server: S3Server, answer: int, kind: type[InboxOpsError]
) -> None:
    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            said = b"<Error><Code>Odd</Code><Message>the region is wrong</Message></Error>"
            self.send_response(answer)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        settings = s3_server.settings().model_copy(update={"s3_endpoint": url})
        with pytest.raises(kind, match="the region is wrong"):
            BulkStore(client(settings), "bucket").put("7/a", b"x", content_type="text/plain")
        server.shutdown()
