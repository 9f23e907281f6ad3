"""imapclient as we need it on the wire: whole exchanges have a deadline, and lines leave without delay.

A socket's time-out bounds one read only: a server that sends a byte a minute, or `* OK still here` for ever, would hold
a thread as long as it likes, and tenants name the servers.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

from imapclient import IMAPClient, SocketTimeout
from imapclient.imap4 import IMAP4WithTimeout
from imapclient.tls import IMAP4_TLS

if TYPE_CHECKING:
    from io import BufferedReader

_LONGEST_LINE = 1_000_000  # bytes, as in imaplib
_PACKET = 64 * 1024


class _Timed:
    """Puts a deadline (of `time.monotonic()`) before imaplib's two ways of reading, which it means to be overridden."""

    file: BufferedReader

    def __init__(self, *arguments: Any, deadline: float) -> None:
        self.deadline = deadline
        super().__init__(*arguments)

    def readline(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            self._in_time()
            ahead = self.file.peek()  # asks the socket once at most
            if not ahead:
                break
            line += self.file.read(ahead.find(b"\n") + 1 or len(ahead))
            if len(line) > _LONGEST_LINE:
                raise ValueError(f"a line of more than {_LONGEST_LINE} bytes")
        return line

    def read(self, size: int) -> bytes:
        content = bytearray()
        while len(content) < size:
            self._in_time()
            packet = self.file.read1(min(_PACKET, size - len(content)))
            if not packet:
                break
            content += packet
        return bytes(content)

    def _in_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise TimeoutError("the exchange took too long")


class _Plain(_Timed, IMAP4WithTimeout):  # type: ignore[misc]
    """Without TLS, or before STARTTLS."""


class _Tls(_Timed, IMAP4_TLS):  # type: ignore[misc]
    """TLS from the first byte."""


class TimedClient(IMAPClient):  # type: ignore[misc]
    """Connected when it is made. Times are seconds; `allow` gives the next exchange its time, the greeting has its own.

    context: None for a connection that begins in plain text.
    """

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        *,
        connect_seconds: float,
        read_seconds: float,
        greeting_seconds: float,
    ) -> None:
        self._deadline = time.monotonic() + greeting_seconds
        timeout = SocketTimeout(connect=connect_seconds, read=read_seconds)
        super().__init__(host, port, ssl=context is not None, ssl_context=context, timeout=timeout)
        self.normalise_times = False
        # imapclient turns imaplib's tracing on for its own logger, which formats every literal it reads: a 60 MB message
        # would be held three more times.
        self._imap.debug = 0
        # imaplib sends a line and its end apart: with Nagle's algorithm each such command waits 40 ms for an ACK.
        self.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def allow(self, seconds: float) -> None:
        """What is said from now on has to be over in so many seconds, else TimeoutError."""
        self._imap.deadline = time.monotonic() + seconds

    def _create_IMAP4(self) -> _Timed:
        if self.ssl:
            return _Tls(self.host, self.port, self.ssl_context, self._timeout.connect, deadline=self._deadline)
        return _Plain(self.host, self.port, self._timeout.connect, deadline=self._deadline)
