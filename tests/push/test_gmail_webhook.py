"""Only Google wakes Gmail inboxes: everything else is refused, and nothing follows."""

from __future__ import annotations

import hmac
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi.testclient import TestClient
from jwt.utils import base64url_encode

from api.app import create_app
from api.limits import WEBHOOK_BYTES
from inboxops.errors import OperatorError
from inboxops.settings import Settings
from inboxops_local.standins.http import Fault
from inboxops_local.standins.pubsub import ISSUER, PubSub
from tests.push.conftest import Office

OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def claims(pubsub: PubSub) -> dict[str, Any]:
    return jwt.decode(pubsub.token(), options={"verify_signature": False})


def with_another_key(pubsub: PubSub) -> str:
    return jwt.encode(claims(pubsub), OTHER_KEY, algorithm="RS256", headers={"kid": pubsub.key_id})


def with_an_unknown_key(pubsub: PubSub) -> str:
    return jwt.encode(claims(pubsub), OTHER_KEY, algorithm="RS256", headers={"kid": uuid.uuid4().hex})


def without_a_signature(pubsub: PubSub) -> str:
    return jwt.encode(claims(pubsub), None, algorithm="none", headers={"kid": pubsub.key_id})


def signed_with_the_public_key_as_a_secret(pubsub: PubSub) -> str:
    public = pubsub.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head = json.dumps({"alg": "HS256", "typ": "JWT", "kid": pubsub.key_id}).encode()
    signed = b".".join(base64url_encode(part) for part in (head, json.dumps(claims(pubsub)).encode()))
    return b".".join([signed, base64url_encode(hmac.digest(public, signed, "sha256"))]).decode()


def changed_after_signing(pubsub: PubSub) -> str:
    head, _, signature = pubsub.token().split(".")
    _, body, _ = pubsub.token(exp=int(time.time()) + 10**6).split(".")
    return f"{head}.{body}.{signature}"


