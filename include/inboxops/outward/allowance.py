"""What one exchange with a server may take, however slowly it drips and however fast it gushes.

A socket's time-out bounds one read only: a server that sends a byte a minute, or the same line for ever, would hold a thread as
long as it likes, and tenants name the servers.
"""

from __future__ import annotations

import socket
import time
from io import BufferedReader

ANSWER_BYTES = 4 * 1024 * 1024
"""What is said about mail: lists of folders, pages of ids, refusals of recipients."""

MAIL_BYTES = 96 * 1024 * 1024
"""Mail itself, a batch or one message: half as much again as `FetchLimits.message_bytes`, for some servers only guess at sizes."""

_PACKET = 64 * 1024


class Allowance:
    """Begins when it is made. seconds: for all of the exchange; pause: for one read or write; size: bytes of the other side's."""

    def __init__(self, seconds: float, size: int, *, pause: float | None = None) -> None:
        self._until = time.monotonic() + seconds
        self._size = self._left = size
        self._pause = seconds if pause is None else pause

    def wait(self, pause: float | None = None) -> float:
        """How long the next read or write may take: so long, or what is left. Raises TimeoutError when nothing is."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the exchange took too long")
        return min(left, self._pause if pause is None else pause)

    def take(self, size: int) -> None:
        """So many bytes came, or are to come. Raises OSError when they are too many."""
        self._left -= size
        if self._left < 0:
            raise OSError(f"an answer of more than {self._size} bytes")

    def line(self, connection: socket.socket, file: BufferedReader, longest: int) -> bytes:
        """A line with its end; what there is of it at the end of the file, or where it is longer. file: the connection's."""
        line = b""
        while not line.endswith(b"\n") and len(line) < longest:
            connection.settimeout(self.wait())
            ahead = file.peek()[: longest - len(line)]  # asks the socket once at most
            if not ahead:
                break
            line += file.read(ahead.find(b"\n") + 1 or len(ahead))
        self.take(len(line))
        return line

    def content(self, connection: socket.socket, file: BufferedReader, size: int) -> bytes:
        """So many bytes, or what there is of them at the end of the file. Nothing is read of what is too much."""
        self.take(size)
        content = bytearray()
        while len(content) < size:
            connection.settimeout(self.wait())
            packet = file.read1(min(_PACKET, size - len(content)))
            if not packet:
                break
            content += packet
        return bytes(content)
