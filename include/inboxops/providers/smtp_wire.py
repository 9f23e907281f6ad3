"""smtplib as we need it on the wire: checked addresses, and whole exchanges with an allowance."""

from __future__ import annotations

import smtplib
import socket
import ssl
from io import BufferedReader
from typing import TYPE_CHECKING

from inboxops.core.reach import Reach
from inboxops.outward.allowance import Allowance
from inboxops.outward.sockets import connected

if TYPE_CHECKING:
    from typing_extensions import Buffer

_SAID_BYTES = 1_000_000  # of all replies of one exchange: hundreds of recipients may be refused with as many words


class TimedSmtp(smtplib.SMTP):
    """Connected and greeted when it is made. Times are seconds; `allow` gives the next exchange its time, the greeting has its own.

    context: for TLS from the first byte, with who has the name; None for a connection that begins in plain text.
    Raises InvalidInput for a server out of `reach`, and what smtplib.SMTP does.
    """

    sock: socket.socket | None
    file: _Replies | None

    def __init__(
        self,
        host: str,
        port: int,
        name: str,
        context: ssl.SSLContext | None,
        *,
        reach: Reach | None,
        connect_seconds: float,
        greeting_seconds: float,
    ) -> None:
        self._context, self._reach = context, reach
        self.allow(greeting_seconds, pause=connect_seconds)
        super().__init__(host, port, name, timeout=connect_seconds)

    def allow(self, seconds: float, *, pause: float) -> None:
        """What is said from now on has to be over in so many seconds, each read and write in `pause`."""
        self._allowance = Allowance(seconds, _SAID_BYTES, pause=pause)

    def send(self, s: Buffer | str) -> None:
        if self.sock is not None:
            self.sock.settimeout(self._allowance.wait())
        super().send(s)

    def heard(self, file: BufferedReader, longest: int) -> bytes:
        """A line of a reply."""
        if self.sock is None:
            return b""
        return self._allowance.line(self.sock, file, longest)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = _Replies(self.sock.makefile("rb"), self)
        return super().getreply()

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        line = connected(self._reach, host, port, timeout)
        return self._context.wrap_socket(line, server_hostname=host) if self._context else line


class _Replies:
    """What smtplib reads replies from: lines that the exchange still allows."""

    def __init__(self, file: BufferedReader, smtp: TimedSmtp) -> None:
        self._file, self._smtp = file, smtp

    def readline(self, longest: int) -> bytes:
        return self._smtp.heard(self._file, longest)

    def close(self) -> None:
        self._file.close()
