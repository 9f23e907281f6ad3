"""HTTP by httpx to servers that tenants name: to checked addresses, each exchange over in time, answers bounded."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

from inboxops.core.reach import Reach
from inboxops.outward.allowance import ANSWER_BYTES, Allowance
from inboxops.outward.sockets import connected

_PIECE = 16 * 1024  # bytes written under one time-out: a record of TLS
_OF_THE_LINE = (b"content-encoding", b"transfer-encoding", b"content-length")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one exchange may take. seconds: from its begin to the answer's last byte; body: bytes of that, 0 when it is not read."""

    seconds: float
    body: int = ANSWER_BYTES


class Bounded(httpx.HTTPTransport):
    """Give it to an httpx.Client, which then asks no proxy. The extension "bounds" of a request goes before `bounds`.

    reach: where servers may stand, None for wherever an operator named them. Raises InvalidInput for others, and httpx's errors:
    its time-outs for an exchange that took too long, ReadError for an answer that is too large, RemoteProtocolError for a
    compressed one: what little bytes become is known too late, so nobody is asked for it.
    """

    def __init__(self, trust: ssl.SSLContext, reach: Reach | None, bounds: Bounds, *, connections: int = 1) -> None:
        super().__init__(verify=trust)
        self._bounds, self._now = bounds, _Now()
        # httpx has no parameter for how connections are made; its pool, which is httpcore's, has.
        self._pool = httpcore.ConnectionPool(
            ssl_context=trust,
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=5.0,
            network_backend=_Backend(reach, self._now),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        bounds: Bounds = request.extensions.get("bounds", self._bounds)
        self._now.allowance = Allowance(bounds.seconds, bounds.body)
        request.headers["Accept-Encoding"] = "identity"
        response = super().handle_request(request)
        try:
            body = self._body(response) if bounds.body else b""
        finally:
            response.close()
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _OF_THE_LINE]
        return httpx.Response(response.status_code, headers=headers, content=body, extensions=response.extensions)

    def _body(self, response: httpx.Response) -> bytes:
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise httpx.RemoteProtocolError(f"an answer in {encoding[:40]!r}, for which nobody asked")
        body = bytearray()
        for piece in response.iter_raw():
            try:
                self._now.allowance.take(len(piece))
            except OSError as exc:
                raise httpx.ReadError(str(exc)) from exc
            body += piece
        return bytes(body)


class _Now(threading.local):
    """The exchange that a thread is at: it goes on in the thread that began it."""

    allowance = Allowance(0, 0)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, reach: Reach | None, now: _Now) -> None:
        self._reach, self._now = reach, now

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        with _failing(httpcore.ConnectTimeout, httpcore.ConnectError):
            line = connected(self._reach, host, port, self._now.allowance.wait(timeout))
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Stream(line, self._now)


class _Stream(httpcore.NetworkStream):
    def __init__(self, line: socket.socket, now: _Now) -> None:
        self._line, self._now = line, now

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _failing(httpcore.ReadTimeout, httpcore.ReadError):
            self._line.settimeout(self._now.allowance.wait(timeout))
            return self._line.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _failing(httpcore.WriteTimeout, httpcore.WriteError):
            for at in range(0, len(buffer), _PIECE):
                self._line.settimeout(self._now.allowance.wait(timeout))
                self._line.sendall(buffer[at : at + _PIECE])

    def close(self) -> None:
        self._line.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        with _failing(httpcore.ConnectTimeout, httpcore.ConnectError):
            try:
                self._line.settimeout(self._now.allowance.wait(timeout))
                return _Stream(ssl_context.wrap_socket(self._line, server_hostname=server_hostname), self._now)
            except BaseException:
                self.close()
                raise

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # of a connection that waits: the other side has ended it
            poll = select.poll()
            poll.register(self._line, select.POLLIN)
            return bool(poll.poll(0))
        return None


@contextmanager
def _failing(late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as exc:
        raise late(str(exc)) from exc
    except OSError as exc:
        raise broken(str(exc)) from exc
