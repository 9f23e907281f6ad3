"""Send: one message leaves at most once for each time somebody asked (invariant 4, ADR 0005).

Before the last step of handing it over, the attempt takes a permission that the database gives once. From there on only a
definite answer ends the doubt; in doubt the Sent folder is asked, and where it proves nothing a person decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from inboxops.core import compose
from inboxops.core.attachments import FILE_BYTES, MESSAGE_BYTES, MESSAGE_FILES
from inboxops.core.model import Attachment
from inboxops.core.outbound import Claim, OutboundFile
from inboxops.errors import InboxOpsError, InvalidInput, OutcomeUnknown, TransientError
from inboxops.ports import Account, Envelope, ObjectStore, Sender, Sent

LEASE_SECONDS = 120.0
"""How long a run may take up to the last step: after a crash before it, the next run waits no longer."""

FINAL_SECONDS = 360.0
"""From the last step on: longer than the provider's time-out for its answer (RFC 5321, 4.5.3.2.6, wants patience here)."""

SETTLED_SECONDS = 120.0
"""A provider that keeps copies itself shows one after so long; before that its absence proves nothing."""

CLOCKS_SECONDS = 600.0
"""How far the provider's clock and ours may be apart."""


class Outbox(Protocol):
    """What send asks of the database."""

    def claim(self, message_id: int, attempt: int, *, lease_seconds: float) -> Claim | None: ...

    def is_held(self, message_id: int, attempt: int) -> bool: ...

    def files(self, message_id: int) -> list[OutboundFile]: ...

    def hand_over(self, claim: Claim, *, lease_seconds: float) -> bool: ...

    def is_not_sent(self, claim: Claim) -> None: ...

    def sent(self, claim: Claim, sent: Sent) -> None: ...

    def not_sent(self, claim: Claim, status: str, error: str, *, handed_over_attempt: int | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What a run did. state: "sent", "failed", "unknown", or "skipped" when this attempt has nothing left to do."""

    state: str
    message_id: int
    refused: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """How the inbox of a message sends: opened only when a message is claimed, because its credentials may be gone."""

    account: Account
    sender: Sender


def send(
    message_id: int,
    attempt: int,
    outbox: Outbox,
    objects: ObjectStore,
    way_of: Callable[[Claim], Way],
    *,
    is_patient: bool = False,
    last_try: bool = False,
) -> Dispatch:
    """Send a message, or find out what became of it.

    is_patient: a recipient who is refused for now, as greylisting does (RFC 6647), is waited for by all; else the message goes to
    whoever is taken, and who is not stands on it. last_try: a transient failure is final then. Raises TransientError when another
    try is to follow: while another run is at it, the mail server or the object store is away, or the Sent folder can't be asked.
    """
    claim = outbox.claim(message_id, attempt, lease_seconds=LEASE_SECONDS)
    if claim is None:
        if outbox.is_held(message_id, attempt):
            raise TransientError(f"another run is sending message {message_id}")
        return Dispatch("skipped", message_id)
    doubt, handed_over = claim.handed_over_attempt, False

    def commit() -> None:
        nonlocal handed_over
        handed_over = outbox.hand_over(claim, lease_seconds=FINAL_SECONDS)
        if not handed_over:
            raise TransientError(f"another run took message {claim.id} over")

    try:
        way = way_of(claim)
        if claim.in_doubt:
            settled = _settle(claim, outbox, way)
            if settled is not None:
                return settled
            doubt = None if not claim.asked_again else doubt
        raw, envelope = _composed(claim, outbox, objects, is_patient=is_patient)
        sent = way.sender.send(way.account, raw, envelope, commit=commit, thread_id=claim.thread_id)
    except OutcomeUnknown as exc:
        outbox.not_sent(claim, "unknown", str(exc), handed_over_attempt=claim.attempt)
        raise
    except TransientError as exc:
        status = "unknown" if doubt == claim.attempt else "failed" if last_try else "pending"
        outbox.not_sent(claim, status, str(exc), handed_over_attempt=doubt)
        if last_try:
            return Dispatch(status, message_id, note=str(exc))
        raise
    except InboxOpsError as exc:
        status = "unknown" if doubt == claim.attempt else "failed"
        outbox.not_sent(claim, status, str(exc), handed_over_attempt=doubt)
        raise
    except Exception as exc:  # the per-message guard: what fails in a way nobody foresaw is kept with its reason
        status, doubt = ("unknown", claim.attempt) if handed_over or doubt == claim.attempt else ("failed", doubt)
        outbox.not_sent(claim, status, f"{type(exc).__name__}: {exc}"[:1000], handed_over_attempt=doubt)
        raise
    return _keep(claim, sent, raw, outbox, way)


def _settle(claim: Claim, outbox: Outbox, way: Way) -> Dispatch | None:
    """What the Sent folder says of an attempt that may have left; None when the message is to be sent now."""
    since = datetime.now(UTC) - timedelta(seconds=claim.handed_over_seconds + CLOCKS_SECONDS)
    trace = way.sender.find_sent(way.account, claim.message_id, since=since)
    if trace.sent:
        found = Sent(trace.wire_message_id, answer="found in the Sent folder")
        outbox.sent(claim, found)
        return Dispatch("sent", claim.id, note=found.answer)
    if claim.asked_again:
        return None
    if trace.sent is None:
        note = "the server may have taken it, and the Sent folder can't tell: ask the customer, or send it again"
        outbox.not_sent(claim, "unknown", note, handed_over_attempt=claim.attempt)
        return Dispatch("unknown", claim.id, note=note)
    if claim.handed_over_seconds < SETTLED_SECONDS:
        raise TransientError(
            "it is not in the Sent folder yet", retry_after=SETTLED_SECONDS - claim.handed_over_seconds
        )
    outbox.is_not_sent(claim)
    return None


def _composed(claim: Claim, outbox: Outbox, objects: ObjectStore, *, is_patient: bool) -> tuple[bytes, Envelope]:
    files = outbox.files(claim.id)
    sizes = [file.size_bytes for file in files]
    if len(files) > MESSAGE_FILES or sum(sizes) > MESSAGE_BYTES or max(sizes, default=0) > FILE_BYTES:
        raise InvalidInput("the attachments are over the limits of a message", fix="Send fewer or smaller files")
    attachments = [Attachment(file.file_name, file.content_type, objects.get(file.storage_key)) for file in files]
    if [attachment.size_bytes for attachment in attachments] != sizes:
        raise InvalidInput("an attachment is not what was uploaded", fix="Upload it again")
    raw = compose.compose(claim.outgoing(attachments))
    # RFC 3834, 3.3: nothing answers an automatic answer, not even a bounce.
    sender = "" if claim.automatic else claim.sender.address
    addresses = dict.fromkeys(compose.wire_address(one.address) for one in (*claim.to, *claim.cc))
    return raw, Envelope(sender, tuple(addresses), is_patient)


def _keep(claim: Claim, sent: Sent, raw: bytes, outbox: Outbox, way: Way) -> Dispatch:
    """The state first, then the copy; when the state can't be stored, the copy is what tells the next run."""
    note = sent.answer
    try:
        outbox.sent(claim, sent)
    finally:
        try:
            way.sender.keep_copy(way.account, raw)
        except InboxOpsError as exc:  # the message has left, and that is what the run is about
            note = f"{sent.answer}; no copy in the Sent folder: {exc}"
    return Dispatch("sent", claim.id, refused=len(sent.refused), note=note)
