"""Erasing for good: one customer, or a tenant that leaves."""

from __future__ import annotations

from functools import partial

from inboxops.composition import connecting
from inboxops.composition.world import World
from inboxops.core.erasure import Erased, Found, address_hash
from inboxops.errors import InvalidInput
from inboxops.oauth.clients import CLIENTS
from inboxops.stories import erase as story
from inboxops.stories.telling import log


def found(world: World, tenant_id: int, address: str) -> Found:
    """What there is of a customer. Raises InvalidInput for one of the tenant's own mailboxes."""
    address = address.strip().lower()
    if "@" not in address or address in world.inboxes.own_addresses(tenant_id):
        raise InvalidInput(
            f"{address!r} is no customer's address", fix="Name the address in full; none of our own mailboxes"
        )
    return world.erasures.found(tenant_id, address)


def erase(world: World, tenant_id: int, address: str, *, by: str) -> Erased:
    """Everything that a customer wrote, that we wrote to nobody else, and their files, here. The mailbox itself is not touched.

    Raises InvalidInput as `found` does, TransientError when a part is away: doing it again finishes it.
    """
    found(world, tenant_id, address)
    done = world.erasures.erase(
        tenant_id,
        address.strip().lower(),
        partial(story.wipe, tenant_id, objects=world.objects),
        address_hash=address_hash(address.strip(), world.signing_key.current),
        by=by,
    )
    log.info("customer_erased", by=by, messages=done.messages, mails=done.mails, files=done.files, tickets=done.tickets)
    return done


def erase_tenant(world: World, slug: str) -> dict[str, int]:
    """A tenant with its inboxes, tickets, keys, mail and objects. Consents are taken back first."""
    tenant_id = world.inboxes.tenant_id(slug)
    for inbox in world.inboxes.all(slug):
        if inbox.connection_type in CLIENTS:
            connecting.disconnect(world, inbox)
        world.inboxes.remove(inbox.id)
    objects = story.wipe_tenant(tenant_id, world.objects)
    counts = world.erasures.erase_tenant(tenant_id) | {"objects": objects}
    world.bus.forget(tenant_id)
    log.info("tenant_erased", tenant=slug, **counts)
    return counts
