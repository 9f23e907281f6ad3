"""Notices by webhook, signed as Standard Webhooks has it, so that a receiver checks them with a library."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import ssl
import time
from dataclasses import asdict
from urllib.parse import urlsplit

import httpx

from inboxops.core.notices import Delivery
from inboxops.core.reach import Reach
from inboxops.errors import InvalidInput, TransientError
from inboxops.outward.http import Bounded, Bounds
from inboxops.outward.sockets import addresses

BOUNDS = Bounds(seconds=10.0, body=0)
_PREFIX = "whsec_"


def new_secret() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check(reach: Reach, url: str) -> None:
    """Raises InvalidInput for what is no URL of a webhook or leads out of reach, TransientError for a name that leads nowhere."""
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.scheme in ("https", "http") else None
    except ValueError:
        host = None
    if not host:
        raise InvalidInput(f"{url!r} is no URL of a webhook", fix="It begins with https://")
    try:
        addresses(reach, host)
    except OSError as exc:
        raise TransientError(f"the host name {host!r} is unknown") from exc


def post(reach: Reach, delivery: Delivery) -> None:
    """A 2xx answer within ten seconds is a delivery, whatever else is in it; redirects are not followed.

    Raises TransientError for anything else, and InvalidInput for a host out of reach.
    """
    body = content(delivery)
    headers = {"Content-Type": "application/json", "User-Agent": "InboxOps"}
    headers |= signature(delivery.secret, f"notice_{delivery.id}", int(time.time()), body)
    try:
        transport = Bounded(ssl.create_default_context(), reach, BOUNDS)
        with httpx.Client(transport=transport, timeout=BOUNDS.seconds, trust_env=False) as http:
            answer = http.post(delivery.target, content=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise TransientError(f"the webhook can't be reached: {type(exc).__name__}: {exc}") from exc
    if not answer.is_success:
        raise TransientError(f"the webhook answered {answer.status_code}")


def content(delivery: Delivery) -> bytes:
    """The JSON that is signed: {"type": "inboxops.notices", "timestamp", "data": {"tenant", "notices": [...]}}."""
    notices = [
        asdict(notice) | {"at": notice.at.isoformat(), "title": notice.title, "fix": notice.fix}
        for notice in delivery.notices
    ]
    document = {
        "type": "inboxops.notices",
        "timestamp": delivery.created_at.isoformat(),
        "data": {"tenant": delivery.tenant, "notices": notices},
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def signature(secret: str, id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers. The timestamp is signed, too: receivers refuse what is minutes old, so nothing can be played again.

    secret: one, or several with white space between them: a signature with each, of which a receiver needs one to be right
    (Standard Webhooks, "Signature scheme": while a secret is changed). Raises InvalidInput for what is no secret of ours.
    """
    try:
        keys = [base64.b64decode(one.removeprefix(_PREFIX), validate=True) for one in secret.split()]
    except ValueError as exc:
        raise InvalidInput("the webhook's secret is none of ours", fix="Add the webhook again") from exc
    digests = [hmac.digest(key, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256) for key in keys]
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }
