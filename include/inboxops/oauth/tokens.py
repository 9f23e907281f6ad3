"""Access tokens of one inbox: from memory, from the database, or renewed, with one process renewing at a time.

A refresh token may be good for one use only, so the new one is stored in the same transaction that holds the lock, and a
refusal counts only when the stored one is still the one that was refused.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Protocol

from inboxops.errors import AuthenticationFailed
from inboxops.ports import AccessToken, ConsentClient

EARLY = timedelta(minutes=5)
"""A token is renewed so long before it expires: long enough for a call that is under way."""


class Held(Protocol):
    """An inbox's credentials while no other process may renew them."""

    def read(self) -> bytes | None:
        """As they stand now, also when a reconnect, which takes no lock, changed them a moment ago."""
        ...

    def save(self, sealed: bytes) -> None: ...


class TokenStore(Protocol):
    def held(self, inbox_id: int) -> AbstractContextManager[Held]: ...


class Seal(Protocol):
    def seal(self, secrets: Mapping[str, str]) -> bytes: ...

    def open(self, sealed: bytes) -> dict[str, str]: ...


class StoredTokens:
    """The TokenSource of an inbox. Safe for several threads."""

    def __init__(
        self, inbox_id: int, secrets: Mapping[str, str], *, client: ConsentClient, store: TokenStore, seal: Seal
    ) -> None:
        self._inbox_id = inbox_id
        self._client, self._store, self._seal = client, store, seal
        self._token = client.current(secrets)
        self._lock = threading.Lock()

    def access_token(self, *, refused: str = "") -> AccessToken:
        with self._lock:
            if not _serves(self._token, refused):
                self._token = self._renewed(refused)
            assert self._token is not None
            return self._token

    def _renewed(self, refused: str) -> AccessToken:
        with self._store.held(self._inbox_id) as held:
            secrets = self._open(held)
            token = self._client.current(secrets)
            if token is not None and _serves(token, refused):
                return token  # another process renewed it
            try:
                renewed, token = self._client.renew(secrets)
            except AuthenticationFailed:
                again = self._open(held)
                if again == secrets:
                    raise
                renewed, token = self._client.renew(again)
            held.save(self._seal.seal(renewed))
            return token

    def _open(self, held: Held) -> dict[str, str]:
        sealed = held.read()
        if sealed is None:
            raise AuthenticationFailed("the inbox has no credentials", fix="Connect it again")
        return self._seal.open(sealed)


def _serves(token: AccessToken | None, refused: str) -> bool:
    return token is not None and token.value != refused and token.expires_at - datetime.now(UTC) > EARLY
