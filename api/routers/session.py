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

    key: Text | None = Field(
        None, max_length=200, description="A key made with `inboxops key add --tenant NAME --name WHOSE`."
    )
    link: Text | None = Field(
        None, max_length=200, description="What follows the `#` in a link of `inboxops login-link --tenant NAME`."
    )


@router.post("")
def log_in(request: Request, response: Response, given: LogIn) -> Session:
    """Begin a session of the tickets page: 12 hours, in a cookie that no script reads."""
    world: World = request.app.state.world
    _need_the_page(request)
    caller = world.api_keys.use_link(given.link) if given.link else world.api_keys.caller((given.key or "").strip())
    if caller is None:
        request.app.state.tries.failed(request)
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
    """End the session, in this browser and wherever else its cookie is."""
    _need_the_page(request)
    sessions.end(request.app.state.world, request, response)


def _need_the_page(request: Request) -> None:
    """Raises HTTPException for another origin: whoever is logged in or out by somebody else works where they don't mean to."""
    if sessions.is_from_elsewhere(request):
        raise HTTPException(403, "only the page itself logs in and out")


def _session(world: World, caller: Caller) -> Session:
    tenant = world.inboxes.tenant_name(caller.tenant_id)
    return Session.model_validate({"name": caller.name, "role": caller.role, "tenant": tenant})
