"""Canary: one mail of our own to an inbox, which must come back.

The row is there before the mail, and its one permission is taken right before the last step of handing over (ADR 0005). A run
that is killed before leaves a canary that was not sent; one that is killed behind leaves one in doubt, which is never called late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from inboxops.core import canary as core
from inboxops.core.canary import Canary
from inboxops.core.compose import wire_address
from inboxops.core.inbox import Inbox
from inboxops.core.model import Address
from inboxops.core.signing import SigningKey
from inboxops.errors import InboxOpsError, MessageRefused, OutcomeUnknown, TransientError
from inboxops.ports import Account, Envelope, Sender
from inboxops.stories.telling import WHO, log


class Flock(Protocol):
    """What is asked of the database."""

    def hand_over(self, canary_id: int) -> bool: ...

    def sent(self, canary_id: int) -> None: ...

    def not_sent(self, canary_id: int, error: str, *, in_doubt: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class Way:
    """From which inbox, opened how, by which sender."""

    inbox: Inbox
    account: Account
    sender: Sender


def send(canary: Canary, watched: Inbox, way_of: Callable[[], Way], flock: Flock, *, signing_key: SigningKey) -> None:
    """Hand the canary over, and keep what came of it. way_of: opens the sender, whose credentials may be gone.

    Raises what the sender raises, after it was kept; what nobody foresaw is kept, too.
    """

    handed_over = False

    def commit() -> None:
        nonlocal handed_over
        handed_over = flock.hand_over(canary.id)
        if not handed_over:
            raise TransientError(f"canary {canary.id} was given up meanwhile")

    try:
        way = way_of()
        sender = way.inbox.email_address
        raw = core.mail(canary, sender=Address("", sender), to=watched.email_address, signing_key=signing_key)
        envelope = Envelope(wire_address(sender), (wire_address(watched.email_address),))
        sent = way.sender.send(way.account, raw, envelope, commit=commit, thread_id=None)
        if sent.refused:
            raise MessageRefused(f"the server did not take {watched.email_address}: {sent.refused[0].reply}")
    except InboxOpsError as exc:
        flock.not_sent(canary.id, str(exc), in_doubt=isinstance(exc, OutcomeUnknown))
        log.warning("canary_not_sent", canary=canary.id, inbox=watched.name, why=str(exc), who_can_help=WHO[exc.kind])
        raise
    except Exception as exc:  # what fails in a way nobody foresaw is kept with its reason
        flock.not_sent(canary.id, f"{type(exc).__name__}: {exc}", in_doubt=handed_over)
        raise
    flock.sent(canary.id)
    log.info("canary_sent", canary=canary.id, inbox=watched.name, sender=way.inbox.name)
