"""Canaries: sent to the inboxes that wish for them."""

from __future__ import annotations

from dataclasses import dataclass

from inboxops.composition import mailboxes
from inboxops.composition.world import World
from inboxops.errors import AuthenticationFailed, InboxOpsError, NotFound
from inboxops.providers import sender
from inboxops.stories import canary as story
from inboxops.stories.telling import log

LEFT_MINUTES = 10
"""A run that has not handed its canary over for so long runs no more: a sender's time-outs before the last step are shorter."""


@dataclass(frozen=True, slots=True)
class Flown:
    """How many inboxes were due, and what became of their canaries. left: of killed runs, said to be not sent."""

    due: int = 0
    sent: int = 0
    not_sent: int = 0
    left: int = 0


def send_due(world: World) -> Flown:
    """One to each inbox that is due. One that can't be sent stops no other (invariant 7): its row and a notice say why."""
    left = world.canaries.settle_left(minutes=LEFT_MINUTES)
    due = world.canaries.due()
    sent = failed = 0
    for inbox_id in due:
        try:
            sent += send(world, inbox_id, even_if_not_due=False) is not None
        except InboxOpsError:  # kept with the canary, and logged there
            failed += 1
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

    def way_of() -> story.Way:
        inbox = world.inboxes.get(canary.sender_id)
        return story.Way(inbox, mailboxes.account(world, inbox), sender(inbox.connection_type))

    try:
        story.send(canary, watched, way_of, world.canaries, signing_key=world.signing_key)
    except AuthenticationFailed as exc:
        world.inboxes.disconnect(canary.sender_id, exc)  # invariant 6
        raise
    return canary.id
