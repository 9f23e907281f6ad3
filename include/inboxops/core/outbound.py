"""What we send, as values: a reply or an auto-response before it is stored, and a stored one when it is its turn to leave."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from inboxops.core import compose, corrections, ids
from inboxops.core.compose import Outgoing
from inboxops.core.customer import FORM
from inboxops.core.html import is_tangled
from inboxops.core.model import Address, Attachment
from inboxops.core.signing import SigningKey
from inboxops.errors import Conflict, InvalidInput

MOST_RECIPIENTS = 50
LONGEST_BODY = 500_000  # characters


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """What an agent wrote. One of the bodies is enough. attachment_ids: uploaded and not yet part of a message."""

    body_text: str = ""
    body_html: str = ""
    cc: tuple[str, ...] = ()
    attachment_ids: tuple[int, ...] = ()

    def fingerprint(self, ticket_id: int) -> str:
        """Equal for equal requests: what an idempotency key stands for."""
        said = [ticket_id, self.body_text, self.body_html, list(self.cc), list(self.attachment_ids)]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Answered:
    """The ticket that is answered and the message in it that is replied to; its ids are "" and () when there is none.

    people: whom the answer goes to, see `people`. marked: the reply ends in a signed [ref:...] (`core.ids`).
    """

    tenant_id: int
    inbox_id: int
    ticket_id: int
    ticket_number: int
    subject: str
    sender: Address  # the inbox
    people: tuple[Address, ...]
    message_id: str = ""
    references: tuple[str, ...] = ()
    marked: bool = True


@dataclass(frozen=True, slots=True)
class NewOutbound:
    """A row to be stored together with its outbox row. `message_id` is fixed here, before anything is sent (invariant 4)."""

    id: int
    tenant_id: int
    inbox_id: int
    ticket_id: int
    ticket_number: int
    type: str  # "message" or "auto_response"
    message_id: str
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    sender: Address
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    subject: str
    text: str
    html: str
    author: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A reply that is stored: it will be sent, whatever happens to this process."""

    message_id: int
    ticket_id: int
    ticket_number: int
    message_id_header: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OutboundFile:
    """An attachment of ours in the object store."""

    file_name: str
    storage_key: str
    content_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An attachment's row. message_id None: it was uploaded, or is to be, and waits for its message."""

    id: int
    message_id: int | None
    file_name: str
    storage_key: str
    content_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that this run alone may send, until its lease ends.

    handed_over_attempt: an attempt that may have left, None when none did; `attempt` itself: nobody has asked again since.
    handed_over_seconds: how long ago that was.
    """

    id: int
    tenant_id: int
    inbox_id: int
    ticket_id: int
    attempt: int
    token: Any
    handed_over_attempt: int | None
    handed_over_seconds: float
    automatic: bool
    message_id: str
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    sender: Address
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    subject: str
    text: str
    html: str
    date: datetime
    thread_id: str | None

    @property
    def in_doubt(self) -> bool:
        return self.handed_over_attempt is not None

    @property
    def asked_again(self) -> bool:
        """Somebody wants it sent although an earlier attempt may have left."""
        return self.handed_over_attempt is not None and self.handed_over_attempt < self.attempt

    def outgoing(self, files: Sequence[Attachment]) -> Outgoing:
        return Outgoing(
            message_id=self.message_id,
            sender=self.sender,
            to=self.to,
            cc=self.cc,
            subject=self.subject,
            text=self.text,
            html=self.html,
            date=self.date,
            in_reply_to=next(iter(self.in_reply_to), ""),
            references=self.references,
            automatic=self.automatic,
            attachments=tuple(files),
        )


def inbox_removed() -> Conflict:
    """What an agent is told whose answer has no way out any more."""
    return Conflict(
        "the inbox of the ticket was removed", fix="Merge it into a ticket of another inbox and answer there"
    )


def people(
    reply_to: Sequence[Address], sender: Address, *, customer: Address | None = None, rule: str = ""
) -> tuple[Address, ...]:
    """Whom an answer goes to: the Reply-To as far as it holds addresses, else the sender (RFC 5322, 3.6.2).

    customer: who wrote, where that is not the sender, by which rule of `core.customer`. Of a mail that an agent forwarded,
    Reply-To is the agent's, and of a form that tells who it is in its text alone the machine's; and whom an agent named stands
    above what a mail says.
    """
    if customer is not None and compose.is_address(customer.address):
        if rule.startswith("forward.") or rule in {corrections.RULE, FORM}:
            return (customer,)
        sender = customer
    return tuple(one for one in reply_to if compose.is_address(one.address)) or (sender,)


def addressees(people: Sequence[Address], own_addresses: frozenset[str]) -> tuple[Address, ...]:
    """Those of `people` that mail can be sent to, without our own mailboxes."""
    return compose.recipients((one for one in people if compose.is_address(one.address)), own_addresses=own_addresses)


def reply(
    request: ReplyRequest,
    answered: Answered,
    *,
    id: int,
    own_addresses: frozenset[str],
    author: str,
    signing_key: SigningKey,
) -> NewOutbound:
    """The message that answers a ticket. Raises InvalidInput, naming the field, for what can't be sent."""
    if not request.body_text.strip() and not request.body_html.strip():
        raise InvalidInput("body_text and body_html are both empty", fix="Write something in one of them")
    if len(request.body_text) > LONGEST_BODY or len(request.body_html) > LONGEST_BODY:
        raise InvalidInput(f"a body has more than {LONGEST_BODY} characters", fix="Attach it as a file")
    if is_tangled(request.body_html):
        raise InvalidInput(
            "body_html has too many elements within one another", fix="Close them, or attach it as a file"
        )
    to = addressees(answered.people, own_addresses)
    if not to:
        raise InvalidInput(
            "the ticket has nobody to answer: its sender is one of our own mailboxes or gave no address",
            fix="Say who the customer is: a correction of the kind customer",
        )
    if len(to) > MOST_RECIPIENTS:
        raise InvalidInput(
            f"the mail wants its answer at {len(to)} addresses, and a message has {MOST_RECIPIENTS} recipients at most",
            fix="Say who the customer is: a correction of the kind customer",
        )
    cc = compose.recipients((Address("", one) for one in request.cc), own_addresses=own_addresses, taken=to)
    if len(to) + len(cc) > MOST_RECIPIENTS:
        raise InvalidInput(f"cc: a message has {MOST_RECIPIENTS} recipients at most")
    marker = ids.make_body_marker(answered.ticket_id, signing_key) if answered.marked else ""
    text, html = compose.bodies(request.body_text, request.body_html, marker=marker)
    if not text.removesuffix(marker).strip():
        raise InvalidInput("body_html has nothing in it that may be sent", fix="Write text")
    return _outbound(answered, "message", id, to, cc, text, html, author, signing_key)


