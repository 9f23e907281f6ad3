"""Where Google and Microsoft tell of new mail. Public, so everything is bounded: size, type, time and rate.

Google's tokens and Microsoft's secrets say who calls; no key of ours does. A refusal says little, and logs hold ids only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import structlog
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse

from api.limits import Guests, caller_of
from inboxops.composition import runs
from inboxops.composition.world import World
from inboxops.core.push import Forged, NotSetUp, OpenErrand
from inboxops.db.push import push_intake
from inboxops.errors import InvalidInput, OperatorError, TransientError
from inboxops.oauth.push_tokens import PushTokens
from inboxops.settings import Settings
from inboxops.stories.push import PushDesk

log = structlog.get_logger("inboxops.webhooks")
router = APIRouter(prefix="/api/webhooks", include_in_schema=False)

READ_SECONDS = 5.0
ANSWER_SECONDS = 8.0
"""Graph calls an answer that takes ten seconds slow, and gives slow listeners up."""

LONGEST_TOKEN = 4096

AT_ONCE = 256
"""So many calls are under way, whoever makes them: a flood from many addresses costs so many bodies of memory and no more. Who is
refused meanwhile comes again, and the inbox's next poll takes the mail in without any call."""

# What a caller gave is sent back: as text, for nobody to interpret, and nowhere kept.
ECHO_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "no-store",
}


@dataclass(slots=True)
class Front:
    """What stands between a caller and the desk. under_way: calls that are being taken in."""

    push: PushDesk
    guests: Guests
    under_way: int = 0

    @contextmanager
    def admitted(self, request: Request) -> Iterator[PushDesk]:
        """Raises HTTPException, 429 for a caller who comes too often and 503 while there are too many of all."""
        if (seconds := self.guests.wait(caller_of(request))) > 0:
            wait = {"Retry-After": str(max(1, round(seconds)))}
            raise HTTPException(429, "too many calls from this address", headers=wait)
        if self.under_way >= AT_ONCE:
            raise HTTPException(503, "too many calls at once", headers={"Retry-After": "1"})
        self.under_way += 1
        try:
            yield self.push
        finally:
            self.under_way -= 1


@asynccontextmanager
async def desk(settings: Settings, world: World) -> AsyncIterator[Front]:
    """Raises OperatorError for half of what tells Google's calls from forged ones; without any of it none is taken."""

    def deliver(errand: OpenErrand) -> None:
        runs.deliver(world.of_tenant(errand.tenant_id), errand.kind, errand.inbox_id)

    url = settings.api_database_url or settings.database_url
    async with push_intake(url.get_secret_value()) as intake:
        made = PushDesk(intake, _tokens(settings), deliver, gap=settings.wake_gap_seconds)
        try:
            limit = settings.webhook_limit_per_second
            yield Front(made, Guests(limit, max(1.0, 2 * limit)))
        finally:
            await made.close()


def _tokens(settings: Settings) -> PushTokens | None:
    audience, account = settings.google_pubsub_audience, settings.google_pubsub_service_account
    if audience and account:
        return PushTokens(
            audience=audience,
            service_account=account,
            certs_url=settings.google_certs_url,
            ca_file=settings.provider_ca_file,
        )
    if audience or account:
        raise OperatorError(
            "calls to /api/webhooks/gmail-push could not be told from forged ones",
            fix="Set both INBOXOPS_GOOGLE_PUBSUB_AUDIENCE and INBOXOPS_GOOGLE_PUBSUB_SERVICE_ACCOUNT, or neither",
        )
    return None


@router.post("/gmail-push")
async def gmail_push(request: Request) -> Response:
    """A Pub/Sub push. 204 is its acknowledgement; anything else has it delivered again. Closed where it is not set up."""
    async with _bounded(request) as push:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        await push.gmail(await _body(request), token if scheme.lower() == "bearer" else "")
    return Response(status_code=204)


@router.post("/graph-push")
async def graph_push(request: Request) -> Response:
    """Notifications of new mail; or, while a subscription is made, a token to be echoed. Closed where it is not set up."""
    return await _graph(request)


@router.post("/graph-lifecycle")
async def graph_lifecycle(request: Request) -> Response:
    """What happens to subscriptions themselves; a token as in `graph_push`."""
    return await _graph(request)


async def _graph(request: Request) -> Response:
    async with _bounded(request) as push:
        if not request.app.state.world.settings.graph_push_notification_url:
            raise NotSetUp("nothing was registered with Microsoft")
        token = request.query_params.get("validationToken")
        if token is not None:
            if len(token) > LONGEST_TOKEN:
                raise HTTPException(400, "this token is too long")
            return PlainTextResponse(token, headers=ECHO_HEADERS)
        await push.graph(await _body(request))
    return Response(status_code=202)


@asynccontextmanager
async def _bounded(request: Request) -> AsyncIterator[PushDesk]:
    """The desk, for callers that keep to the limits; its errors become statuses. 5xx says that nothing was stored."""
    front: Front = request.app.state.push
    path = request.url.path
    try:
        with front.admitted(request) as push:
            async with asyncio.timeout(ANSWER_SECONDS):
                yield push
    except NotSetUp as exc:
        raise HTTPException(404, "no push is set up here") from exc
    except Forged as exc:
        log.warning("webhook_forged", path=path, reason=str(exc))
        raise HTTPException(401 if path.endswith("gmail-push") else 403, "this call is not genuine") from exc
    except InvalidInput as exc:
        log.warning("webhook_unreadable", path=path, reason=str(exc))
        raise HTTPException(400, str(exc)) from exc
    except TimeoutError as exc:
        raise TransientError("this took too long, and nothing was stored") from exc


async def _body(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send application/json")
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await request.body()
    except TimeoutError as exc:
        raise HTTPException(408, "the body took too long") from exc
