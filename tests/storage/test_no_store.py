"""A proxy answers in the object store's place, or an object is shorter than it was: no mail is taken for gone that may be there."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator

import pytest

from inboxops.errors import ObjectMissing, ServiceAway
from inboxops.storage.bulk import BulkStore
from inboxops.storage.s3 import S3Store, client
from tests.objectstore import S3Server
from tests.storage.test_s3 import ready

PAGE = b"<html><head><title>Not here</title></head><body><hr>nginx</body></html>"
XML = b"<html><body>We are back soon</body></html>"
Get = Callable[[str, int, int], bytes]


@pytest.fixture(params=[(404, PAGE), (404, b""), (200, PAGE), (200, XML)])
def proxy(request: pytest.FixtureRequest) -> Iterator[str]:
    status, page = request.param

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_proxys_page_is_no_word_about_an_object(s3_server: S3Server, proxy: str) -> None:
    behind = client(s3_server.settings(s3_endpoint=proxy))
    for get in ways_to_get(S3Store(behind, "bucket"), BulkStore(behind, "bucket")):
        with pytest.raises(ServiceAway):
            get("7/pack", 0, 10)
    with pytest.raises(ServiceAway):
        S3Store(behind, "bucket").get("7/pack")
    with pytest.raises(ServiceAway):
        list(S3Store(behind, "bucket").list("7/"))


@pytest.mark.parametrize("proxy", [(404, PAGE)], indirect=True)
def test_a_proxys_404_is_no_word_about_the_size_of_an_object(s3_server: S3Server, proxy: str) -> None:
    behind = client(s3_server.settings(s3_endpoint=proxy))
    for store in (S3Store(behind, "bucket"), BulkStore(behind, "bucket")):
        with pytest.raises(ServiceAway):
            store.size("7/pack")


def test_an_object_that_was_cut_short_lacks_what_stood_behind(s3_server: S3Server) -> None:
    store = ready(s3_server)
    store.put("7/cut", b"half", content_type="text/plain")
    for get in ways_to_get(store, BulkStore(client(s3_server.settings()), s3_server.settings().s3_bucket)):
        assert get("7/cut", 2, 100) == b"lf"
        with pytest.raises(ObjectMissing, match=r"'7/cut'.* ends before"):
            get("7/cut", 100, 10)


def ways_to_get(store: S3Store, bulk: BulkStore) -> tuple[Get, Get]:
    def by_store(key: str, offset: int, length: int) -> bytes:
        return store.get(key, offset=offset, length=length)

    def by_bulk(key: str, offset: int, length: int) -> bytes:
        return bulk.get(key, offset=offset, length=length)

    return by_store, by_bulk
