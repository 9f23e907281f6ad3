"""Sealed credentials of inboxes that live on a consent: renewed by one process at a time, forgotten when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from inboxops.db.database import Database, Transaction


class CredentialStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def held(self, inbox_id: int) -> Iterator[HeldCredentials]:
        """The credentials while no other process renews them; what is saved is committed at the end.

        Raises TransientError when the database is away.
        """
        with self._database.transaction() as t:
            t.rows("hold_credentials", inbox_id=inbox_id)
            yield HeldCredentials(t, inbox_id)

    def forget(self, inbox_id: int) -> None:
        with self._database.transaction() as t:
            t.run("forget_credentials", inbox_id=inbox_id)

    def reseal(self, rotate: Callable[[bytes], bytes]) -> int:
        """Seal each inbox's anew, none while its token is renewed: what came of that would be lost. Returns how many."""
        with self._database.transaction() as t:
            ids = [row["id"] for row in t.rows("with_credentials")]
        for inbox_id in ids:
            with self.held(inbox_id) as held:
                if sealed := held.read():
                    held.save(rotate(sealed))
        return len(ids)

    def account_is_shared(self, tenant_id: int, inbox_id: int) -> bool:
        """Whether another inbox, of any tenant, lives on the same consent as this one of the tenant's."""
        with self._database.transaction(tenant_id=tenant_id) as t:
            return bool(t.value("account_is_shared", inbox_id=inbox_id))

    def inbox_of_account(self, tenant_id: int, connection_type: str, account_id: str, mailbox: str) -> int | None:
        """The tenant's inbox for this account and shared mailbox ("" for its own), None when there is none."""
        with self._database.transaction() as t:
            found: int | None = t.value(
                "inbox_of_account",
                tenant_id=tenant_id,
                connection_type=connection_type,
                account_id=account_id,
                mailbox=mailbox,
            )
            return found


class HeldCredentials:
    """One inbox's, within the transaction that holds the lock."""

    def __init__(self, transaction: Transaction, inbox_id: int) -> None:
        self._transaction = transaction
        self._inbox_id = inbox_id
        self._before: bytes | None = None

    def read(self) -> bytes | None:
        """As they stand now: a reconnect takes no lock."""
        self._before = self._transaction.value("credentials", id=self._inbox_id)
        return self._before

    def save(self, sealed: bytes) -> None:
        """In place of those that were read; those of a reconnect that came meanwhile are newer and stay."""
        self._transaction.run("replace_credentials", inbox_id=self._inbox_id, credentials=sealed, before=self._before)
