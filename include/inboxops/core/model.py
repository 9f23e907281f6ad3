"""The values that flow: frozen, slotted, plain. The RFCs' words for mail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from inboxops.core.mail_rules.model import NO_RULES, Actions, RuleSet
from inboxops.core.signing import NO_KEY, SigningKey


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox of RFC 5322, section 3.4. `address` has its domain lower-cased; both may be empty."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far an inbox has been read. Only the fields of its provider are set; all None before the first sync.

    IMAP: `uid_validity` and `last_uid` (RFC 9051, 2.3.1.1), and while a first sync or a rescan is under way `import_until`:
    messages up to this UID count as imported even when another run reads them. last_seen: UID, size and arrival time of the last
    message that was read. went_back: the folder was seen once in an earlier state than it was read in. Gmail: `history_id` as text.
    Graph: `delta_token`, a link.
    """

    uid_validity: int | None = None
    last_uid: int | None = None
    history_id: str | None = None
    delta_token: str | None = None
    import_until: int | None = None
    last_seen: str | None = None
    went_back: bool | None = None

    @property
    def is_start(self) -> bool:
        return self == Cursor()

    def __str__(self) -> str:
        """For a log: what is set, cut where a provider's token would fill a page."""
        known = {name: str(getattr(self, name)) for name in self.__slots__ if getattr(self, name) is not None}
        return " ".join(f"{name}={value[:60]}" for name, value in known.items()) or "nothing read yet"


@dataclass(frozen=True, slots=True)
class RawMessage:
    """One message as a provider delivered it. `key` names it within its inbox for ever (IMAP: `folder/uidvalidity/uid`),
    or until a batch says that keys are `reused`.

    `raw` is None when the provider holds it but we refuse to take it in (`refusal` says why): it is listed, not lost.
    `imported` marks mail older than the connection (first sync, rescan): it never triggers an auto-response.
    """

    key: str
    raw: bytes | None
    received_at: datetime
    size_bytes: int
    in_spam_folder: bool = False
    thread_id: str | None = None
    imported: bool = False
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A message as its provider lists it, without its content. `key` is that of `RawMessage`.

    size_bytes: of the raw mail, None where the provider tells none or only an estimate. received_at, thread_id: what
    `Mailbox.named` needs of it again, where the provider tells it with a list.
    """

    key: str
    size_bytes: int | None = None
    received_at: datetime | None = None
    thread_id: str | None = None


class Removed(StrEnum):
    """What became of a message that was to go. GONE: it is not where the inbox reads any more, and nothing was touched."""

    TRASHED = "trashed"
    DELETED = "deleted"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Copy:
    """A message among what a mailbox has sent: its Message-ID without brackets, and our loop mark where it is told."""

    message_id: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Reused:
    """Keys made of `prefix` and a number: from the number `first` on they name other messages from now on."""

    prefix: str
    first: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages in the provider's order and the cursor that is true once all of them are durable."""

    messages: tuple[RawMessage, ...]
    cursor: Cursor
    note: str = ""  # e.g. what a UIDVALIDITY change led to, for the log and the inbox's page
    reused: Reused | None = None  # mail that has such keys gives them up with this batch, before it is recorded


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is kept as a file. `file_name` is as the sender wrote it, decoded; `core.attachments` makes it safe.

    named_by_subject: an attached message without a name of its own; in a bounce it is what came back, no file of the sender's.
    detached: number and size in bytes of a file whose content stands apart from its mail (`core.detached`): `content` is empty.
    """

    file_name: str
    content_type: str
    content: bytes = field(repr=False)
    content_id: str = ""
    inline: bool = False
    named_by_subject: bool = False
    detached: tuple[int, int] | None = None

    @property
    def size_bytes(self) -> int:
        return len(self.content) if self.detached is None else self.detached[1]


@dataclass(frozen=True, slots=True)
class Identity:
    """What all of a raw mail's bytes tell: the hash of its content, and an id in case it carries none (`core.ids`)."""

    content_hash: str
    synthetic_message_id: str


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """What a message says, whatever its bytes. Texts hold no NUL and no lone surrogate (PostgreSQL takes neither).

    message_id: normalised (brackets stripped, domain lower-cased), never empty: made from the raw bytes when missing.
    references: In-Reply-To is apart; both normalised, oldest first as in the header.
    return_path: None when the header is missing, "" for the null sender `<>`.
    text_new: `text` without what it quotes; `text` is derived from HTML when there is no text part.
    headers: the outer message's, in order, decoded, names as written.
    delivery_status: the blocks of a top-level message/delivery-status (RFC 3464), per-message block first; names lower-cased.
    returned: header blocks of messages embedded in a report or forwarded (message/rfc822, text/rfc822-headers), as text.
    authentication: method -> result of Authentication-Results (RFC 8601) written by a trusted server only.
    marks: of "calendar", "calendar-answer" (to an invitation), "tnef", "uuencode",
        "smime-signed", "smime-encrypted", "pgp-signed", "pgp-encrypted", "truncated",
        "attached-report" (a report's part as a file).
    defects: what the parser had to forgive, in words.
    content_hash: hex SHA-256 of what the sender wrote (trace headers left out): tells a duplicate from a conflict.
    report_fields: the fields of a message/disposition-notification (RFC 8098) or message/feedback-report (RFC 5965) part.
    part_types: content types of the message's own parts in order, embedded messages not entered.
    wrapped_status, wrapped_returned: as `delivery_status` and `returned`, of a report that is embedded as a whole.
    """

    message_id: str
    sender: Address
    reply_to: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    return_path: str | None
    subject: str
    date: datetime | None
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    text: str
    text_new: str
    html: str
    attachments: tuple[Attachment, ...]
    headers: tuple[tuple[str, str], ...]
    content_type: str
    content_type_parameters: Mapping[str, str]
    delivery_status: tuple[Mapping[str, str], ...]
    returned: tuple[str, ...]
    authentication: Mapping[str, str]
    marks: frozenset[str]
    defects: tuple[str, ...]
    content_hash: str
    report_fields: Mapping[str, str] = field(default_factory=dict)
    part_types: tuple[str, ...] = ()
    wrapped_status: tuple[Mapping[str, str], ...] = ()
    wrapped_returned: tuple[str, ...] = ()


