"""The key that we sign with, and those that it replaced: what these signed before goes on being ours.

A key that was replaced may have leaked, so it counts for nothing that says it was made after its end: a session or a link that
ends by itself ends as it would have, and nobody makes new ones with it. What bears no time (ids, markers) counts until the
key is forgotten.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Replaced:
    """A key that signs no more. until: when the last process ceased to sign with it."""

    secret: bytes = field(repr=False)
    until: datetime


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An empty key signs and verifies nothing."""

    current: bytes = field(default=b"", repr=False)
    previous: tuple[Replaced, ...] = ()

    def digest(self, text: bytes) -> bytes:
        """HMAC-SHA256 with the key of now (RFC 2104). Raises ValueError without one."""
        if not self.current:
            raise ValueError("nothing can be signed without a signing key")
        return hmac.digest(self.current, text, hashlib.sha256)

    def digests(self, text: bytes, *, made_at: datetime | None = None) -> Iterator[bytes]:
        """What a signature of ours over the text may be. made_at: when the text says that it was made."""
        for secret in self.secrets(made_at=made_at):
            yield hmac.digest(secret, text, hashlib.sha256)

    def secrets(self, *, made_at: datetime | None = None) -> Iterator[bytes]:
        """The keys that may have signed it, the one of now first."""
        if self.current:
            yield self.current
        for one in self.previous:
            if made_at is None or made_at <= one.until:
                yield one.secret


NO_KEY = SigningKey()


def read(current: str, previous: str) -> SigningKey:
    """As settings have them. previous: comma-separated `KEY@UNTIL`, UNTIL in ISO 8601. Raises ValueError, which quotes no key."""
    replaced = []
    for entry in filter(None, map(str.strip, previous.split(","))):
        secret, _, until = entry.rpartition("@")
        try:
            moment = datetime.fromisoformat(until)
        except ValueError:
            raise ValueError("a key that was replaced needs its end: KEY@2030-01-31T12:00:00Z") from None
        if not secret:
            raise ValueError("there is an end without a key before its @")
        replaced.append(Replaced(secret.encode(), moment if moment.tzinfo else moment.replace(tzinfo=UTC)))
    return SigningKey(current.encode(), tuple(replaced))


def replace(current: str, previous: str, *, until: datetime) -> str:
    """What `previous` becomes when another key takes the place of `current`. Raises ValueError for one that can't stand there."""
    if "," in current or current != current.strip():
        raise ValueError("a key with a comma or white space around it can't be kept as a previous one")
    return ",".join(filter(None, (f"{current}@{until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", previous)))