def auto_response(answered: Answered, *, id: int, text: str, html: str, signing_key: SigningKey) -> NewOutbound:
    """The automatic answer to a new ticket. Raises InvalidInput when there is no address to send it to."""
    to = compose.recipients(answered.people[:1], own_addresses=frozenset())
    text, html = compose.bodies(text, html, marker=ids.make_body_marker(answered.ticket_id, signing_key))
    return _outbound(answered, "auto_response", id, to, (), text, html, "auto-response", signing_key)


def _outbound(
    answered: Answered,
    type_: str,
    id: int,
    to: tuple[Address, ...],
    cc: tuple[Address, ...],
    text: str,
    html: str,
    author: str,
    signing_key: SigningKey,
) -> NewOutbound:
    sender = Address(answered.sender.name, compose.wire_address(answered.sender.address))
    domain = sender.address.rpartition("@")[2].strip("[]")
    return NewOutbound(
        id=id,
        tenant_id=answered.tenant_id,
        inbox_id=answered.inbox_id,
        ticket_id=answered.ticket_id,
        ticket_number=answered.ticket_number,
        type=type_,
        message_id=ids.make_message_id(
            ticket_id=answered.ticket_id, message_id=id, domain=domain, signing_key=signing_key
        ),
        in_reply_to=(answered.message_id,) if answered.message_id else (),
        references=compose.references(answered.references, answered.message_id),
        sender=sender,
        to=to,
        cc=cc,
        subject=compose.reply_subject(answered.subject, answered.ticket_number),
        text=text,
        html=html,
        author=author,
    )
