"""Looking at inboxes without a run: what a triggerer holds, and what says whether anybody looks."""

from __future__ import annotations

import os
import resource
import secrets
import socket
from contextlib import suppress
from datetime import timedelta

from inboxops.composition import intake, runs
from inboxops.composition.world import World
from inboxops.core.looking import Standing, standing
from inboxops.errors import InboxOpsError, OperatorError
from inboxops.stories.look import Looker as Looker


def looker(world: World) -> Looker:
    """One that shares the looks of this cell with all others. Raises OperatorError where looking is not set up."""
    _allow_connections()
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    return Looker(name, world.looks, _Inboxes(world), every=_every(world))


def check(world: World) -> Standing:
    """Have every inbox of our cell looked at that is to be, and say how it goes. Raises OperatorError when looks are late."""
    world.looks.follow(_every(world))
    found = next((cell.looks for cell in world.heart.cells() if cell.name == world.cell), standing(0, 0.0))
    if not found.well:
        raise OperatorError(
            found.said, fix="Start the triggerers anew; `inboxops doctor` says when looks are in time again"
        )
    return found


def _every(world: World) -> timedelta:
    if not world.settings.look_minutes:
        raise OperatorError("inboxes are not looked at without a run here", fix="Set INBOXOPS_LOOK_MINUTES")
    return timedelta(minutes=world.settings.look_minutes)


FILES = 65_536


def _allow_connections() -> None:
    """As many files as the system lets this process have, up to FILES: each inbox's connection is one."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(most, FILES)
    if resource.RLIM_INFINITY != allowed < wanted:
        with suppress(ValueError, OSError):  # a system that has another bound, too: then fewer are kept
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


class _Inboxes:
    """`stories.look.Inboxes`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def look(self, inbox_id: int) -> bool:
        return intake.look(self._world, inbox_id)

    def wake(self, inbox_id: int) -> None:
        runs.wake(self._world, inbox_id)

    def note(self, inbox_id: int, error: InboxOpsError) -> None:
        self._world.inboxes.note_error(inbox_id, error)

    def forget(self, inbox_id: int, connection_type: str) -> None:
        self._world.prober(connection_type).forget(inbox_id)
