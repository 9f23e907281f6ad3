"""Looking at inboxes without a run: what a triggerer holds, what says whether anybody looks; and which server a probe will ask."""

from __future__ import annotations

import os
import resource
import secrets
import socket
from contextlib import suppress
from datetime import timedelta

from inboxops.composition import intake, runs
from inboxops.composition.world import World
from inboxops.core.looking import Found, Standing, standing
from inboxops.db.inboxes import Asked
from inboxops.errors import InboxOpsError, NotFound, OperatorError, TransientError
from inboxops.stories.look import Looker as Looker

NAMED = 5
"""Inboxes in one line."""
FILES = 65_536


def to_probe(world: World, inbox_id: int) -> tuple[Asked, str]:
    """What `intake.wants_fetch` begins with, and the server that it will ask, "" when it asks none."""
    inbox, has_work, _ = asked = world.inboxes.to_probe(inbox_id)
    return asked, inbox.place if inbox.is_live and not has_work and inbox.cell == world.cell else ""


def look(world: World, inbox_id: int) -> Found:
    """As `intake.wants_fetch`, for who wakes the inbox then: a fetch that was woken asks for its room itself.

    A refused login is not recorded here: the run that is woken is refused as well, fails, and tells as ever. Of an inbox that
    was removed or paused a moment ago nobody is asked.
    """
    try:
        inbox, has_work, sealed = world.inboxes.to_probe(inbox_id)
    except NotFound:
        return Found(mail=False, asked=False)
    if inbox.is_removed:
        return Found(mail=False, asked=False)
    asked = inbox.is_live and not has_work
    return Found(has_work or intake.has_news(world, inbox, sealed, disconnects=False), asked)


def pass_over(world: World, inbox_id: int, why: str) -> TransientError:
    """Of an inbox whose server is left alone for a while: it says what it waits for."""
    error = TransientError(why)
    world.inboxes.note_error(inbox_id, error)
    return error


def looker(world: World) -> Looker:
    """One that shares the looks of this cell with all others. Raises OperatorError where looking is not set up."""
    _allow_connections()
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    return Looker(name, world.looks, _Inboxes(world), every=_every(world))


def check(world: World) -> Standing:
    """Have every inbox of our cell looked at that is to be, and say how it goes.

    Raises OperatorError when looks are late, naming the server whose are latest, or when no run fetches what they find.
    """
    world.looks.follow(_every(world))
    found = next((cell.looks for cell in world.heart.cells() if cell.name == world.cell), standing(0, 0.0))
    if not found.well:
        latest = world.looks.latest()
        where = f"; most of all at {latest[0]}: {latest[1]} of its inboxes" if latest else ""
        raise OperatorError(
            f"{found.said}{where}", fix="Start the triggerers anew; `inboxops doctor` says when looks are in time again"
        )
    if names := world.looks.not_fetched():
        raise OperatorError(
            f"looks found mail in {len(names)} inboxes that no run has fetched since: {', '.join(names[:NAMED])}"
            f"{' and others' if len(names) > NAMED else ''}",
            fix="Are their DAGs paused in Airflow, or do their runs fail? The console's filter for trouble shows all of them",
        )
    return found


def _every(world: World) -> timedelta:
    if not world.settings.look_minutes:
        raise OperatorError("inboxes are not looked at without a run here", fix="Set INBOXOPS_LOOK_MINUTES")
    return timedelta(minutes=world.settings.look_minutes)


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

    def look(self, inbox_id: int) -> Found:
        return look(self._world, inbox_id)

    def wake(self, inbox_id: int) -> None:
        runs.wake(self._world, inbox_id)

    def note(self, inbox_id: int, error: InboxOpsError) -> None:
        self._world.inboxes.note_error(inbox_id, error)

    def forget(self, inbox_id: int, connection_type: str) -> None:
        self._world.prober(connection_type).forget(inbox_id)
