"""Credentials at rest: a mapping of secrets sealed with MultiFernet, opened by any of the keys, sealed by the first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from inboxops.errors import OperatorError

_REMEMBERED = 4096  # credentials that a process keeps open: a poll decrypts only what has changed
_FIX = "Set INBOXOPS_CREDENTIAL_KEYS to comma-separated Fernet keys; make one with `openssl rand -base64 32`"


class Vault:
    """Seals and opens credentials. Neither keys nor secrets show in its repr or in its errors."""

    def __init__(self, keys: str) -> None:
        """keys: comma-separated Fernet keys (32 bytes, base64); to rotate, put the new one in front.

        Raises OperatorError when there is none or one is malformed.
        """
        listed = [key.strip() for key in keys.split(",") if key.strip()]
        if not listed:
            raise OperatorError("there is no key for the credentials", fix=_FIX)
        try:
            self._fernet = MultiFernet([Fernet(_urlsafe(key)) for key in listed])
        except ValueError:
            # `from None`: the library's error could quote the key.
            raise OperatorError("a key for the credentials is not 32 bytes in base64", fix=_FIX) from None
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._opened)

    def seal(self, secrets: Mapping[str, str]) -> bytes:
        """What the database stores."""
        return self._fernet.encrypt(json.dumps(dict(secrets), ensure_ascii=False).encode("utf-8"))

    def open(self, sealed: bytes) -> dict[str, str]:
        """The secrets. Raises OperatorError when none of the keys sealed them, or they were changed since."""
        return dict(self._remembered(bytes(sealed)))

    def _opened(self, sealed: bytes) -> dict[str, str]:
        try:
            opened = json.loads(self._fernet.decrypt(sealed))
        except InvalidToken as exc:
            raise self._locked() from exc
        return {str(name): str(value) for name, value in opened.items()}

    def rotate(self, sealed: bytes) -> bytes:
        """The same secrets sealed with the first key. Raises OperatorError as `open` does."""
        try:
            return self._fernet.rotate(bytes(sealed))
        except InvalidToken as exc:
            raise self._locked() from exc

    def _locked(self) -> OperatorError:
        return OperatorError(
            "stored credentials open with none of the keys",
            fix="Add the key they were sealed with to INBOXOPS_CREDENTIAL_KEYS, or enter the credentials again",
        )


def _urlsafe(key: str) -> bytes:
    """Fernet wants the URL-safe alphabet; `openssl rand -base64` writes the other one."""
    return key.replace("+", "-").replace("/", "_").encode("utf-8")
