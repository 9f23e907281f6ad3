"""The link that lets someone connect a mailbox in a browser: signed, short-lived, and good for one tenant only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ConnectLink:
    """What is to be connected. inbox_id 0: a new inbox; otherwise that one again, with the same account.

    mailbox: the address that is wanted, "" when any is. shared: it belongs to no account of its own. paused: the new inbox
    reads nothing until it is resumed, so that it can be rehearsed first. expires: seconds since the epoch.
    """

    connection_type: str
    tenant_id: int
    expires: int
    inbox_id: int = 0
    name: str = ""
    display_name: str = ""
    mailbox: str = ""
    shared: bool = False
    paused: bool = False
    first_sync_days: int = 7
    first_sync_messages: int = 500


def sign(link: ConnectLink, signing_key: bytes) -> str:
    """The link as a token for a URL. Raises ValueError without a key."""
    if not signing_key:
        raise ValueError("a link can't be signed without a signing key")
    body = _encoded(json.dumps(asdict(link), separators=(",", ":")).encode())
    return f"{body}.{_signature(body, signing_key)}"


def read(token: str, signing_key: bytes, *, now: datetime) -> ConnectLink | None:
    """The link of a token that we signed and that has not expired, else None."""
    body, _, signature = token.partition(".")
    if not signing_key or not hmac.compare_digest(signature.encode(), _signature(body, signing_key).encode()):
        return None
    link = ConnectLink(**json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))
    return link if link.expires > now.timestamp() else None


def _signature(body: str, signing_key: bytes) -> str:
    return _encoded(hmac.new(signing_key, f"connect-link:{body}".encode(), hashlib.sha256).digest())


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
