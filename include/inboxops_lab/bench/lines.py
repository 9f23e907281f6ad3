"""HTTP requests at a steady rate. As little of a client as can be: on two cores a real one would cost more than the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from inboxops.errors import OperatorError

LONGEST_ANSWER = 16 * 1024 * 1024


class Lines:
    """Connections to one server, kept and used again. Every request carries the bearer token."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._token = parts.hostname or "127.0.0.1", parts.port or 80, token
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of the answer. Raises OperatorError for any status but a success."""
        while self._idle and self._idle[-1][0].at_eof():
            self._idle.pop()
        line = self._idle.pop() if self._idle else None
        reader, writer = line or await asyncio.open_connection(self._host, self._port, limit=LONGEST_ANSWER)
        head = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", f"Authorization: Bearer {self._token}"]
        if body:
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 2"):
            raise OperatorError(f"the API answers {answer.partition(b' ')[2][:60]!r}")
        length = answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        content = await reader.readexactly(int(length or 0))
        self._idle.append((reader, writer))
        return content


async def steadily(
    count: int,
    rate: float,
    request: Callable[[int], Awaitable[object]],
    *,
    before: Callable[[int], None] = lambda n: None,
) -> tuple[list[float], float]:
    """Begin `rate` requests a second, whether answers come or not: (seconds until each was answered, answers a second).

    A request's time counts from the moment that it was due, so that a client that lags behind hides no waiting.
    """
    seconds: list[float] = []

    async def one(number: int, due: float) -> None:
        await request(number)
        seconds.append(time.perf_counter() - due)

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            before(number)
            group.create_task(one(number, due))
    return seconds, count / (time.perf_counter() - begin)


def percentile(seconds: list[float], share: float) -> float:
    """The value that `share` of all do not exceed."""
    return sorted(seconds)[int(share * (len(seconds) - 1))]
