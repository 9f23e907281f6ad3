"""The page's log-in: a key or a link that works once becomes a cookie."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import Field

from api import sessions
from api.access import Agent
from api.models import Session, Strict, Text
from inboxops.composition.world import World
from inboxops.db.api_keys import Caller

router = APIRouter(prefix="/v1/session", tags=["session"])


class LogIn(Strict):
    """One of both."""

    key: Text | None = Field(None, max_length=200, description="A key made with `inboxops key add`.")
    link: Text | None = Field(
        None, max_length=200, description="What follows the `#` in a link of `inboxops login-link`."
    )


@router.post("")
def log_in(request: Request, response: Response, given: LogIn) -> Session:
    """Begin a session of the tickets page: 12 hours, in a cookie that no script reads."""
    world: World = request.app.state.world
    _need_the_page(request)
    request.app.state.tries.take(request)
    caller = world.api_keys.use_link(given.link) if given.link else world.api_keys.caller((given.key or "").strip())
    if caller is None:
        said = (
            "this link was used, or is too old: ask for another"
            if given.link
            else "this key is not known, or was revoked"
        )
        raise HTTPException(401, said)
    sessions.begin(world, response, caller)
    return _session(world, caller)


@router.get("")
def who(visit: Agent) -> Session:
    """Who the caller is."""
    return _session(visit.world, visit.caller)


@router.delete("", status_code=204)
def log_out(request: Request, response: Response) -> None:
    """End the session in this browser."""
    _need_the_page(request)
    sessions.end(response)


def _need_the_page(request: Request) -> None:
    """Raises HTTPException for another origin: whoever is logged in or out by somebody else works where they don't mean to."""
    if sessions.is_from_elsewhere(request):
        raise HTTPException(403, "only the page itself logs in and out")


def _session(world: World, caller: Caller) -> Session:
    tenant = world.inboxes.tenant_name(caller.tenant_id)
    return Session.model_validate({"name": caller.name, "role": caller.role, "tenant": tenant})
