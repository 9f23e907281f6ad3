"""How much a request may send, refused while it comes in and not after; how often somebody may ask; how many wait for others."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
SITE = 8.0
"""A whole site of IPv6 (a /48) may do as much as so many of its networks."""

TRIES_PER_SECOND, TRIES_AT_ONCE = 0.5, 30.0
ALL_TRIES_PER_SECOND, ALL_TRIES_AT_ONCE = 20.0, 400.0
"""Log-ins that failed, of one address and of all together."""

LOOKS_OF_ONE, LOOKS_OF_ALL, LOOK_AGAIN_SECONDS = 3, 16, 10
"""Mailboxes that requests try at once, of one tenant and of all in this process, which has 40 threads: a silent server holds one
for minutes, and tenants name the servers."""


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


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as far as a limit is concerned. site: the /48 of an address of IPv6, of which one customer has all; else ""."""

    address: str
    site: str = ""


EVERYBODY = Caller("everybody")


def caller_of(request: Request) -> Caller:
    """In IPv6 everybody has a whole /64 to call from, and who asks for it a /48."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return Caller(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        network, site = (str(IPv6Address(int(address) >> bits << bits)) for bits in (64, 80))
        return Caller(f"{network}/64", f"{site}/48")
    return Caller(host)


class Guests:
    """How often each address calls, and each site; those that were seen longest ago are forgotten. Safe for several threads."""

    def __init__(self, per_second: float, at_once: float) -> None:
        self._per_second, self._at_once = per_second, at_once
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, caller: Caller) -> float:
        """Seconds until this caller may call again, 0 when it may now."""
        with self._lock:
            return self._wait(caller.address, 1.0) or (self._wait(caller.site, SITE) if caller.site else 0.0)

    def _wait(self, name: str, share: float) -> float:
        bucket = self._buckets.pop(name, None) or Bucket(share * self._per_second, share * self._at_once)
        self._buckets[name] = bucket
        if len(self._buckets) > GUESTS:
            self._buckets.popitem(last=False)
        return bucket.wait(time.monotonic())


class Tries:
    """How often log-ins fail: who has a working key or link comes in whatever others do, since to look costs one hash and one
    look into the database.

    `refused` counts for /metrics, of this process.
    """

    def __init__(self) -> None:
        self._each = Guests(TRIES_PER_SECOND, TRIES_AT_ONCE)
        self._all = Guests(ALL_TRIES_PER_SECOND, ALL_TRIES_AT_ONCE)
        self.refused = 0

    def failed(self, request: Request) -> None:
        """Raises HTTPException, 429, for one failure too many."""
        if (seconds := self._each.wait(caller_of(request)) or self._all.wait(EVERYBODY)) > 0:
            self.refused += 1
            raise HTTPException(
                429, "too many tries to log in: wait a little", headers={"Retry-After": str(max(1, round(seconds)))}
            )


class Looks:
    """How many mailboxes are tried at once. Safe for several threads."""

    def __init__(self) -> None:
        self._at: Counter[int] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def one(self, tenant_id: int) -> Iterator[None]:
        """Raises HTTPException: 429 when the tenant waits for enough of them already, 503 when all tenants together do."""
        with self._lock:
            if self._at[tenant_id] >= LOOKS_OF_ONE:
                raise _later(429, "several mailboxes of yours are being tried: wait until their servers have answered")
            if self._at.total() >= LOOKS_OF_ALL:
                raise _later(503, "many mailboxes are being tried just now: try again in a moment")
            self._at[tenant_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._at[tenant_id] -= 1
                self._at += Counter()  # drops those that wait for nothing


def _later(status: int, said: str) -> HTTPException:
    return HTTPException(status, said, headers={"Retry-After": str(LOOK_AGAIN_SECONDS)})
