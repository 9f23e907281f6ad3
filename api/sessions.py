"""The page's session: a signed cookie that names a key, so that revoking the key ends it."""

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
    response.set_cookie(
        COOKIE,
        _serializer(world.signing_key.current).dumps(caller.prefix),
        max_age=SECONDS,
        secure=world.settings.api_url.startswith("https://"),
        httponly=True,
        samesite="strict",
    )


def end(response: Response) -> None:
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")


def caller(world: World, request: Request) -> Caller | None:
    """Who the cookie says is there; None without one that works."""
    for secret in world.signing_key.secrets():
        with suppress(BadSignature):
            prefix, made_at = _serializer(secret).loads(
                request.cookies.get(COOKIE, ""), max_age=SECONDS, return_timestamp=True
            )
            if secret in world.signing_key.secrets(made_at=made_at):
                return world.api_keys.caller_of(str(prefix))
    return None


def is_from_elsewhere(request: Request) -> bool:
    """Whether another site asks for a change. SameSite keeps the cookie from other sites, but another port is no other site."""
    if request.method in _SAFE:
        return False
    return request.headers.get("origin", "").partition("://")[2] != request.headers.get("host", "")


def _serializer(secret: bytes) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret, salt="inboxops.page")
