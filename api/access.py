"""Who calls: a bearer key, or the page's session, names a tenant and a role; the world that a route sees is that tenant's."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api import sessions
from inboxops.composition.world import World
from inboxops.db.api_keys import Caller

USE_NOTED_SECONDS = 60.0

_bearer = HTTPBearer(auto_error=False, description="A key made with `inboxops key add --tenant NAME --name WHOSE`.")
_noted: dict[int, float] = {}


@dataclass(frozen=True, slots=True)
class Visit:
    """One authenticated request. `world` shows nothing but the caller's tenant."""

    caller: Caller
    world: World

    @property
    def tenant_id(self) -> int:
        return self.caller.tenant_id


def visit(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Visit:
    world: World = request.app.state.world
    caller = world.api_keys.caller(given.credentials) if given else sessions.caller(world, request)
    if caller is None:
        said = "this key is not known, or was revoked" if given else "send a key: `Authorization: Bearer io_...`"
        raise HTTPException(401, said, headers={"WWW-Authenticate": "Bearer"})
    if given is None and sessions.is_from_elsewhere(request):
        raise HTTPException(403, "only the page itself makes changes in its session")
    now = time.monotonic()
    if now - _noted.get(caller.key_id, -USE_NOTED_SECONDS) >= USE_NOTED_SECONDS:
        _noted[caller.key_id] = now
        world.api_keys.note_use(caller)
    return Visit(caller, world.of_tenant(caller.tenant_id))


def admin_visit(visit: Annotated[Visit, Depends(visit)]) -> Visit:
    if not visit.caller.is_admin:
        raise HTTPException(403, "this needs a key with the role admin")
    return visit


Agent = Annotated[Visit, Depends(visit)]
Admin = Annotated[Visit, Depends(admin_visit)]
