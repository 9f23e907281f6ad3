"""A TCP proxy that can hurt: it waits, cuts connections after so many bytes, takes them and says nothing. It can end TLS, too."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time

from inboxops_lab.testing.certificates import ServerCertificate

_CHUNK = 16 * 1024


class Proxy:
    """Listens on `port` and passes everything on to a server on loopback.

    cut_after: bytes from the server after which a connection is dropped in the middle; None lets it live.
    delay_seconds: how long each answer of the server is held back.
    is_silent: takes connections and passes nothing on, as a server that hangs. All may be changed while it runs.
    holds_after: bytes from the server after which a connection hangs in the middle.
    passed: bytes from the server, of all connections: the clock of a slow link.
    """

    def __init__(self, target_port: int, *, certificate: ServerCertificate | None = None) -> None:
        self._target_port = target_port
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate.cert_file, certificate.key_file)
        self.cut_after: int | None = None
        self.delay_seconds = 0.0
        self.is_silent = False
        self.holds_after: int | None = None
        self.connections = self.passed = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def drop_all(self) -> None:
        """Cut every connection, as when a firewall or the server dies."""
        for open_socket in list(self._open):
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(client)
            if self.is_silent:
                self._open.add(client)
                stack.callback(self._open.discard, client)
                while client.recv(_CHUNK):
                    """Until the other side has enough."""
                return
            if self._context is not None:
                client = stack.enter_context(self._context.wrap_socket(client, server_side=True))
            server = stack.enter_context(socket.create_connection(("127.0.0.1", self._target_port)))
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open |= {client, server}
            stack.callback(self._open.difference_update, {client, server})
            self._relay(client, server)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        """One thread for both directions: a TLS socket must not be read and written by two at once."""
        passed = 0
        while True:
            for source in _readable(client, server):
                data = source.recv(_CHUNK)
                if not data:
                    return
                if source is client:
                    server.sendall(data)
                    continue
                time.sleep(self.delay_seconds)
                cut = self.cut_after
                if cut is not None and passed + len(data) > cut:
                    client.sendall(data[: max(0, cut - passed)])
                    return
                hold = self.holds_after
                if hold is not None and passed + len(data) > hold:
                    client.sendall(data[: max(0, hold - passed)])
                    while client.recv(_CHUNK):
                        """Until the other side has enough."""
                    return
                client.sendall(data)
                passed += len(data)
                self.passed += len(data)


def _readable(*sockets: socket.socket) -> list[socket.socket]:
    waiting: list[socket.socket] = [each for each in sockets if isinstance(each, ssl.SSLSocket) and each.pending()]
    return waiting or select.select(sockets, [], [])[0]