class VerdictKind(StrEnum):
    OWN_LOOP = "own_loop"
    COMPLAINT = "complaint"
    BOUNCE = "bounce"
    DELAY = "delay"
    RECEIPT = "receipt"
    SPAM = "spam"
    AUTO_REPLY = "auto_reply"
    AUTO_GENERATED = "auto_generated"
    BULK = "bulk"
    HUMAN = "human"


OPENS_TICKET = frozenset({VerdictKind.HUMAN, VerdictKind.AUTO_GENERATED, VerdictKind.BULK})
"""Verdicts that open a ticket when they join none. The others are notes, listed or dropped."""
ABOUT_OURS = frozenset({VerdictKind.BOUNCE, VerdictKind.DELAY, VerdictKind.RECEIPT, VerdictKind.COMPLAINT})
"""Verdicts that tell the fate of a message we sent: a note on its ticket, never a ticket."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where a rule looked (a header's name, a part, `body`) and the exact value that convinced it."""

    where: str
    value: str


@dataclass(frozen=True, slots=True)
class Bounce:
    """What a delivery report says. kind: "hard", "soft" or "delayed".

    original_ids: Message-IDs found in what came back, most trustworthy first, normalised.
    signed_ids: (ticket id, message id) of our own signed ids among them or anywhere in the body.
    """

    kind: str
    recipients: tuple[str, ...]
    status: str
    diagnostic: str
    original_ids: tuple[str, ...]
    signed_ids: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    kind: VerdictKind
    rule: str
    ruleset: str
    evidence: tuple[Evidence, ...]
    bounce: Bounce | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    """Who a mail is from, by which rule of `core.customer` and on what evidence. claimed: a text alone says so."""

    address: Address
    rule: str
    evidence: tuple[Evidence, ...] = ()
    claimed: bool = False


@dataclass(frozen=True, slots=True)
class Ruling:
    """A mail rule of the tenant that held: which, of which version of the set, what made it hold, and what it says to do."""

    rule: str
    version: int
    evidence: tuple[Evidence, ...]
    actions: Actions


@dataclass(frozen=True, slots=True)
class InboxContext:
    """What classification may know about the inbox: never its credentials.

    own_addresses: every mailbox of the tenant, lower-cased. agents: addresses of its people, or whole domains, lower-cased.
    trusted_authserv_ids: RFC 8601 authserv-ids to believe.
    spam_headers: headers the inbox's scanner writes, e.g. ("X-Spam-Flag", "X-Spam-Status").
    signing_key: for our signed ids and tokens. mail_rules: the tenant's own. received_at: when the provider had the mail.
    """

    tenant_id: int
    inbox_id: int
    email_address: str
    own_addresses: frozenset[str] = frozenset()
    agents: frozenset[str] = frozenset()
    trusted_authserv_ids: frozenset[str] = frozenset()
    spam_headers: tuple[str, ...] = ("X-Spam-Flag", "X-Spam-Status")
    signing_key: SigningKey = NO_KEY
    in_spam_folder: bool = False
    mail_rules: RuleSet = NO_RULES
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ThreadKeys:
    """What to look up to find the ticket a message belongs to, in the trust order of mail-rules.md.

    ids: In-Reply-To, then References newest to oldest, at most 32. signed_id_tickets: ticket ids decoded from our own signed
    Message-IDs among `ids`. marker_tickets: from signed body markers. subject_number: N of the last `[#N]`, which is where we
    put ours, or None. participants: addresses of sender and recipients, lower-cased.
    """

    ids: tuple[str, ...] = ()
    signed_id_tickets: tuple[int, ...] = ()
    marker_tickets: tuple[int, ...] = ()
    provider_thread_id: str | None = None
    subject_number: int | None = None
    normalised_subject: str = ""
    participants: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TicketFacts:
    """What the database knows about a candidate ticket (already within the message's tenant and inbox)."""

    ticket_id: int
    ticket_number: int
    status: str  # "open", "pending" or "closed"
    closed_at: datetime | None
    normalised_subject: str
    participants: frozenset[str]
    requester: str = ""  # lower-cased


@dataclass(frozen=True, slots=True)
class ThreadCandidates:
    """The answers to ThreadKeys, each already limited to the message's tenant and inbox.

    by_reference: tickets of messages that name a reference which this one names, too, and nobody has seen.
    """

    by_id: Mapping[str, TicketFacts] = field(default_factory=dict)  # message id -> ticket of that message
    by_ticket_id: Mapping[int, TicketFacts] = field(default_factory=dict)
    by_provider_thread: TicketFacts | None = None
    by_number: TicketFacts | None = None
    by_reference: tuple[TicketFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a message goes. `ticket_id` None: a new ticket (`follows` links the closed one it continues).

    how: the thread rule that placed it, e.g. "in_reply_to". reopen: the ticket was closed and opens again.
    unknown_sender: the sender is no participant: shown with a mark, and nothing is sent to that address until accepted.
    """

    ticket_id: int | None
    how: str
    reopen: bool = False
    follows: int | None = None
    unknown_sender: bool = False
