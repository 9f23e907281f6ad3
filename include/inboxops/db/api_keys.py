"""API keys: made once and shown once; the database keeps a prefix to find each by and a hash of its secret. Links and sessions of
the tickets page stand for a key; of them too it keeps hashes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from inboxops.db.database import Database, Row
from inboxops.errors import NotFound

ROLES = ("agent", "admin")
_MARK = "io"
_PREFIX_BYTES, _SECRET_BYTES = 6, 32


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds a key: what it may do, and for whom."""

    key_id: int
    tenant_id: int
    name: str
    role: str
    prefix: str

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"


class ApiKeyStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, tenant_id: int, *, name: str, role: str) -> str:
        """A new key, which nobody can read again."""
        prefix, secret = secrets.token_hex(_PREFIX_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
        with self._database.transaction() as t:
            t.run("add_api_key", tenant_id=tenant_id, name=name, role=role, prefix=prefix, key_hash=_hash(secret))
        return f"{_MARK}_{prefix}_{secret}"

    def all(self, tenant: str | None) -> list[Row]:
        with self._database.transaction() as t:
            return t.rows("api_keys", tenant=tenant)

    def revoke(self, prefix: str) -> None:
        """Raises NotFound for a prefix that no working key has."""
        with self._database.transaction() as t:
            if not t.run("revoke_api_key", prefix=prefix.removeprefix(f"{_MARK}_")):
                raise NotFound(f"there is no working key {prefix!r}", fix="`inboxops key list` shows them")

    def caller(self, key: str) -> Caller | None:
        """Who calls with this key; None when it is no working one. A hash is enough: the secret has 256 random bits."""
        mark, _, rest = key.partition("_")
        prefix, _, secret = rest.partition("_")
        if mark != _MARK or not secret or not prefix.isalnum() or not key.isascii():
            return None
        with self._database.transaction() as t:
            row = t.row("find_api_key", prefix=prefix)
            if row is None or not hmac.compare_digest(bytes(row["key_hash"]), _hash(secret)):
                return None
        return _caller(row)

    def add_link(self, tenant_id: int, *, name: str, role: str, minutes: int) -> str:
        """A text that logs in once, for the key of that name, which is made when there is none."""
        link = secrets.token_urlsafe(_SECRET_BYTES)
        with self._database.transaction() as t:
            key_id = t.value("key_of_name", tenant_id=tenant_id, name=name, role=role)
            if key_id is None:
                prefix, secret = secrets.token_hex(_PREFIX_BYTES), secrets.token_bytes(_SECRET_BYTES)
                key_hash = hashlib.sha256(secret).digest()  # nobody knows the secret: it opens through links only
                key_id = t.value(
                    "add_api_key", tenant_id=tenant_id, name=name, role=role, prefix=prefix, key_hash=key_hash
                )
            t.run("add_login_link", tenant_id=tenant_id, key_id=key_id, link_hash=_hash(link), minutes=minutes)
        return link

    def use_link(self, link: str) -> Caller | None:
        """Whoever the link was made for; None for one that was used, is too old, or never was."""
        with self._database.transaction() as t:
            row = t.row("use_login_link", link_hash=_hash(link))
        return None if row is None else _caller(row)

    def begin_session(self, caller: Caller, *, seconds: int) -> str:
        """A text that stands for the caller's key for so long, or until the session or the key ends."""
        token = secrets.token_urlsafe(_SECRET_BYTES)
        with self._database.transaction(tenant_id=caller.tenant_id) as t:
            t.run(
                "add_session",
                tenant_id=caller.tenant_id,
                key_id=caller.key_id,
                token_hash=_hash(token),
                seconds=seconds,
            )
        return token

    def caller_in(self, session: str) -> Caller | None:
        """Whose session it is; None for one that ended, is too old, or never was."""
        with self._database.transaction() as t:
            row = t.row("find_session", token_hash=_hash(session))
        return None if row is None else _caller(row)

    def end_session(self, caller: Caller, session: str) -> None:
        """From now on it is nobody's, whoever has a copy."""
        with self._database.transaction(tenant_id=caller.tenant_id) as t:
            t.run("end_session", token_hash=_hash(session))

    def note_use(self, caller: Caller) -> None:
        """At most once a minute, so that reading stays reading."""
        with self._database.transaction(tenant_id=caller.tenant_id) as t:
            t.run("note_api_key_use", id=caller.key_id)


def _caller(row: Row) -> Caller:
    return Caller(row["id"], row["tenant_id"], row["name"], row["role"], row["prefix"])


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
