"""Canaries: sent to the inboxes that wish for them, and deleted from their mailboxes where they wish so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter

from inboxops.composition import mailboxes
from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.core.model import InboxContext, Listed
from inboxops.db.database import Row
from inboxops.errors import AuthenticationFailed, InboxOpsError, NotFound
from inboxops.ports import Mailbox
from inboxops.providers import provider, sender
from inboxops.stories import canary as story
from inboxops.stories.telling import log

CLEARED_AT_ONCE = 500
SENT_AT_ONCE = 3
"""Fewer than connections to the database: whoever renews a token holds one meanwhile."""
LEFT_MINUTES = 10
"""A run that has not handed its canary over for so long runs no more: a sender's time-outs before the last step are shorter."""


@dataclass(frozen=True, slots=True)
class Flown:
    """How many inboxes were due, and what became of their canaries. left: of killed runs, said to be not sent.

    removed, not_removed: of those that came back, out of their mailboxes or for now still there.
    """

    due: int = 0
    sent: int = 0
    not_sent: int = 0
    left: int = 0
    removed: int = 0
    not_removed: int = 0


def tend(world: World) -> Flown:
    """What is to be done every few minutes: send to whom it is due, delete what came back where that is wished."""
    flown, removed, not_removed = send_due(world), 0, 0
    rows = world.canaries.to_remove(cell=world.cell, limit=CLEARED_AT_ONCE)
    for inbox_id, some in groupby(rows, key=itemgetter("inbox_id")):
        returned = [story.Returned(row["id"], _mail(row)) for row in some]
        cleared = _clear(world, inbox_id, returned)
        removed, not_removed = removed + cleared, not_removed + len(returned) - cleared
    log.info("canaries_cleared", removed=removed, not_removed=not_removed)
    return replace(flown, removed=removed, not_removed=not_removed)


def _clear(world: World, inbox_id: int, returned: list[story.Returned]) -> int:
    """How many are out of the mailbox. One that can't be opened stops no other (invariant 7): its canaries say why."""
    inbox = world.inboxes.get(inbox_id)

    def opened() -> AbstractContextManager[Mailbox]:
        return provider(inbox.connection_type).open(mailboxes.account(world, inbox))

    context = InboxContext(inbox.tenant_id, inbox_id, inbox.email_address, signing_key=world.signing_key)
    cleared = 0
    try:
        for _ in story.clear(returned, context, opened, world.canaries):
            cleared += 1
    except AuthenticationFailed as exc:
        world.inboxes.disconnect(inbox, exc)  # invariant 6
    except InboxOpsError:  # kept with the canaries, and logged there
        pass
    return cleared


def _mail(row: Row) -> Listed:
    return Listed(row["key"], row["size_bytes"], row["received_at"], row["thread_id"])


def send_due(world: World) -> Flown:
    """One to each inbox that is due. One that can't be sent stops no other (invariant 7): its row and a notice say why.

    A few at once, so that a server that hangs holds up nobody else's.
    """
    left = world.canaries.settle_left(cell=world.cell, minutes=LEFT_MINUTES)
    due = world.canaries.due(cell=world.cell)
    world.inboxes, world.credentials, world.vault, world.signing_key  # noqa: B018  # made here, before threads ask for them

    def sent_to(inbox_id: int) -> bool | None:
        """None when that failed."""
        try:
            return send(world, inbox_id, even_if_not_due=False) is not None
        except InboxOpsError:  # kept with the canary, and logged there
            return None

    with ThreadPoolExecutor(SENT_AT_ONCE, thread_name_prefix="canary") as sending:
        came = list(sending.map(sent_to, due))
    sent, failed = came.count(True), came.count(None)
    log.info("canaries_ended", due=len(due), sent=sent, not_sent=failed, left=left)
    return Flown(len(due), sent, failed, left)


def send(world: World, inbox_id: int, *, even_if_not_due: bool = True) -> int | None:
    """The number of the canary that left; None when none is due any more. Raises NotFound and what the sender raises."""
    watched = world.inboxes.get(inbox_id)
    canary = world.canaries.add(inbox_id, even_if_not_due=even_if_not_due)
    if canary is None:
        if even_if_not_due:
            raise NotFound(f"there is no inbox {inbox_id}", fix="`inboxops inbox list` shows them")
        return None

    opened: list[Inbox] = []

    def way_of() -> story.Way:
        inbox = world.inboxes.get(canary.sender_id)
        opened.append(inbox)
        return story.Way(inbox, mailboxes.account(world, inbox), sender(inbox.connection_type))

    try:
        story.send(canary, watched, way_of, world.canaries, signing_key=world.signing_key)
    except AuthenticationFailed as exc:
        for inbox in opened:
            world.inboxes.disconnect(inbox, exc)  # invariant 6
        raise
    return canary.id
