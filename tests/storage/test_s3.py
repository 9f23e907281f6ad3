"""The object store keeps bytes and names, gives them out for a while only, and says who can help when it can't."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.message import Message
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx
import pytest

from inboxops.core.download import content_disposition, media_type
from inboxops.errors import OperatorError, TransientError
from inboxops.storage.s3 import S3Store, client
from inboxops_lab.testing.processes import free_ports, wait_until
from inboxops_local.stack.backing import object_index
from tests.objectstore import S3Server


@pytest.fixture(scope="module")
def store(s3_server: S3Server) -> S3Store:
    return ready(s3_server)


def ready(server: S3Server) -> S3Store:
    settings = server.settings()
    store = S3Store(client(settings), settings.s3_bucket)
    # A fresh SeaweedFS listens before its first volume can be written to.
    wait_until("the S3 server to take an object", lambda: _writable(store), seconds=60)
    return store


def _writable(store: S3Store) -> bool:
    try:
        store.ensure_bucket()
        store.put("warm-up", b"x", content_type="text/plain")
    except TransientError:
        return False
    return True


def test_what_was_put_is_got(store: S3Store) -> None:
    content = bytes(range(256)) * 4096
    store.put("1/raw/a", content, content_type="application/octet-stream")
    assert store.get("1/raw/a") == content


def test_a_store_on_this_machine_is_asked_directly_whatever_proxy_is_named(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    settings = s3_server.settings()
    near = S3Store(client(settings), settings.s3_bucket)
    near.put("1/raw/near", b"x", content_type="text/plain")
    assert near.get("1/raw/near") == b"x"
    elsewhere = client(settings.model_copy(update={"s3_endpoint": "http://s3.example"}), attempts=1)
    with pytest.raises(TransientError):
        S3Store(elsewhere, settings.s3_bucket).get("1/raw/near")


def test_a_range_is_got_alone(store: S3Store) -> None:
    store.put("1/raw/range", b"0123456789", content_type="text/plain")
    assert store.get("1/raw/range", offset=3, length=4) == b"3456"
    assert store.get("1/raw/range", offset=7) == b"789"
    assert store.get("1/raw/range", offset=0, length=1) == b"0"
    assert store.get("1/raw/range", offset=4, length=0) == b""


def test_an_empty_object_is_one(store: S3Store) -> None:
    store.put("1/raw/empty", b"", content_type="text/plain")
    assert store.get("1/raw/empty") == b""


def test_making_the_bucket_twice_changes_nothing(store: S3Store) -> None:
    store.put("1/kept", b"kept", content_type="text/plain")
    store.ensure_bucket()
    assert store.get("1/kept") == b"kept"


def test_list_and_delete_by_prefix(store: S3Store) -> None:
    keys = [f"2/many/{n:04d}" for n in range(30)]
    for key in keys:
        store.put(key, b"x", content_type="text/plain")
    assert list(store.list("2/many/")) == keys
    store.delete([*keys[:29], "2/many/never-there"])
    assert list(store.list("2/many/")) == keys[29:]
    store.delete([])


def test_a_link_opens_without_credentials_and_saves_under_the_senders_name(store: S3Store) -> None:
    name = 'Überweisung "März" 2026; übersicht.html'
    key = "3/9/01-report.html"
    store.put(key, b"<script>", content_type="text/html; charset=utf-8", file_name=name)
    link = store.presigned_get(key, file_name=name, content_type="text/html; charset=utf-8", seconds=60)
    answer = httpx.get(link)
    assert (answer.status_code, answer.content) == (200, b"<script>")
    assert answer.headers["content-type"].startswith("text/html")
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment;")
    assert unquote(disposition.split("filename*=UTF-8''")[1]) == name


def test_without_a_signature_nothing_opens(store: S3Store) -> None:
    store.put("3/private", b"private", content_type="text/plain")
    link = store.presigned_get("3/private", file_name="a.txt", content_type="text/plain", seconds=60)
    bare = urlunsplit(urlsplit(link)._replace(query=""))
    assert httpx.get(bare).status_code == 403
    assert httpx.get(urlsplit(bare)._replace(path="/inboxops-tests").geturl()).status_code == 403


def test_a_signature_opens_only_what_it_was_made_for(store: S3Store) -> None:
    store.put("3/mine", b"mine", content_type="text/plain")
    store.put("4/theirs", b"theirs", content_type="text/plain")
    link = store.presigned_get("3/mine", file_name="a.txt", content_type="text/plain", seconds=60)
    for forged in (link.replace("/3/mine", "/4/theirs"), link.replace("a.txt", "b.exe"), link.replace("=60", "=6000")):
        assert forged != link
        assert httpx.get(forged).status_code == 403


def test_a_link_expires(store: S3Store) -> None:
    store.put("3/short", b"short", content_type="text/plain")
    link = store.presigned_get("3/short", file_name="a.txt", content_type="text/plain", seconds=1)
    wait_until("the link to expire", lambda: httpx.get(link).status_code == 403)


def test_a_missing_object_is_named(store: S3Store) -> None:
    with pytest.raises(OperatorError, match="'5/not-there' is missing"):
        store.get("5/not-there")


@pytest.mark.parametrize("begun_with", [object_index, lambda folder: {}], ids=["one index", "eight indexes"])
def test_objects_outlive_a_restart_however_their_names_were_kept(
    begun_with: Callable[[Path], Mapping[str, str]], tmp_path: Path
) -> None:
    server = S3Server(tmp_path, index=begun_with)
    try:
        ready(server).put("1/raw/kept", b"kept", content_type="text/plain")
    finally:
        server.stop()
    server = S3Server(tmp_path)
    try:
        assert ready(server).get("1/raw/kept") == b"kept"
    finally:
        server.stop()


def test_a_missing_bucket_is_named(s3_server: S3Server) -> None:
    elsewhere = S3Store(client(s3_server.settings()), "no-such-bucket")
    with pytest.raises(OperatorError, match="no-such-bucket"):
        elsewhere.get("a")


@pytest.mark.parametrize("changes", [{"s3_secret_key": "wrong"}, {"s3_access_key": "nobody"}])
def test_wrong_keys_are_the_operators_business(s3_server: S3Server, changes: dict[str, str]) -> None:
    intruder = S3Store(client(s3_server.settings(**changes)), "inboxops-tests")
    with pytest.raises(OperatorError, match="INBOXOPS_S3_SECRET_KEY"):
        intruder.put("a", b"", content_type="text/plain")
    with pytest.raises(OperatorError):
        intruder.ensure_bucket()


def test_a_store_that_is_away_is_tried_again_later(s3_server: S3Server) -> None:
    [port] = free_ports(1)
    gone = S3Store(client(s3_server.settings(s3_endpoint=f"http://127.0.0.1:{port}")), "inboxops-tests")
    with pytest.raises(TransientError, match="away"):
        gone.get("a")


@pytest.mark.parametrize(
    ("file_name", "fallback"),
    [
        ("report.pdf", "report.pdf"),
        ("Grüße.txt", "Gruße.txt".encode("ascii", "ignore").decode()),
        ('a"b\\c.txt', "a_b_c.txt"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("請求書.pdf", ".pdf"),
        ("請求書", "file"),
        ("a\r\nSet-Cookie: x", "a  Set-Cookie: x"),
        ("100%;x.txt", "100__x.txt"),
        ("", "file"),
        ("\u202egnp.exe", "gnp.exe"),
    ],
)
def test_content_disposition_carries_any_name_safely(file_name: str, fallback: str) -> None:
    value = content_disposition(file_name)
    assert value.isascii()
    assert "\r" not in value and "\n" not in value
    message = Message()
    message["Content-Disposition"] = value.split("; filename*=")[0]
    assert message.get_filename() == fallback


@pytest.mark.parametrize(
    ("content_type", "kept"),
    [
        ("image/png", "image/png"),
        ("text/plain; charset=utf-8", "text/plain"),
        ("", "application/octet-stream"),
        ("nonsense", "application/octet-stream"),
        ("text/html\r\nX: y", "application/octet-stream"),
    ],
)
def test_only_a_media_type_becomes_one(content_type: str, kept: str) -> None:
    assert media_type(content_type) == kept
