"""Whoever is neither Google nor Microsoft wakes nobody, fills nothing and holds nothing up; tests/push has the plain forgeries."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi.testclient import TestClient
from jwt.utils import base64url_encode
from starlette.requests import Request

from api.app import create_app
from api.limits import WEBHOOK_BYTES, Guests, caller_of
from api.routers import webhooks
from inboxops.settings import Settings
from inboxops_local.standins.pubsub import PubSub
from tests.push.conftest import Office, eventually, listening, office, stand_in_airflow
from tests.push.test_gmail_webhook import claims

__all__ = ["listening", "office", "stand_in_airflow"]  # fixtures

OURS = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())


def jwk_of_ours() -> dict[str, Any]:
    return {**jwt.algorithms.RSAAlgorithm.to_jwk(OURS.public_key(), as_dict=True), "alg": "RS256", "use": "sig"}


def by_hand(pubsub: PubSub, head: dict[str, Any], signature: bytes = b"") -> str:
    """A token with a head that no library would write."""
    body = json.dumps(claims(pubsub)).encode()
    return b".".join(map(base64url_encode, (json.dumps(head).encode(), body, signature))).decode()


def signed(pubsub: PubSub, key: Any = OURS, algorithm: str = "RS256", **head: Any) -> str:
    return jwt.encode(claims(pubsub), key, algorithm=algorithm, headers={"kid": pubsub.key_id, **head})


@pytest.fixture(scope="module")
def evil() -> Any:
    """A server that offers the forger's own key, and notes who asks for it."""
    asked: list[str] = []

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps({"keys": [jwk_of_ours() | {"kid": "evil"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/keys", asked
    server.shutdown()
    server.server_close()


FORGERIES: dict[str, Callable[[PubSub, str], str]] = {
    **{
        f"alg {name!r}": lambda pubsub, _, name=name: by_hand(pubsub, {"alg": name, "typ": "JWT", "kid": pubsub.key_id})  # type: ignore[misc]
        for name in ("none", "None", "NONE", "nOnE", "", "RS256 ", "rs256", "HS256", "HS512", None, 0, ["RS256"])
    },
    "no alg": lambda pubsub, _: by_hand(pubsub, {"kid": pubsub.key_id}),
    "RS512": lambda pubsub, _: signed(pubsub, pubsub.key, "RS512"),
    "PS256": lambda pubsub, _: signed(pubsub, pubsub.key, "PS256"),
    "ES256": lambda pubsub, _: signed(pubsub, CURVE, "ES256"),
    "an empty secret": lambda pubsub, _: signed(pubsub, "0" * 32, "HS256"),
    "a key of its own": lambda pubsub, _: signed(pubsub),
    "a key of its own, brought along": lambda pubsub, _: signed(pubsub, jwk=jwk_of_ours()),
    "jku": lambda pubsub, url: signed(pubsub, jku=url, kid="evil"),
    "x5u": lambda pubsub, url: signed(pubsub, x5u=url, kid="evil"),
    "jku and a known kid": lambda pubsub, url: signed(pubsub, jku=url),
    "x5c": lambda pubsub, _: signed(pubsub, x5c=[base64.b64encode(b"x" * 400).decode()]),
    "kid is a path": lambda pubsub, _: signed(pubsub, kid="../../../../dev/null"),
    "kid is a URL": lambda pubsub, url: signed(pubsub, kid=url),
    "kid is SQL": lambda pubsub, _: signed(pubsub, kid="' UNION SELECT 'x"),
    "kid is long": lambda pubsub, _: signed(pubsub, kid="k" * 6000),
    "kid is no text": lambda pubsub, _: by_hand(pubsub, {"alg": "RS256", "kid": {"a": 1}}, b"x" * 256),
    "no kid": lambda pubsub, _: jwt.encode(claims(pubsub), OURS, algorithm="RS256"),
    "what is critical is unknown": lambda pubsub, _: by_hand(
        pubsub, {"alg": "RS256", "kid": pubsub.key_id, "crit": ["exp"]}, b"x" * 256
    ),
    "an empty signature": lambda pubsub, _: pubsub.token().rpartition(".")[0] + ".",
    "a cut signature": lambda pubsub, _: pubsub.token()[:-20],
    "a token in four parts": lambda pubsub, _: signed(pubsub, pubsub.key).replace(".", "..", 1),
    "another audience beside ours": lambda pubsub, _: pubsub.token(aud=[pubsub.audience, "https://evil.example"]),
    "audience in parts": lambda pubsub, _: pubsub.token(aud=[pubsub.audience[:-1]]),
    "audience with more behind": lambda pubsub, _: pubsub.token(aud=pubsub.audience + ".evil.example"),
    "audience is no text": lambda pubsub, _: pubsub.token(aud={"a": 1}),
    "issuer with more behind": lambda pubsub, _: pubsub.token(iss="https://accounts.google.com.evil.example"),
    "issuer within another": lambda pubsub, _: pubsub.token(iss="https://evil.example/https://accounts.google.com"),
    "issuer in http": lambda pubsub, _: pubsub.token(iss="http://accounts.google.com"),
    "expired a minute ago": lambda pubsub, _: pubsub.token(iat=int(time.time()) - 3700, exp=int(time.time()) - 60),
    "valid later": lambda pubsub, _: pubsub.token(nbf=int(time.time()) + 3600),
    "expiry is no number": lambda pubsub, _: pubsub.token(exp="never"),
    "e-mail verified in words": lambda pubsub, _: pubsub.token(email_verified="true"),
    "an account with more behind": lambda pubsub, _: pubsub.token(email=f"{pubsub.service_account}.evil.example"),
    "an account in a list": lambda pubsub, _: pubsub.token(email=[pubsub.service_account]),
    "two tokens": lambda pubsub, _: f"{by_hand(pubsub, {'alg': 'none'})} {pubsub.token()}",
    "megabytes": lambda pubsub, _: "a" * 20_000 + "." + "b" * 20_000 + ".c",
}  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_no_confused_token_wakes_anybody(office: Office, evil: tuple[str, list[str]], forgery: str) -> None:
    url, asked = evil
    inbox = office.inbox("gmail")
    answer = office.push_gmail(
        office.pubsub.envelope(inbox.email_address, 7), token=FORGERIES[forgery](office.pubsub, url)
    )
    assert answer.status_code in {401, 400, 431}, answer.text  # 400: headers over the server's own bound
    assert asked == [], "a key was fetched from where the token says"
    assert office.untouched(inbox)


@pytest.mark.parametrize("scheme", ["Basic ", "bearer\t", "", "Token "])
def test_a_genuine_token_under_another_scheme_is_none(office: Office, scheme: str) -> None:
    inbox = office.inbox("gmail")
    answer = office.http.post(
        "/api/webhooks/gmail-push",
        json=office.pubsub.envelope(inbox.email_address, 7),
        headers={"Authorization": f"{scheme}{office.pubsub.token()}"},
    )
    assert answer.status_code == 401
    assert office.untouched(inbox)


def test_a_token_in_the_address_is_none(office: Office) -> None:
    inbox = office.inbox("gmail")
    body, token = office.pubsub.envelope(inbox.email_address, 7), office.pubsub.token()
    for params in ({"token": token}, {"access_token": token}):
        assert office.http.post("/api/webhooks/gmail-push", json=body, params=params).status_code == 401
    assert office.untouched(inbox)


def test_a_caught_push_that_is_played_again_wakes_nobody(office: Office) -> None:
    inbox = office.inbox("gmail")
    body, token = office.pubsub.envelope(inbox.email_address, 7, message_id=uuid.uuid4().hex), office.pubsub.token()
    for _ in range(5):
        assert office.push_gmail(body, token=token).status_code == 204
    office.woken(inbox)
    assert office.errands(inbox) == 1


def test_without_what_tells_googles_calls_from_forged_ones_none_is_taken(office: Office) -> None:
    inbox = office.inbox("gmail")
    closed = office.settings.model_copy(update={"google_pubsub_audience": "", "google_pubsub_service_account": ""})
    with TestClient(create_app(closed)) as fresh:
        for token in ("", office.pubsub.token()):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            body = office.pubsub.envelope(inbox.email_address, 7)
            assert fresh.post("/api/webhooks/gmail-push", json=body, headers=headers).status_code == 404
    assert office.untouched(inbox)


@pytest.mark.parametrize("path", ["graph-push", "graph-lifecycle"])
def test_microsofts_are_closed_where_nothing_was_registered_with_it(office: Office, path: str) -> None:
    """Nobody has them echo a text of theirs, either."""
    with TestClient(create_app(office.settings.model_copy(update={"graph_push_notification_url": ""}))) as fresh:
        echo = fresh.post(f"/api/webhooks/{path}", params={"validationToken": "anything"})
        assert (echo.status_code, "anything" in echo.text) == (404, False)
        assert fresh.post(f"/api/webhooks/{path}", json={"value": []}).status_code == 404


@pytest.mark.parametrize("path", ["gmail-push", "graph-push", "graph-lifecycle"])
def test_a_slow_body_is_let_go(office: Office, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "READ_SECONDS", 0.3)
    where = urlsplit(str(office.http.base_url))
    assert where.hostname
    with socket.create_connection((where.hostname, where.port or 80), timeout=10) as line:
        head = f"POST /api/webhooks/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n"
        line.sendall(f"{head}Authorization: Bearer {office.pubsub.token()}\r\n\r\n{{".encode())
        assert line.recv(200).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("path", ["gmail-push", "graph-push", "graph-lifecycle"])
def test_a_body_without_a_length_is_bounded_while_it_comes(office: Office, path: str) -> None:
    where = urlsplit(str(office.http.base_url))
    assert where.hostname
    with socket.create_connection((where.hostname, where.port or 80), timeout=10) as line:
        head = f"POST /api/webhooks/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
        line.sendall(f"{head}Authorization: Bearer {office.pubsub.token()}\r\n\r\n".encode())
        line.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        for _ in range(WEBHOOK_BYTES // 65_536):
            line.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        assert line.recv(200).startswith(b"HTTP/1.1 413"), "it never ends, and is answered"


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """Our API on a port of its own, as callers from many addresses reach it."""
    taken = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, args=([taken],), daemon=True)
    thread.start()
    eventually("the API listens", lambda: server.started, seconds=30)
    try:
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)


def calling_from(address: str, url: str) -> httpx.Client:
    return httpx.Client(base_url=url, transport=httpx.HTTPTransport(local_address=address), timeout=30)


def test_who_calls_too_often_holds_up_nobody_else(office: Office) -> None:
    """A flood of forgeries from forty addresses, over HTTP; Google's call comes from another one amid it."""
    inbox = office.inbox("gmail")
    settings = office.settings.model_copy(update={"webhook_limit_per_second": 1.0})

    def flood(url: str, number: int) -> Counter[int]:
        with calling_from(f"127.0.1.{number}", url) as caller:
            headers = {"Authorization": "Bearer x.y.z"}
            return Counter(
                caller.post("/api/webhooks/gmail-push", json={}, headers=headers).status_code for _ in range(10)
            )

    with served(settings) as url, ThreadPoolExecutor(8) as pool, calling_from("127.0.2.1", url) as google:
        floods = [pool.submit(flood, url, number) for number in range(1, 41)]
        answer = google.post(
            "/api/webhooks/gmail-push",
            json=office.pubsub.envelope(inbox.email_address, 7),
            headers={"Authorization": f"Bearer {office.pubsub.token()}"},
        )
        found = [one.result() for one in floods]
    assert answer.status_code == 204
    office.woken(inbox)
    for statuses in found:
        assert set(statuses) == {401, 429}
        assert statuses[401] < 10


def test_a_flood_from_many_addresses_takes_a_bounded_room_and_then_leaves_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bodies that don't come, each from an address of its own."""
    monkeypatch.setattr(webhooks, "AT_ONCE", 5)
    inbox = office.inbox("gmail")
    body, headers = office.pubsub.envelope(inbox.email_address, 7), {"Authorization": f"Bearer {office.pubsub.token()}"}
    head = b"POST /api/webhooks/gmail-push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    with served(office.settings) as url, calling_from("127.0.2.1", url) as google:
        where = urlsplit(url)
        lines = [
            socket.create_connection((str(where.hostname), where.port or 80), source_address=(f"127.0.3.{n}", 0))
            for n in range(1, 6)
        ]
        for line in lines:
            line.sendall(head)
        refused = []

        def is_full() -> bool:
            refused.append(google.post("/api/webhooks/gmail-push", content=b"", headers=headers).status_code)
            return refused[-1] == 503

        eventually("no more calls are taken", is_full, seconds=4)
        for line in lines:
            line.close()
        eventually(
            "there is room again",
            lambda: google.post("/api/webhooks/gmail-push", json=body, headers=headers).status_code == 204,
            seconds=20,
        )
    office.woken(inbox)


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        ("2001:db8::1", "2001:db8::2", False),
        ("2001:db8::1", "2001:db8:0:1::1", True),
        ("2001:db8::1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", True),
    ],
)
def test_in_ipv6_everybody_has_a_network_of_addresses(first: str, second: str, apart: bool) -> None:
    """Each has 2^64: a limit that counts every one is none."""
    one, other = (caller_of(Request({"type": "http", "client": (host, 1)})) for host in (first, second))
    guests = Guests(0.001, 1)
    assert guests.wait(one) == 0
    assert (guests.wait(other) == 0) is apart
