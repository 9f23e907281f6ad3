"""Asking a server on 127.0.0.1 whether it is ready, in its own protocol and without its client library."""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
SECONDS = 2.0  # for one look
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy knows nothing of our loopback


async def conversation(port: int, say: bytes, *, tls: ssl.SSLContext | None = None, expect: int = 512) -> bytes:
    """Connect, say something, and return the first answer (empty when nobody listens or answers in time)."""
    try:
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection(
                HOST, port, ssl=tls, server_hostname="localhost" if tls else None
            )
            try:
                writer.write(say)
                await writer.drain()
                return await reader.read(expect)
            finally:
                writer.close()
    except (OSError, TimeoutError, ssl.SSLError):
        return b""


async def listens(port: int) -> bool:
    """Whether something accepts connections."""
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True


_PARAMETERS = b"user\0postgres\0database\0postgres\0\0"
_STARTUP = struct.pack("!ii", len(_PARAMETERS) + 8, 196_608) + _PARAMETERS  # protocol 3.0


async def postgres(port: int) -> bool:
    """Whether the postmaster lets clients log in: a startup message is answered by an authentication request."""
    return (await conversation(port, _STARTUP)).startswith(b"R")


async def postgres_answers(port: int) -> bool:
    """Whether it says anything, and be it that it has no room for more clients."""
    return bool(await conversation(port, _STARTUP))


async def redis_answers(port: int) -> bool:
    """Whether it says anything: without a password it is that one is wanted."""
    return bool(await conversation(port, b"PING\r\n"))


async def redis(port: int, password: str) -> bool:
    return b"+PONG" in await conversation(port, f"AUTH {password}\r\nPING\r\n".encode())


async def smtp(port: int) -> bool:
    return (await conversation(port, b"")).startswith(b"220")


async def imap(port: int, ca_file: Path) -> bool:
    if not ca_file.exists():
        return False
    return (await conversation(port, b"", tls=ssl.create_default_context(cafile=ca_file))).startswith(b"* OK")


def get(url: str, *, headers: Mapping[str, str] | None = None, seconds: float = SECONDS) -> tuple[int, bytes]:
    """Status and body of a GET; status 0 when there is no answer, or one that breaks off."""
    try:
        try:
            with _DIRECT.open(urllib.request.Request(url, headers=dict(headers or {})), timeout=seconds) as answer:  # noqa: S310  # an http:// URL of the stack
                return answer.status, answer.read()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read()
    except (OSError, HTTPException):
        return 0, b""


async def http(url: str) -> bool:
    status, _ = await asyncio.to_thread(get, url)
    return status == 200


async def http_answers(url: str) -> bool:
    """Whether it says anything, and be it that it is in trouble."""
    status, _ = await asyncio.to_thread(get, url)
    return status != 0


async def http_json(url: str, *, also: int = 200) -> Any:
    """The JSON body of a GET that was answered with 200 (or `also`), else None."""
    status, body = await asyncio.to_thread(get, url)
    return json.loads(body) if status in (200, also) else None
