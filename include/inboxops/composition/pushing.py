"""Push channels: the stories of `stories.watch` on a World."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from inboxops.composition import mailboxes, runs
from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.core.push import RENEW_WITHIN
from inboxops.errors import MailboxNotFound
from inboxops.providers import WATCHERS, watcher
from inboxops.settings import Settings
from inboxops.stories import watch as story
from inboxops.stories.watch import Watched

RECEIPT_HOURS = 48
"""What was stored so long ago can't be replayed: the token that it came with has expired."""


def target(connection_type: str, settings: Settings) -> str:
    """Where that kind of mailbox pushes to; "" when it is not to push, or can't."""
    return {"gmail": settings.google_pubsub_topic, "microsoft": settings.graph_push_notification_url}.get(
        connection_type, ""
    )


def can_push(connection_type: str) -> bool:
    """Whether that kind of mailbox can tell of new mail by a channel at all."""
    return connection_type in WATCHERS


def is_wanted(world: World, connection_type: str) -> bool:
    return target(connection_type, world.settings) != ""


def due(world: World, connection_type: str, *, limit: int) -> list[int]:
    """Inboxes whose channel is to be made or renewed now; none when that kind is not to push."""
    if not is_wanted(world, connection_type):
        return []
    world.push.forget_receipts(hours=RECEIPT_HOURS)
    return world.push.due(connection_type, cell=world.cell, within=RENEW_WITHIN[connection_type], limit=limit)


def register(world: World, inbox_id: int, *, anew: bool = False) -> Watched:
    """Make or renew an inbox's channel. What came while there was none is fetched behind a new one. anew: with a new secret.

    A shared mailbox of Microsoft is polled where Graph refuses to tell of it: that wants a permission of the application for all
    mailboxes, not a person's consent ("Get Outlook messages in a shared or delegated folder").

    Raises what `stories.watch.register` does.
    """
    inbox = world.inboxes.get(inbox_id)
    where = target(inbox.connection_type, world.settings)
    if not where:
        return Watched(inbox_id, skipped=f"no push is set up for {inbox.connection_type}")
    if inbox.connected_at is None:
        return Watched(inbox_id, skipped="the inbox is disconnected")
    try:
        watched = story.register(
            inbox,
            partial(mailboxes.account, world, inbox),
            watcher(inbox.connection_type, where),
            world.push,
            world.inboxes,
            now=datetime.now(UTC),
            anew=anew,
        )
    except MailboxNotFound as exc:
        if "mailbox" not in inbox.connection:
            raise
        world.push.stopped(inbox_id)
        return Watched(inbox_id, skipped=f"Microsoft does not push for this shared mailbox, so it is polled: {exc}")
    if watched.made and inbox.is_live:
        runs.wake(world, inbox_id)
    return watched


def ask(world: World, inbox: Inbox) -> None:
    """Have Airflow make the inbox's channel, where its kind is to push: at once, or when it is back."""
    if is_wanted(world, inbox.connection_type):
        runs.ask_for_registration(world, inbox)


def stop(world: World, inbox: Inbox) -> None:
    """End the inbox's channel, before its credentials go. Raises what `stories.watch.stop` does.

    A watch of Gmail is its account's: it stays while another inbox, of whichever tenant, lives on the same account.
    """
    if not can_push(inbox.connection_type):
        return
    if inbox.connection_type == "gmail" and world.credentials.account_is_shared(inbox.tenant_id, inbox.id):
        world.push.stopped(inbox.id)
    else:
        story.stop(inbox, partial(mailboxes.account, world, inbox), watcher(inbox.connection_type, ""), world.push)
