"""An inbox compared with its mailbox from a day on: wished for by a person, done by its next fetch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from inboxops.composition import mailboxes, runs
from inboxops.composition.world import World
from inboxops.errors import Conflict, InvalidInput
from inboxops.ports import FetchLimits
from inboxops.providers import provider
from inboxops.stories import fetch as fetching
from inboxops.stories import resync as story
from inboxops.stories.telling import log

OLDEST = datetime(1971, 1, 1, tzinfo=UTC)
"""Before there was mail. Gmail counts seconds from 1970, and a day earlier has to be a date."""


def wish(world: World, inbox_id: int, since: datetime) -> bool:
    """Have the inbox's next fetch take in what its mailbox holds since then and no row knows; it is woken. True when delivered now.

    Raises InvalidInput for a moment that is not past or before `OLDEST`, Conflict for an inbox that is not read.
    """
    inbox = world.inboxes.get(inbox_id)
    if since < OLDEST:
        raise InvalidInput(f"{since:%Y-%m-%d} is before there was mail", fix=f"Name a day from {OLDEST:%Y-%m-%d} on")
    if since >= datetime.now(UTC):
        raise InvalidInput(f"{since:%Y-%m-%d} is not past", fix="Name the day from which on mail is missing")
    if not inbox.is_live:
        raise Conflict(f"{inbox.name} is {inbox.state}", fix="Resume or reconnect it first")
    world.inboxes.resync(inbox_id, since)
    return runs.wake(world, inbox_id)


def take_in(
    world: World, inbox_id: int, since: datetime, *, most: int, turn: Callable[[], Callable[[], bool]], by: str = ""
) -> fetching.Fetched:
    """Take in up to so many of what is missing, as old mail: nobody is answered automatically. The wish is over with the last.

    turn: begun behind the comparison, which takes its time; asked behind each batch then, whether the rest is another run's.
    Raises the provider's errors, after they were recorded on the inbox.
    """
    inbox = world.inboxes.get(inbox_id)
    account, mailbox = mailboxes.account(world, inbox), provider(inbox.connection_type)
    with fetching.standing(inbox, world.inboxes):
        found = story.compare(inbox_id, account, mailbox, world.certificates, since, datetime.now(UTC))
    log.info(
        "resync_compared", inbox=inbox.name, since=f"{since:%Y-%m-%d}", listed=found.listed, missing=len(found.missing)
    )
    taken = fetching.Fetched()
    if found.missing:
        stores = (world.inbound, world.inboxes, world.bulk_objects)
        taken = fetching.fetch_named(
            inbox, account, mailbox, *stores, found.missing[:most], limits=FetchLimits(), yields=turn(), by=by
        )
    more = taken.more or len(found.missing) > most
    if not more:
        said = f"compared with its mailbox from {since:%Y-%m-%d}: {found.listed} there, {len(found.missing)} of them taken in"
        world.inboxes.resynced(inbox_id, since, said)
    return replace(taken, more=more)
