"""Notices by webhook, signed as Standard Webhooks has it, so that a receiver checks them with a library."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import asdict

import httpx

from inboxops.core.notices import Delivery
from inboxops.errors import InvalidInput, TransientError

SECONDS = 10.0
_PREFIX = "whsec_"


def new_secret() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def post(delivery: Delivery) -> None:
    """A 2xx answer within ten seconds is a delivery; redirects are not followed. Raises TransientError for anything else."""
    body = content(delivery)
    headers = {"Content-Type": "application/json", "User-Agent": "InboxOps"}
    headers |= signature(delivery.secret, f"notice_{delivery.id}", int(time.time()), body)
    try:
        answer = httpx.post(delivery.target, content=body, headers=headers, timeout=SECONDS, trust_env=False)
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
