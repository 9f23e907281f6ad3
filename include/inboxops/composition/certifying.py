"""Certificates: made for a tenant, with what could be put right put right; looked at and verified."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from inboxops.composition import intake, mailboxes, runs
from inboxops.composition.world import World
from inboxops.core import certificate as core
from inboxops.core.accounting import Kind
from inboxops.core.certificate import Certificate
from inboxops.core.inbox import Inbox
from inboxops.core.model import Listed
from inboxops.errors import NotFound, Overtaken
from inboxops.ports import FetchLimits
from inboxops.providers import provider, sender
from inboxops.stories import certify as story
from inboxops.stories import fetch as fetching
from inboxops.stories.certify_mailbox import Door
from inboxops.stories.certify_objects import Stocktaking
from inboxops.stories.telling import log

CERTIFYING = "a certificate"
"""Who took in mail that was missing, in the life of a mail."""
FETCHES = 10
"""Bounded fetches in a row of one inbox: with a larger backlog its next certificate is the one that tells."""


@dataclass(frozen=True, slots=True)
class Certified:
    """What making a certificate came to. skipped: inboxes that could not be asked."""

    number: int
    day: str
    mails: int
    unaccounted: int
    repaired: int
    skipped: int
    said: str


def certify(
    world: World, tenant_id: int, *, now: datetime | None = None, door: Callable[[Inbox], Door] | None = None
) -> Certified:
    """Make the tenant's next certificate. Mail that was missing is fetched, and filed by its inbox's next run, which is woken.

    door: how an inbox is asked, otherwise than by its own provider. Raises TransientError when the database or the object store
    is away.
    """
    inboxes = world.inboxes.of_tenant(tenant_id)
    subject = story.Subject(
        tenant_id=tenant_id,
        tenant=world.inboxes.tenant_slug(tenant_id),
        inboxes=inboxes,
        door=door or partial(way_in, world),
        signing_key=world.signing_key,
        kept=timedelta(days=world.settings.keep_listed_days),
        now=now or datetime.now(UTC),
    )
    world.database, world.bulk_objects, world.vault  # noqa: B018  # made here, before threads ask for them
    stocktaking = Stocktaking(tenant_id, world.certificates, world.objects, world.bulk_objects)
    account = story.account(subject, world.certificates, stocktaking)
    made = world.certificates.add(
        tenant_id,
        account.spans,
        lambda number, previous: core.make(account, number, previous, world.signing_key),
    )
    for inbox_id in {one.inbox_id for one in account.findings if one.kind is Kind.MAIL_MISSING and one.repaired}:
        runs.wake(world, inbox_id)
    said = core.sentence(body(made))
    log.info("certificate_made", tenant=subject.tenant, number=made.number, digest=made.digest, said=said)
    return Certified(
        number=made.number,
        day=made.day.isoformat(),
        mails=made.mails,
        unaccounted=sum(made.unaccounted.values()),
        repaired=sum(one.repaired for one in account.findings),
        skipped=sum(bool(span.skipped) for span in account.spans),
        said=said,
    )


def way_in(world: World, inbox: Inbox) -> Door:
    """How the inbox is asked. Raises AuthenticationFailed for one without credentials."""
    account = mailboxes.account(world, inbox)

    def fetch_named(wanted: Sequence[Listed]) -> None:
        fetching.fetch_named(
            world.inboxes.get(inbox.id),
            account,
            provider(inbox.connection_type),
            world.inbound,
            world.inboxes,
            world.bulk_objects,
            wanted,
            limits=FetchLimits(),
            by=CERTIFYING,
        )

    return Door(
        inbox_id=inbox.id,
        tenant_id=inbox.tenant_id,
        account=account,
        provider=provider(inbox.connection_type),
        sender=sender(inbox.connection_type),
        fetch=lambda: _fetch(world, inbox),
        fetch_named=fetch_named,
        stored=lambda inbound_id: intake.raw_mail(world, inbound_id),
    )


def _fetch(world: World, inbox: Inbox) -> bool:
    """Everything behind the cursor; False when that has no end here."""
    for _ in range(FETCHES):
        try:
            if not intake.fetch(world, inbox.id, by=CERTIFYING).more:
                return True
        except Overtaken:  # the inbox's own run takes it in
            continue
    return False


def due(world: World, *, limit: int) -> list[int]:
    """Tenants to certify; who has waited longest comes first."""
    return world.certificates.tenants(cell=world.cell, limit=limit)


def of_day(world: World, tenant_id: int, day: date | None) -> Certificate:
    """A day's last certificate, or the last of all. Raises NotFound."""
    found = world.certificates.of_day(tenant_id, day)
    if found is None:
        when = f" of {day}" if day else ""
        raise NotFound(
            f"there is no certificate{when}", fix="`inboxops certificate list --tenant NAME` shows those there are"
        )
    return found


def verify(world: World, tenant_id: int) -> tuple[int, list[str]]:
    """(the number of the last certificate, what is wrong with them)."""
    last = world.certificates.of_day(tenant_id, None)
    wrong = core.problems(world.certificates.chain(tenant_id), world.signing_key)
    return last.number if last else 0, wrong


def body(made: Certificate) -> dict[str, Any]:
    """What a certificate says."""
    said: dict[str, Any] = json.loads(made.body)
    return said
