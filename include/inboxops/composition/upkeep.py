"""What is left over: what a crash or an outage kept in, notices to admins, and what is past its retention."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from inboxops.composition import intake, runs, sending
from inboxops.composition.world import World
from inboxops.core import cells
from inboxops.core.looking import Standing
from inboxops.core.pulse import Pulse, State
from inboxops.core.push import Errand
from inboxops.core.reach import Reach
from inboxops.events import webhook
from inboxops.stories import drain as draining
from inboxops.stories import housekeep as housekeeping
from inboxops.stories import notify as notifying
from inboxops.stories import pulse as story
from inboxops.stories.publish import publish

LEFT_MINUTES = 15
"""Mail that no run moved on for so long was left by a crash: longer than any slice takes."""

LEFT_SECONDS = 120.0
"""For what was left: the next run is due each minute, for everything else, and late after five."""

SEND_MINUTES = 120
"""A message that waits without a try for so long has no run: the longest pause between two tries, an hour, and as much again."""


def drain(world: World) -> draining.Drained:
    """Events, wake-ups, sends and mail of our cell that a crash or an outage left; and, for all cells, what admins are told.

    Leaves its time beside the pulse once it has done what all wait for; left mail, which may be much, it files at the end.
    """
    cell = world.cell
    events = publish(world.outbox, world.bus, world.outbox.tenants_with_open_events(cell=cell))
    wakes, wakes_waiting = runs.deliver(world, Errand.WAKE, cell=cell)
    registrations, _ = runs.deliver(world, Errand.REGISTER, cell=cell)
    replays, _ = runs.deliver(world, Errand.REPLAY, cell=cell)
    ordered = world.outbox.order_left_sends(cell=cell, minutes=SEND_MINUTES)
    sends, sends_waiting = runs.deliver_sends(world, cell=cell)
    # A cell that stands still is no reason to keep it from its tenants' admins.
    notified = notify(world) if world.heart.is_on_duty() else notifying.Notified(0, 0, 0)
    if not world.settings.look_minutes:
        world.looks.end()  # each look is a run here, so none is late
    world.heart.drained()
    ends = time.monotonic() + LEFT_SECONDS

    def in_time() -> bool:
        return time.monotonic() < ends

    send, file = partial(sending.send, world), partial(intake.file, world, careful=True, in_time=in_time)
    resumed, unresolved = draining.resume_left_sends(
        world.outbound, send, cell=cell, minutes=LEFT_MINUTES, in_time=in_time
    )
    filed, failed = draining.file_left_mail(world.inboxes, file, cell=cell, minutes=LEFT_MINUTES, in_time=in_time)
    return draining.Drained(
        events=events,
        wakes=wakes,
        wakes_waiting=wakes_waiting,
        registrations=registrations,
        replays=replays,
        sends=sends,
        sends_waiting=sends_waiting,
        sends_ordered_again=ordered,
        sends_resumed=resumed,
        sends_failed=unresolved,
        inboxes_filed=filed,
        inboxes_failed=failed,
        notices_delivered=notified.delivered,
        notices_waiting=notified.kept,
    )


def pulse(world: World, due_at: datetime) -> Pulse:
    """One beat, by whatever runs tasks here. due_at: when the run was to begin."""
    return story.pulse(world.heart, world.objects, world.bus, due_at=due_at, clock=partial(datetime.now, UTC))


def triggered(world: World) -> None:
    """Of the triggerer: something ran in it now."""
    world.heart.triggered()


def pulse_state(world: World) -> State:
    """How the pulse is, by the database's last beats; of several cells the one that stands still is named."""
    return cells.pulse_of(world.heart.cells(), world.cell)


def looks_state(world: World) -> Standing:
    """Whether inboxes that are looked at without a run are so in time."""
    return cells.looks_of(world.heart.cells(), world.cell)


def notify(world: World) -> notifying.Notified:
    """Tell the tenants' admins what began to be wrong, and what is over."""
    return notifying.notify(world.notices, {"mail": world.relay, "webhook": partial(webhook.post, _reach(world))})


def tell(world: World, tenant_id: int, *, mail: str, url: str, kinds: Sequence[str]) -> tuple[int, str]:
    """Tell one address or URL from now on: (channel, the webhook's secret). Raises InvalidInput for a URL out of reach."""
    if mail:
        world.relay.check()
    else:
        webhook.check(_reach(world), url)
    secret = "" if mail else webhook.new_secret()
    sealed = world.vault.seal({"secret": secret}) if secret else None
    return notifying.tell(tenant_id, world.notices, mail=mail, url=url, sealed=sealed, kinds=kinds), secret


def _reach(world: World) -> Reach:
    """Where webhooks may stand: a tenant wished for them, whoever put them in."""
    return Reach.of(world.settings.private_hosts)


def renew_secret(world: World, channel_id: int, *, keep_old: bool) -> str:
    """A webhook's new secret. keep_old: until the next renewal the one before signs, too, so that a receiver may change.

    Raises NotFound for a channel that is no webhook.
    """
    secret = webhook.new_secret()

    def renew(sealed: bytes) -> bytes:
        before = world.vault.open(sealed)["secret"].split()[:1] if keep_old else []
        return world.vault.seal({"secret": " ".join([secret, *before])})

    world.notices.renew_secret(channel_id, renew)
    return secret


@dataclass(frozen=True, slots=True)
class Resealed:
    """How many were sealed anew."""

    inboxes: int
    webhooks: int


def reseal(world: World) -> Resealed:
    """Seal everything with the first of the keys of credentials; the others can be dropped then.

    Raises OperatorError where none of them opens something.
    """
    rotate = world.vault.rotate
    return Resealed(world.credentials.reseal(rotate), world.notices.reseal(rotate))


def housekeep(world: World) -> housekeeping.Housekept:
    """What is past its retention, and objects that no row names: of the whole installation, so one cell does it."""
    if not world.heart.is_on_duty():
        return housekeeping.Housekept(skipped="another cell does it for all")
    days = world.settings
    retention = housekeeping.Retention(days.keep_listed_days, days.keep_outbox_days, days.keep_replays_days)
    return housekeeping.housekeep(
        world.leftovers,
        world.outbox,
        world.replays,
        world.canaries,
        world.objects,
        retention,
        now=datetime.now(UTC),
    )
