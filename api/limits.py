"""How much a request may send, refused while it comes in and not after; and how often somebody may ask."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inboxops.core.attachments import FILE_BYTES
from inboxops.core.push import Bucket

BODY_BYTES = 4 * 1024 * 1024
UPLOAD_BYTES = FILE_BYTES + 64 * 1024  # a form around a file
UPLOADS = "/v1/attachments"
WEBHOOK_BYTES = 256 * 1024  # a full batch of Graph's notifications has about half of that
WEBHOOKS = "/api/webhooks/"

GUESTS = 10_000
TRIES_PER_SECOND, TRIES_AT_ONCE = 0.5, 30.0
ALL_TRIES_PER_SECOND, ALL_TRIES_AT_ONCE = 20.0, 400.0
"""Log-ins of one address, and of all together. A team behind one address comes to work at once; who guesses comes on and on."""


class BodyLimit:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = _most(scope["path"])
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most or (declared.isdigit() and int(declared) > most):
                raise HTTPException(413, f"a request here has {most} bytes at most")
            return message

        await self._app(scope, bounded, send)


def _most(path: str) -> int:
    if path.startswith(WEBHOOKS):
        return WEBHOOK_BYTES
    return UPLOAD_BYTES if path == UPLOADS else BODY_BYTES


def address_of(request: Request) -> str:
    """Who calls, as far as a limit is concerned: in IPv6 everybody has a whole /64 to call from."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Address(int(address) >> 64 << 64))
    return host


class Guests:
    """How often each address calls; those that were seen longest ago are forgotten. Safe for several threads."""

    def __init__(self, per_second: float, at_once: float) -> None:
        self._per_second, self._at_once = per_second, at_once
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, address: str) -> float:
        """Seconds until this address may call again, 0 when it may now."""
        with self._lock:
            bucket = self._buckets.pop(address, None) or Bucket(self._per_second, self._at_once)
            self._buckets[address] = bucket
            if len(self._buckets) > GUESTS:
                self._buckets.popitem(last=False)
            return bucket.wait(time.monotonic())


class Tries:
    """How often a log-in is tried. `refused` counts for /metrics, of this process."""

    def __init__(self) -> None:
        self._each = Guests(TRIES_PER_SECOND, TRIES_AT_ONCE)
        self._all = Guests(ALL_TRIES_PER_SECOND, ALL_TRIES_AT_ONCE)
        self.refused = 0

    def take(self, request: Request) -> None:
        """Raises HTTPException, 429, for one that comes too soon."""
        if (seconds := self._each.wait(address_of(request)) or self._all.wait("")) > 0:
            self.refused += 1
            raise HTTPException(
                429, "too many tries to log in: wait a little", headers={"Retry-After": str(max(1, round(seconds)))}
            )
