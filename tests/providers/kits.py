"""What the contract suite needs of each kind of mailbox: an account on a real server, and ways to change its mail.

Another provider joins with one class and one line in `conftest.KITS`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from imapclient import IMAPClient

from inboxops.ports import Account, Provider
from inboxops.providers.imap import ImapProvider
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.proxy import Proxy
from tests.scripted import ScriptedImap

_numbers = itertools.count(1)


class Kit(Protocol):
    """One mailbox on a real server, empty at first. Subjects name messages, and each is used once."""

    provider: Provider
    account: Account
    junk_account: Account | None
    """The same mailbox's spam folder, or None where the server has no such thing."""

    def deliver(self, raw: bytes, *, when: datetime | None = None, junk: bool = False) -> None: ...

    def as_served(self, raw: bytes) -> bytes:
        """What this server makes of a message: the bytes themselves, if it is any good."""
        ...

    def delete(self, subject: str) -> None: ...

    def move_away(self, subject: str) -> None:
        """Another client files the message in a folder that isn't read."""
        ...

    def move_back(self, subject: str) -> None: ...

    def allow_removing(self) -> Account:
        """The account with whatever right removing needs beyond reading."""
        ...

    def in_trash(self, subject: str) -> bool: ...

    def unread(self) -> int:
        """How many messages of the folder nobody has read."""
        ...

    def expire_cursor(self) -> None:
        """Whatever cursor was stored means nothing any more."""
        ...

    def revoke(self) -> None:
        """The stored credentials are refused from now on."""
        ...

    def throttled(self) -> AbstractContextManager[Account]:
        """An account whose server asks for patience."""
        ...

    def drop_after(self, size_bytes: int | None) -> None:
        """Each further connection breaks after so many bytes from the server; None ends this."""
        ...

    def another(self) -> Kit:
        """A second mailbox on the same server."""
        ...

    def close(self) -> None: ...


class ImapKit:
    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._number = next(_numbers)
        self._user = f"user{self._number}@example.org"
        server.add_user(self._user, f"password {self._number}")
        server.create_folder(self._user, "Filed")
        server.create_folder(self._user, "Junk")
        self._proxy = Proxy(server.port_imaps)
        self.provider: Provider = ImapProvider(connect_seconds=10, read_seconds=20)
        self.account = Account(
            inbox_id=self._number,
            tenant_id=1,
            email_address=self._user,
            connection_type="imap",
            connection={"host": server.host, "port": self._proxy.port, "ca_file": server.ca_file},
            secrets={"username": self._user, "password": f"password {self._number}"},
        )
        junk = replace(self.account, connection={**self.account.connection, "folder": "Junk"})
        self.junk_account = junk if server.name == "dovecot" else None

    def deliver(self, raw: bytes, *, when: datetime | None = None, junk: bool = False) -> None:
        self._server.append(self._user, raw, folder="Junk" if junk else "INBOX", when=when)

    def as_served(self, raw: bytes) -> bytes:
        return raw if self._server.name == "dovecot" else raw.replace(b"\r\n", b"\n")

    def client(self) -> AbstractContextManager[IMAPClient]:
        """Another program that uses the mailbox."""
        return self._server.client(self._user)

    def delete(self, subject: str) -> None:
        with self._server.client(self._user) as client:
            client.select_folder("INBOX")
            client.delete_messages(client.search(["SUBJECT", subject]))
            client.expunge()

    def move_away(self, subject: str) -> None:
        self._move(subject, "INBOX", "Filed")

    def move_back(self, subject: str) -> None:
        self._move(subject, "Filed", "INBOX")

    def _move(self, subject: str, source: str, target: str) -> None:
        with self._server.client(self._user) as client:
            client.select_folder(source)
            client.move(client.search(["SUBJECT", subject]), target)

    def allow_removing(self) -> Account:
        self._server.create_folder(self._user, "Trash")
        return self.account

    def in_trash(self, subject: str) -> bool:
        with self.client() as client:
            client.select_folder("Trash", readonly=True)
            return bool(client.search(["SUBJECT", subject]))

    def unread(self) -> int:
        with self._server.client(self._user) as client:
            return int(client.folder_status("INBOX", ["UNSEEN"])[b"UNSEEN"])

    def expire_cursor(self) -> None:
        self._server.change_uid_validity(self._user)

    def revoke(self) -> None:
        self._server.add_user(self._user, "quite another password")

    @contextmanager
    def throttled(self) -> Iterator[Account]:
        with ScriptedImap({"LOGIN": "{tag} NO [LIMIT] Too many connections, slow down"}) as scripted:
            connection = {"host": "127.0.0.1", "port": scripted.port, "security": "plain"}
            yield replace(self.account, connection=connection)

    def drop_after(self, size_bytes: int | None) -> None:
        self._proxy.cut_after = size_bytes

    def another(self) -> ImapKit:
        return ImapKit(self._server)

    def close(self) -> None:
        self._proxy.stop()
