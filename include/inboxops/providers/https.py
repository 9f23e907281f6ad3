"""HTTP by httpx as the API providers share it: whom to trust, what a broken connection means, and a message handed over once."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache

import httpx

from inboxops.core.patience import retry_after
from inboxops.errors import (
    InboxOpsError,
    InvalidInput,
    MessageRefused,
    OperatorError,
    OutcomeUnknown,
    ServerRefused,
    TransientError,
)
from inboxops.outward.http import Bounds
from inboxops.ports import TokenSource

ANSWER_SECONDS = 300.0
"""How long a provider may take to answer a message; `stories.send.FINAL_SECONDS` is longer."""

_WRITE_SECONDS = 60.0
_BOUNDS = Bounds(ANSWER_SECONDS + 30)  # where the client keeps to bounds
_PIECE = 65_536  # bytes: httpcore copies what is left of a piece after each TLS record

# A request without all of its body is none (RFC 9112, 8), so whoever got less has to forget it.
_NEVER_THERE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.WriteTimeout)


@cache
def trust(ca_file: str) -> ssl.SSLContext:
    """The public authorities and one more. Parsing them takes 20 ms and more: once a process is enough."""
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except OSError as exc:
            raise OperatorError(f"the file of certificate authorities can't be read: {ca_file}: {exc}") from exc
    return context


@contextmanager
def speaking(server: str, what: str) -> Iterator[None]:
    """Translate what goes wrong on the way. what: what was asked for, e.g. "delta"."""
    try:
        yield
    except httpx.TransportError as exc:
        raise unreachable(exc, server, what) from exc
    except httpx.InvalidURL as exc:
        raise ServerRefused(f"{server} leads to what is no URL ({what}): {exc}"[:300]) from exc


def unreachable(exc: httpx.TransportError, server: str, what: str) -> InboxOpsError:
    """Our error for one of httpx's."""
    if "CERTIFICATE_VERIFY_FAILED" in str(exc):
        return ServerRefused(
            f"the TLS certificate of {server} can't be trusted",
            fix="Set INBOXOPS_PROVIDER_CA_FILE to the authority that signed it",
        )
    return TransientError(f"{server} can't be reached ({what}): {type(exc).__name__} {exc}"[:300])


def hand_over(
    http: httpx.Client,
    tokens: TokenSource,
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str],
    server: str,
    commit: Callable[[], None],
) -> httpx.Response:
    """POST what may make a message leave: once, but that a refused token is renewed, for a refused request did nothing.

    Returns any answer below 500: it is definite. `commit` is called when only the request itself is left to be done.
    Raises TransientError when the request did not get there, and OutcomeUnknown when nobody can say: the connection was lost
    behind it, or the answer is a 5xx. A front end gives those, 503 too, also for a request that went through behind it, so
    none is taken for a refusal; as both providers keep copies themselves, the doubt costs two minutes and no more.
    """
    token = tokens.access_token().value
    commit()
    response = posted(http, url, body, {**headers, "Authorization": f"Bearer {token}"}, server)
    if response.status_code == 401:
        renewed = tokens.access_token(refused=token).value
        response = posted(http, url, body, {**headers, "Authorization": f"Bearer {renewed}"}, server)
    return response


def refused(error: InboxOpsError) -> InboxOpsError:
    """What an answer to a message means: where it says that the request is wrong, the message is."""
    return MessageRefused(str(error.args[0]), fix=error.fix) if type(error) is InvalidInput else error


def posted(http: httpx.Client, url: str, body: bytes, headers: Mapping[str, str], server: str) -> httpx.Response:
    """One POST of what may make a message leave. Returns and raises as `hand_over` does; the credentials are in `headers`."""
    request = http.build_request(
        "POST",
        url,
        content=_pieces(body),
        headers={**headers, "Content-Length": str(len(body))},
        timeout=httpx.Timeout(_WRITE_SECONDS, read=ANSWER_SECONDS),
        extensions={"bounds": _BOUNDS},
    )
    try:
        response = http.send(request)
    except _NEVER_THERE as exc:
        raise unreachable(exc, server, "send") from exc
    except httpx.RequestError as exc:
        raise OutcomeUnknown(
            f"{server} was lost before it said whether it took the message: {type(exc).__name__} {exc}"[:300]
        ) from exc
    if response.status_code >= 500:
        said = " ".join(response.text.split())[:200] or "without a word"
        raise OutcomeUnknown(
            f"{server} answers {response.status_code} to the message ({said}), which leaves open whether it took it",
            retry_after=retry_after(response.headers.get("retry-after"), now=datetime.now(UTC)),
        )
    return response


def _pieces(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), _PIECE):
        yield body[at : at + _PIECE]
