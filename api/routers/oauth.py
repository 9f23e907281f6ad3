"""Connecting a mailbox in a browser: to the provider's consent page and back. The link in the URL says for which tenant."""

from __future__ import annotations

import html
from enum import StrEnum
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response

from inboxops.composition import connecting
from inboxops.composition.world import World
from inboxops.errors import InboxOpsError, OperatorError, TransientError
from inboxops.stories.consent import SESSION_SECONDS, link_of

log = structlog.get_logger("inboxops.connect")
router = APIRouter(prefix="/v1/oauth", tags=["connect"])

COOKIE = "inboxops_connect"
PATH = "/v1/oauth"
# The URL of this page holds a one-time code: it is neither kept nor told to anyone.
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


PAGE: dict[str, Any] = {"content": {"text/html": {"schema": {"type": "string"}}}}
FAILURES: dict[int | str, dict[str, Any]] = {
    400: {"description": "A page that says what whoever is connecting can do.", **PAGE},
    500: {"description": "A page that says what the operator has to set up.", **PAGE},
    503: {"description": "A page: the provider can't answer now.", **PAGE},
}


class SignIn(StrEnum):
    google = "google"
    microsoft = "microsoft"


@router.get(
    "/{sign_in}/start",
    response_class=Response,
    status_code=302,
    responses={302: {"description": "To the consent page, with the session in a cookie."}, **FAILURES},
)
def start(request: Request, sign_in: SignIn, link: str = "") -> Response:
    """To the consent page. `link` is what `inboxops inbox connect` printed; the browser gets the session to come back with."""
    world: World = request.app.state.world
    try:
        started = connecting.start(world, sign_in.value, link)
    except InboxOpsError as exc:
        return _failed(exc)
    response = Response(status_code=302, headers={**HEADERS, "Location": started.url})
    response.set_cookie(
        COOKIE,
        started.session,
        max_age=SESSION_SECONDS,
        path=PATH,
        secure=world.settings.api_url.startswith("https://"),
        httponly=True,
        samesite="lax",  # the provider sends the browser back from another site
    )
    return response


@router.get(
    "/{sign_in}/callback",
    response_class=Response,
    responses={200: {"description": "A page: the mailbox is connected.", **PAGE}, **FAILURES},
)
def callback(request: Request, sign_in: SignIn) -> Response:
    """Back from the consent page: the inbox is connected, or the page says why not."""
    world: World = request.app.state.world
    try:
        session = connecting.session(world, request.cookies.get(COOKIE, ""))
        scoped = world.of_tenant(link_of(session).tenant_id)
        done = connecting.finish(scoped, sign_in.value, session, dict(request.query_params))
    except InboxOpsError as exc:
        return _failed(exc)
    inbox = scoped.inboxes.get(done.inbox_id)
    log.info("inbox_connected", inbox_id=inbox.id, tenant_id=inbox.tenant_id, again=done.again)
    what = "is connected again and goes on where it stopped" if done.again else "is connected"
    rest = "" if inbox.is_live else " Nothing is read yet: it is paused, so that it can be rehearsed."
    response = _page(
        f"{inbox.email_address} {what}", f"Its mail now reaches the support team {inbox.tenant!r}.{rest}", 200
    )
    response.delete_cookie(COOKIE, path=PATH)
    return response


def _failed(exc: InboxOpsError) -> Response:
    status = 503 if isinstance(exc, TransientError) else 500 if isinstance(exc, OperatorError) else 400
    log.warning("inbox_connect_failed", kind=exc.kind, error=str(exc))
    return _page("This mailbox could not be connected", str(exc), status)


def _page(title: str, text: str, status: int) -> Response:
    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>InboxOps</title>'
        f"<h1>{html.escape(title)}</h1><p>{html.escape(text)}</p></html>"
    )
    return Response(body, status_code=status, headers=HEADERS, media_type="text/html")