FORGERIES: dict[str, Callable[[PubSub], str]] = {
    "wrong key": with_another_key,
    "unknown key": with_an_unknown_key,
    "alg none": without_a_signature,
    "HS256": signed_with_the_public_key_as_a_secret,
    "changed": changed_after_signing,
    "wrong audience": lambda pubsub: pubsub.token(aud="https://elsewhere.example"),
    "no audience": lambda pubsub: pubsub.token(aud=None),
    "other issuer": lambda pubsub: pubsub.token(iss="https://accounts.example"),
    "expired": lambda pubsub: pubsub.token(iat=int(time.time()) - 7200, exp=int(time.time()) - 3600),
    "without expiry": lambda pubsub: pubsub.token(exp=None),
    "not yet issued": lambda pubsub: pubsub.token(iat=int(time.time()) + 3600, exp=int(time.time()) + 7200),
    "other service account": lambda pubsub: pubsub.token(email="other@stand-in.iam.gserviceaccount.com"),
    "no e-mail": lambda pubsub: pubsub.token(email=None),
    "unverified e-mail": lambda pubsub: pubsub.token(email_verified=False),
    "none": lambda pubsub: "",
    "nonsense": lambda pubsub: "a.b.c",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_token_is_refused_and_nothing_is_woken(office: Office, forgery: str) -> None:
    inbox = office.inbox("gmail")
    token = FORGERIES[forgery](office.pubsub)
    answer = office.push_gmail(office.pubsub.envelope(inbox.email_address, 7), token=token)
    assert answer.status_code == 401
    assert "token" not in answer.text
    assert office.untouched(inbox)


def test_a_genuine_push_wakes_every_inbox_of_the_address_whichever_tenant(office: Office) -> None:
    mine = office.inbox("gmail")
    other = f"o{uuid.uuid4().hex[:12]}"
    office.world.inboxes.add_tenant(other, "Other Ltd")
    theirs = office.inbox("gmail", address=mine.email_address, tenant=other)
    stranger = office.inbox("gmail")
    answer = office.push_gmail(office.pubsub.envelope(mine.email_address.upper(), 7))
    assert (answer.status_code, answer.content) == (204, b"")
    office.woken(mine)
    office.woken(theirs)
    assert office.untouched(stranger)
    assert office.channel(mine).last_push_at is not None


def test_a_message_that_is_delivered_again_wakes_nobody(office: Office) -> None:
    inbox = office.inbox("gmail")
    body = office.pubsub.envelope(inbox.email_address, 7, message_id=uuid.uuid4().hex)
    assert office.push_gmail(body).status_code == 204
    office.woken(inbox)
    assert office.push_gmail(body).status_code == 204
    assert office.push_gmail(body, token=office.pubsub.token(iat=int(time.time()) - 5)).status_code == 204
    assert office.errands(inbox) == 1


def test_an_address_that_is_nobodys_is_acknowledged_and_leaves_nothing(office: Office) -> None:
    receipt = uuid.uuid4().hex
    body = office.pubsub.envelope("nobody@elsewhere.example", 7, message_id=receipt)
    assert office.push_gmail(body).status_code == 204
    assert office.query("SELECT receipt FROM push_receipts WHERE receipt = %s", f"gmail:{receipt}") == []


@pytest.mark.parametrize("state", ["paused", "disconnected", "removed"])
def test_an_inbox_that_is_not_read_is_not_woken(office: Office, state: str) -> None:
    inbox = office.inbox("gmail")
    if state == "paused":
        office.world.inboxes.pause(inbox.id, paused=True)
    elif state == "disconnected":
        office.world.inboxes.disconnect(inbox, OperatorError("gone"))
    else:
        office.world.inboxes.remove(inbox.id)
    assert office.push_gmail(office.pubsub.envelope(inbox.email_address, 7)).status_code == 204
    assert office.errands(inbox) == 0


UNREADABLE: dict[str, bytes] = {
    "no JSON": b"{",
    "nothing": b"",
    "no object": b"[]",
    "deep": b"[" * 100_000,
    "no message": b"{}",
    "message is a list": b'{"message": []}',
    "no data": b'{"message": {"messageId": "1"}}',
    "no base64": b'{"message": {"messageId": "1", "data": "%%%"}}',
    "cut base64": b'{"message": {"messageId": "1", "data": "eyJhI"}}',
    "no JSON within": b'{"message": {"messageId": "1", "data": "bm90IGpzb24="}}',
    "no address": b'{"message": {"messageId": "1", "data": "e30="}}',
    "no id": b'{"message": {"data": "eyJlbWFpbEFkZHJlc3MiOiAiYUBiLmMifQ=="}}',
    "NUL in id": b'{"message": {"messageId": "a\\u0000", "data": "eyJlbWFpbEFkZHJlc3MiOiAiYUBiLmMifQ=="}}',
    "surrogate in id": b'{"message": {"messageId": "a\\ud800", "data": "eyJlbWFpbEFkZHJlc3MiOiAiYUBiLmMifQ=="}}',
}


def post(office: Office, content: bytes, content_type: str = "application/json", **headers: str) -> httpx.Response:
    authorization = {"Authorization": f"Bearer {office.pubsub.token()}", "Content-Type": content_type}
    return office.http.post("/api/webhooks/gmail-push", content=content, headers=authorization | headers)


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_can_not_be_read_is_refused(office: Office, what: str) -> None:
    assert post(office, UNREADABLE[what]).status_code == 400


def test_only_json_of_a_bounded_size_is_taken(office: Office) -> None:
    assert post(office, b"{}", "text/plain").status_code == 415
    assert post(office, b"x" * (WEBHOOK_BYTES + 1)).status_code == 413
    assert office.http.get("/api/webhooks/gmail-push").status_code == 405


def test_googles_keys_are_asked_for_once(office: Office) -> None:
    """The token of the first push may have been the first of all; no other one asks, forged ones included."""
    inbox = office.inbox("gmail")
    office.push_gmail(office.pubsub.envelope(inbox.email_address, 1))
    office.gmail.stand_in.requests.clear()
    for number in range(3):
        assert office.push_gmail(office.pubsub.envelope(inbox.email_address, number)).status_code == 204
        assert office.push_gmail({}, token=with_an_unknown_key(office.pubsub)).status_code == 401
    asked = [line for line in office.gmail.stand_in.requests if "certs" in line]
    assert len(asked) <= 1  # an unknown key may make it look once in 30 seconds


def test_while_googles_keys_are_away_pushes_are_to_come_again(office: Office) -> None:
    inbox = office.inbox("gmail")
    office.gmail.stand_in.fail(Fault("certs", status=500, times=100))
    with TestClient(create_app(office.settings)) as fresh:
        headers = {"Authorization": f"Bearer {office.pubsub.token()}"}
        body = office.pubsub.envelope(inbox.email_address, 7)
        answer = fresh.post("/api/webhooks/gmail-push", json=body, headers=headers)
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers
        assert office.untouched(inbox)
        office.gmail.stand_in.heal()
        assert fresh.post("/api/webhooks/gmail-push", json=body, headers=headers).status_code == 204
    assert office.errands(inbox) == 1


@pytest.mark.parametrize(
    ("changed", "starts"),
    [
        ({"google_pubsub_audience": ""}, False),
        ({"google_pubsub_service_account": ""}, False),
        ({}, True),
        ({"google_pubsub_audience": "", "google_pubsub_service_account": ""}, True),
    ],
)
def test_the_api_does_not_start_where_forged_pushes_would_pass(
    office: Office, changed: dict[str, object], starts: bool
) -> None:
    app = create_app(Settings.model_copy(office.settings, update=changed))
    if starts:
        with TestClient(app) as client:
            assert client.get("/livez").status_code == 200
    else:
        with pytest.raises(OperatorError, match="INBOXOPS_GOOGLE_PUBSUB_AUDIENCE"), TestClient(app):
            pass


def test_the_issuer_may_be_written_without_its_scheme(office: Office) -> None:
    inbox = office.inbox("gmail")
    token = office.pubsub.token(iss=ISSUER.removeprefix("https://"))
    assert office.push_gmail(office.pubsub.envelope(inbox.email_address, 7), token=token).status_code == 204
    office.woken(inbox)
