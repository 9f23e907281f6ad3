"""imapclient as we need it on the wire: checked addresses, an allowance for each exchange, and lines that leave without delay."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

from imapclient import IMAPClient, SocketTimeout
from imapclient.imap4 import IMAP4WithTimeout
from imapclient.tls import IMAP4_TLS

from inboxops.core.reach import Reach
from inboxops.outward.allowance import ANSWER_BYTES, Allowance
from inboxops.outward.sockets import connected

if TYPE_CHECKING:
    from io import BufferedReader

_LONGEST_LINE = 1_000_000  # bytes, as in imaplib
_PACKET = 64 * 1024


class _Timed:
    """Puts an allowance before imaplib's ways to connect, read and send, which it means to be overridden."""

    sock: socket.socket
    file: BufferedReader
    host: str
    port: int

    def __init__(self, *arguments: Any, allowance: Allowance, reach: Reach | None, connect_seconds: float) -> None:
        self.allowance = allowance
        self._reach, self._connect_seconds = reach, connect_seconds
        super().__init__(*arguments, connect_seconds)  # type: ignore[call-arg]

    def _create_socket(self, timeout: float | None = None) -> socket.socket:
        return connected(self._reach, self.host, self.port, self._connect_seconds)

    def readline(self) -> bytes:
        line = self.allowance.line(self.sock, self.file, _LONGEST_LINE + 1)
        if len(line) > _LONGEST_LINE:
            raise ValueError(f"a line of more than {_LONGEST_LINE} bytes")
        return line

    def read(self, size: int) -> bytes:
        return self.allowance.content(self.sock, self.file, size)

    def send(self, data: bytes) -> None:
        for at in range(0, len(data), _PACKET):
            self.sock.settimeout(self.allowance.wait())
            super().send(data[at : at + _PACKET])  # type: ignore[misc]


class _Plain(_Timed, IMAP4WithTimeout):  # type: ignore[misc]
    """Without TLS, or before STARTTLS."""


class _Tls(_Timed, IMAP4_TLS):  # type: ignore[misc]
    """TLS from the first byte, with who has the name."""

    ssl_context: ssl.SSLContext

    def _create_socket(self, timeout: float | None = None) -> socket.socket:
        return self.ssl_context.wrap_socket(super()._create_socket(timeout), server_hostname=self.host)


class TimedClient(IMAPClient):  # type: ignore[misc]
    """Connected when it is made. Times are seconds; `allow` gives the next exchange what it may take, the greeting has its own.

    context: None for a connection that begins in plain text. Raises InvalidInput for a server out of `reach`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        *,
        reach: Reach | None,
        connect_seconds: float,
        read_seconds: float,
        greeting_seconds: float,
    ) -> None:
        self._reach, self._greeting = reach, Allowance(greeting_seconds, ANSWER_BYTES, pause=connect_seconds)
        timeout = SocketTimeout(connect=connect_seconds, read=read_seconds)
        super().__init__(host, port, ssl=context is not None, ssl_context=context, timeout=timeout)
        self.normalise_times = False
        # imapclient turns imaplib's tracing on for its own logger, which formats every literal it reads: a 60 MB message
        # would be held three more times.
        self._imap.debug = 0
        # imaplib sends a line and its end apart: with Nagle's algorithm each such command waits 40 ms for an ACK.
        self.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def allow(self, seconds: float, size: int = ANSWER_BYTES) -> None:
        """What is said from now on has to be over in so many seconds and bytes, else TimeoutError or OSError."""
        self._imap.allowance = Allowance(seconds, size, pause=self._timeout.read)

    def starttls(self, ssl_context: ssl.SSLContext | None = None) -> None:
        """What was said before is forgotten, untagged answers too: anybody may have put them there."""
        super().starttls(ssl_context)
        self._imap.untagged_responses = {}

    def _create_IMAP4(self) -> _Timed:
        about = {"allowance": self._greeting, "reach": self._reach, "connect_seconds": self._timeout.connect}
        if self.ssl:
            return _Tls(self.host, self.port, self.ssl_context, **about)
        return _Plain(self.host, self.port, **about)
