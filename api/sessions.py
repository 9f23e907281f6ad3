"""The page's session: a signed cookie that names a row of the database, so that a log-out, or revoking the key, ends every copy."""

from __future__ import annotations

from contextlib import suppress

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

from inboxops.composition.world import World
from inboxops.db.api_keys import Caller

COOKIE = "inboxops_session"
SECONDS = 12 * 3600
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def begin(world: World, response: Response, caller: Caller) -> None:
    session = world.api_keys.begin_session(caller, seconds=SECONDS)
    response.set_cookie(
        COOKIE,
        _serializer(world.signing_key.current).dumps(session),
        max_age=SECONDS,
        secure=world.settings.api_url.startswith("https://"),
        httponly=True,
        samesite="strict",
    )


def end(world: World, request: Request, response: Response) -> None:
    """End the session, not only its cookie in this browser. Where there is none, nothing happens."""
    session = _session(world, request)
    whose = world.api_keys.caller_in(session) if session else None
    if whose is not None:
        world.api_keys.end_session(whose, session)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")


def caller(world: World, request: Request) -> Caller | None:
    """Who the cookie says is there; None without one that works."""
    session = _session(world, request)
    return world.api_keys.caller_in(session) if session else None


def is_from_elsewhere(request: Request) -> bool:
    """Whether another site asks for a change. SameSite keeps the cookie from other sites, but another port is no other site.

    Where the API is behind TLS (INBOXOPS_API_URL), the same host without it is another site: anybody on the way may write there.
    """
    if request.method in _SAFE:
        return False
    world: World = request.app.state.world
    schemes = ("https",) if world.settings.api_url.startswith("https://") else ("http", "https")
    host = request.headers.get("host", "")
    return request.headers.get("origin", "") not in {f"{scheme}://{host}" for scheme in schemes}


def _session(world: World, request: Request) -> str:
    """What a cookie of ours names, "" without one that we signed within the hours of a session."""
    for secret in world.signing_key.secrets():
        with suppress(BadSignature):
            session, made_at = _serializer(secret).loads(
                request.cookies.get(COOKIE, ""), max_age=SECONDS, return_timestamp=True
            )
            if secret in world.signing_key.secrets(made_at=made_at):
                return str(session)
    return ""


def _serializer(secret: bytes) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret, salt="inboxops.page")
