"""Watch: an inbox gets a push channel, keeps it, and lets it go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from inboxops.core.inbox import Inbox
from inboxops.core.push import Channel, client_state_hash
from inboxops.errors import AuthenticationFailed, InboxOpsError
from inboxops.ports import Account, Watcher


class Channels(Protocol):
    """What is kept of channels."""

    def channels(self, inbox_ids: Collection[int]) -> Mapping[int, Channel]: ...

    def subscription_id(self, inbox_id: int) -> str | None: ...

    def registered(
        self, inbox_id: int, *, expires_at: datetime, subscription_id: str, client_state_hash: bytes | None, made: bool
    ) -> None: ...

    def failed(self, inbox_id: int, error: str) -> None: ...

    def stopped(self, inbox_id: int) -> None: ...


class Standing(Protocol):
    def disconnect(self, inbox: Inbox, error: InboxOpsError) -> bool: ...


@dataclass(frozen=True, slots=True)
class Watched:
    """made: the channel is new, so what came before it was told to nobody."""

    inbox_id: int
    made: bool = False
    skipped: str = ""


def register(
    inbox: Inbox,
    account: Callable[[], Account],
    watcher: Watcher,
    channels: Channels,
    inboxes: Standing,
    *,
    now: datetime,
    anew: bool = False,
) -> Watched:
    """Renew the inbox's channel, or make it; one that is suspect or has ended is made anew. anew: this one too, with a new secret.

    Raises what `account` does and the provider's errors, after they were noted: the next renewal tries again.
    """
    channel = channels.channels([inbox.id])[inbox.id]
    known = channels.subscription_id(inbox.id) or ""
    try:
        done = watcher.register(account(), known, anew=anew or channel.is_suspect or not channel.is_alive(now))
    except InboxOpsError as exc:
        channels.failed(inbox.id, str(exc))
        if isinstance(exc, AuthenticationFailed):
            inboxes.disconnect(inbox, exc)  # invariant 6
        raise
    channels.registered(
        inbox.id,
        expires_at=done.expires_at,
        subscription_id=done.subscription_id,
        client_state_hash=client_state_hash(done.client_state) if done.client_state else None,
        made=done.made,
    )
    return Watched(inbox.id, done.made)


def stop(inbox: Inbox, account: Callable[[], Account], watcher: Watcher, channels: Channels) -> None:
    """End the channel and forget it, whatever the provider says: without credentials it ends by itself.

    Raises what `account` does and the provider's errors after that.
    """
    known = channels.subscription_id(inbox.id) or ""
    try:
        watcher.stop(account(), known)
    finally:
        channels.stopped(inbox.id)
