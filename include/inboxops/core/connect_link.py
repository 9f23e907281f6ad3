"""The link that lets someone connect a mailbox in a browser: signed, short-lived, and good for one tenant only."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from inboxops.core.signing import SigningKey

LONGEST = timedelta(days=1)
"""No link is good for longer, so it was made no earlier than that before it ends."""


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


def sign(link: ConnectLink, signing_key: SigningKey) -> str:
    """The link as a token for a URL. Raises ValueError without a key."""
    body = _encoded(json.dumps(asdict(link), separators=(",", ":")).encode())
    return f"{body}.{_encoded(signing_key.digest(_signed(body)))}"


def read(token: str, signing_key: SigningKey, *, now: datetime) -> ConnectLink | None:
    """The link of a token that we signed and that has not expired, else None."""
    body, _, signature = token.partition(".")
    if not _is_signed(body, signature, signing_key, made_at=None):
        return None
    link = ConnectLink(**json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))
    made_at = datetime.fromtimestamp(link.expires, UTC) - LONGEST
    return (
        link if link.expires > now.timestamp() and _is_signed(body, signature, signing_key, made_at=made_at) else None
    )


def _is_signed(body: str, signature: str, signing_key: SigningKey, *, made_at: datetime | None) -> bool:
    digests = signing_key.digests(_signed(body), made_at=made_at)
    return any(hmac.compare_digest(signature.encode(), _encoded(digest).encode()) for digest in digests)


def _signed(body: str) -> bytes:
    return f"connect-link:{body}".encode()


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
