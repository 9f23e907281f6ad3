"""Canary: one mail of our own to an inbox, which must come back.

The row is there before the mail, and its one permission is taken right before the last step of handing over (ADR 0005). A run
that is killed before leaves a canary that was not sent; one that is killed behind leaves one in doubt, which is never called late.

Where its inbox wishes so, one that came back is deleted from the mailbox: by the provider's key of the mail that was recognised,
after that was read there once more. What its token does not name is never touched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from inboxops.core import canary as core
from inboxops.core.canary import Canary
from inboxops.core.classify import classify
from inboxops.core.compose import wire_address
from inboxops.core.inbox import Inbox
from inboxops.core.mime import parse
from inboxops.core.model import Address, Cursor, InboxContext, Listed, Removed
from inboxops.core.signing import SigningKey
from inboxops.errors import InboxOpsError, MessageRefused, OutcomeUnknown, TransientError
from inboxops.ports import Account, Envelope, FetchLimits, Mailbox, Sender
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


class Cleared(Protocol):
    """What is asked of the database about those that are deleted."""

    def removed(self, canary_id: int, how: Removed) -> None: ...

    def not_removed(self, canary_ids: Sequence[int], error: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Returned:
    """A canary, and the mail of its inbox that it was recognised in."""

    id: int
    mail: Listed


def clear(
    returned: Sequence[Returned],
    context: InboxContext,
    opened: Callable[[], AbstractContextManager[Mailbox]],
    flock: Cleared,
) -> Iterator[Removed]:
    """Delete canaries of one inbox from its mailbox; tells of each that is not there any more. opened: the mailbox, open.

    Raises what the mailbox raises, after it was kept with each that is left; what nobody foresaw is kept, too.
    """
    waiting = deque(returned)
    try:
        with opened() as mailbox:
            while waiting:
                one = waiting[0]
                removed = _cleared(mailbox, one, context)
                if removed is None:
                    _keep(flock, [one], "another mail stands in its place", context.inbox_id, "nobody: that mail stays")
                else:
                    flock.removed(one.id, removed)
                    log.info("canary_removed", canary=one.id, inbox=context.inbox_id, how=removed.value)
                waiting.popleft()
                if removed is not None:
                    yield removed
    except InboxOpsError as exc:
        _keep(flock, waiting, str(exc), context.inbox_id, WHO[exc.kind])
        raise
    except Exception as exc:  # what fails in a way nobody foresaw is kept with its reason
        _keep(flock, waiting, f"{type(exc).__name__}: {exc}", context.inbox_id, "nobody: it is tried again")
        raise


def _cleared(mailbox: Mailbox, one: Returned, context: InboxContext) -> Removed | None:
    """None for what is not this canary."""
    found = [message for batch in mailbox.named([one.mail], Cursor(), FetchLimits()) for message in batch.messages]
    if not found:
        return Removed.GONE
    here = replace(context, received_at=one.mail.received_at)
    for message in found:
        if message.raw is None or core.of_verdict(classify(parse(message.raw), here)) != one.id:
            return None
    return mailbox.remove(one.mail.key)


def _keep(flock: Cleared, left: Iterable[Returned], why: str, inbox_id: int, who: str) -> None:
    ids = [one.id for one in left]
    flock.not_removed(ids, why)
    log.warning("canaries_not_removed", canaries=ids, inbox=inbox_id, why=why, who_can_help=who)
