"""JMAP for the contract suite: accounts on a Cyrus of its own."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from inboxops.ports import Account, Provider
from inboxops.providers.jmap import JmapProvider
from inboxops.providers.jmap_session import CALLS_AT_ONCE
from inboxops_lab.testing.jmapserver import DOMAIN, Cyrus, JmapClient
from inboxops_lab.testing.proxy import Proxy

_numbers = itertools.count(1)
FOLDER = "Support"  # not the inbox, which Cyrus lets nobody make anew


class JmapKit:
    def __init__(self, server: Cyrus, address: str = "") -> None:
        self.server = server
        self._number = next(_numbers)
        self._password = f"password {self._number}"
        self.address = address or f"user{self._number}@{DOMAIN}"
        server.add_user(self.address, self._password)
        self.client = JmapClient(server, self.address, self._password)
        self.proxy = Proxy(server.port)
        self.provider: Provider = JmapProvider(timeout_seconds=20, patience_seconds=1)
        self.account = Account(
            inbox_id=self._number,
            tenant_id=1,
            email_address=self.address,
            connection_type="jmap",
            connection={
                "host": server.host,
                "port": self.proxy.port,
                "url": f"https://localhost:{self.proxy.port}/jmap/",
                "ca_file": str(server.ca_file),
                "folder": FOLDER,
            },
            secrets={"username": self.address, "password": self._password},
        )
        self.junk_account: Account | None = replace(
            self.account, connection={**self.account.connection, "folder": "junk"}
        )

    def deliver(self, raw: bytes, *, when: datetime | None = None, junk: bool = False) -> None:
        self.client.add(raw, "junk" if junk else FOLDER, when=when)

    def as_served(self, raw: bytes) -> bytes:
        return raw

    def delete(self, subject: str) -> None:
        self.client.destroy([self.client.with_subject(subject, FOLDER)])

    def move_away(self, subject: str) -> None:
        self.client.move(self.client.with_subject(subject, FOLDER), "Filed")

    def move_back(self, subject: str) -> None:
        self.client.move(self.client.with_subject(subject, "Filed"), FOLDER)

    def allow_removing(self) -> Account:
        made = self.client.call("Mailbox/set", create={"new": {"name": "Bin", "role": "trash"}})
        assert made.get("created"), made
        return self.account

    def in_trash(self, subject: str) -> bool:
        listed = self.client.call("Email/get", ids=self.client.ids("trash"), properties=["subject"])["list"]
        return any(one["subject"] == subject for one in listed)

    def unread(self) -> int:
        return len(self.client.ids(FOLDER, notKeyword="$seen"))

    def expire_cursor(self) -> None:
        self.client.remake(FOLDER)

    def revoke(self) -> None:
        self.server.set_password(self.address, "quite another password")

    @contextmanager
    def throttled(self) -> Iterator[Account]:
        with asking_for_patience(self.server) as url:
            yield replace(self.account, connection={**self.account.connection, "url": url})

    def drop_after(self, size_bytes: int | None) -> None:
        """The client has four connections, and each is to break."""
        self.proxy.cut_after = None if size_bytes is None else size_bytes // CALLS_AT_ONCE

    def another(self) -> JmapKit:
        return JmapKit(self.server)

    def close(self) -> None:
        self.client.close()
        self.proxy.stop()


@contextmanager
def answering(server: Cyrus, status: int, headers: Mapping[str, str], body: bytes = b"") -> Iterator[str]:
    """The URL of a server that answers everything so, with the certificate of `server`."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not on the terminal."""

    listening = HTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate.cert_file, server.certificate.key_file)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    thread = Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{listening.server_port}/"
    finally:
        listening.shutdown()
        listening.server_close()


def asking_for_patience(server: Cyrus) -> AbstractContextManager[str]:
    """RFC 6585, 4."""
    return answering(server, 429, {"Retry-After": "30"})
