"""Replies, and what lets them and their events out."""

from __future__ import annotations

from inboxops.composition import mailboxes, runs
from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.core.outbound import Accepted, Claim, ReplyRequest, inbox_removed
from inboxops.errors import AuthenticationFailed, InboxOpsError
from inboxops.providers import sender
from inboxops.stories import reply as replying
from inboxops.stories import send as story
from inboxops.stories.publish import publish as publish_events
from inboxops.stories.telling import log


def reply(
    world: World,
    tenant_id: int,
    ticket_id: int,
    request: ReplyRequest,
    *,
    author: str,
    idempotency_key: str | None,
) -> Accepted:
    """Store a reply with its order to send; `dispatch` lets it out."""
    return replying.reply(
        tenant_id,
        ticket_id,
        request,
        world.outbound,
        world.attachments,
        world.objects,
        author=author,
        idempotency_key=idempotency_key,
        own_addresses=world.inboxes.own_addresses(tenant_id),
        signing_key=world.signing_key,
    )


def publish(world: World, tenant_id: int) -> None:
    """Let a tenant's events out."""
    publish_events(world.outbox, world.bus, [tenant_id])


def dispatch(world: World, tenant_id: int, message_id: int, attempt: int) -> None:
    """Behind the commit: start the run that sends, and let the events out. What can't go now waits for `upkeep.drain`."""
    runs.deliver_sends(world, tenant_id=tenant_id, name=f"{message_id}-{attempt}")
    publish(world, tenant_id)


def ticket_page(world: World, message_id: int) -> str:
    """Where an agent reads the message's ticket; "" when there is no such message."""
    ticket_id = world.outbound.ticket_of(message_id)
    return "" if ticket_id is None else f"{world.settings.api_url.rstrip('/')}/tickets/{ticket_id}"


def send(
    world: World, message_id: int, attempt: int, *, is_patient: bool = False, last_try: bool = False
) -> story.Dispatch:
    """One attempt, then its events. Of a tenant that has moved to another cell, that cell makes it, whose drain finds the order.

    Raises what `stories.send` raises.
    """
    owner = world.moves.of_message(message_id)
    if owner is not None and owner["cell"] != world.cell:
        world.moves.order_again(message_id, attempt)
        # Not delivered here: an INBOXOPS_CELLS that names a wrong Airflow would have it come back at once, and for ever.
        said = f"the tenant {owner['tenant']} is in cell {owner['cell']} now, whose Airflow sends it"
        log.info("send_handed_on", message=message_id, attempt=attempt, why=said)
        return story.Dispatch("skipped", message_id, note=said)
    claims: list[Claim] = []
    opened: list[Inbox] = []

    def way_of(claim: Claim) -> story.Way:
        claims.append(claim)
        inbox = world.inboxes.get(claim.inbox_id, removed=True)
        if inbox.is_removed:
            raise inbox_removed()
        opened.append(inbox)
        log.info(
            "send_began", message=claim.id, attempt=attempt, inbox=inbox.name, recipients=len(claim.to) + len(claim.cc)
        )
        return story.Way(mailboxes.account(world, inbox), sender(inbox.connection_type))

    try:
        done = story.send(
            *(message_id, attempt, world.outbound, world.objects, way_of), is_patient=is_patient, last_try=last_try
        )
        log.info(
            "send_ended", message=message_id, attempt=attempt, state=done.state, refused=done.refused, note=done.note
        )
        return done
    except AuthenticationFailed as exc:
        for inbox in opened:
            world.inboxes.disconnect(inbox, exc)  # invariant 6
        raise
    except InboxOpsError as exc:
        log.warning("send_failed", message=message_id, attempt=attempt, kind=type(exc).__name__, server=str(exc))
        raise
    finally:
        publish_events(world.outbox, world.bus, [claim.tenant_id for claim in claims])
