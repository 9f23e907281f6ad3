"""What the stories need from the world. Adapters implement these; nothing here imports one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from inboxops.core.model import Batch, Copy, Cursor, Listed, Removed
from inboxops.core.reach import Reach
from inboxops.core.reading import Bodies, Reading


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What an API takes for about an hour. `expires_at` is in UTC."""

    value: str = field(repr=False)
    expires_at: datetime


class TokenSource(Protocol):
    """Where a provider's access tokens come from: kept, refreshed before they expire, one refresh at a time."""

    def access_token(self, *, refused: str = "") -> AccessToken:
        """A token that is good for some minutes more; never the one that the API has just `refused`.

        Raises AuthenticationFailed when the consent is gone, OperatorError when the provider does not take our client,
        Throttled and TransientError when it can't answer now.
        """
        ...


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """A consent page to send a browser to, and what only the session that asked may know (verifier, state, nonce)."""

    url: str
    state: str
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Consent:
    """What came back. account_id names the account for ever, email_address is its mailbox's.

    connection: what an inbox keeps of it in the open, with the account pinned. secrets: what it keeps sealed.
    """

    email_address: str
    account_id: str
    connection: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)


class ConsentClient(Protocol):
    """One provider's sign-in. Raises AuthenticationFailed only when a person has to consent (again)."""

    def request(self, redirect_uri: str, *, mailbox: str, shared: bool) -> ConsentRequest:
        """mailbox: the address that is wanted, "" when any is. shared: it is opened by someone else's account."""
        ...

    def redeem(
        self, secrets: Mapping[str, str], answer: Mapping[str, str], redirect_uri: str, *, mailbox: str, shared: bool
    ) -> Consent:
        """answer: the query that the browser came back with. Checks the granted scopes and whose mailbox it is.

        Raises AuthenticationFailed when too little was granted or the person said no, InvalidInput for another's mailbox.
        """
        ...

    def current(self, secrets: Mapping[str, str]) -> AccessToken | None:
        """The stored access token, however old."""
        ...

    def renew(self, secrets: Mapping[str, str]) -> tuple[dict[str, str], AccessToken]:
        """New secrets to be kept (the refresh token may have rotated) and the token among them."""
        ...

    def revoke(self, secrets: Mapping[str, str]) -> bool:
        """Take the consent back; False where the provider has no way to. A consent that is gone already is no error."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """Everything a provider needs to open one mailbox.

    connection: what is no secret. IMAP: host, port, security ("tls" | "starttls" | "plain"), auth ("login" | "plain" |
    "xoauth2"), folder, ca_file, and for sending smtp_host, smtp_port, smtp_security. Documented with each provider.
    secrets: IMAP: username, password (or access_token for xoauth2). Never logged: `repr` leaves it out.
    tokens: Gmail and Microsoft have these instead of secrets.
    reach: where the server may stand, None for one that the operator named.
    """

    inbox_id: int
    tenant_id: int
    email_address: str
    connection_type: str
    connection: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    tokens: TokenSource | None = field(default=None, repr=False)
    reach: Reach | None = None


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds of one fetch. Counts are messages, sizes bytes, ages days.

    batch_bytes: packed less than 4 MB, which is one chunk of SeaweedFS: it spends 9 ms of CPU on a MB, beyond that 14.
    """

    batch_messages: int = 500
    batch_bytes: int = 5 * 1024 * 1024
    message_bytes: int = 64 * 1024 * 1024  # larger ones are listed as refused, never read into memory
    first_sync_days: int = 7
    first_sync_messages: int = 500
    rescan_days: int = 30  # how far back a cursor that lost its meaning is repaired


@dataclass(frozen=True, slots=True)
class MailboxInfo:
    """What a connection test shows a person."""

    server: str
    folder: str
    messages: int
    capabilities: tuple[str, ...] = ()


class Mailbox(Protocol):
    """An open session with one mailbox. Every method raises only errors of `inboxops.errors`."""

    def info(self) -> MailboxInfo: ...

    def has_news(self, cursor: Cursor) -> bool:
        """Whether anything stands behind the cursor; as few round trips as the protocol allows."""
        ...

    def batches(self, cursor: Cursor, limits: FetchLimits) -> Iterator[Batch]:
        """Everything behind the cursor in bounded batches. Each batch's cursor may be stored once it is durable.

        Nothing is marked as read. A batch without messages may still move the cursor (e.g. after a rescan).
        """
        ...

    def listing(self, since: datetime, until: datetime) -> Iterator[Listed]:
        """Every message that `batches` would ever bring and that arrived from `since` on and before `until` (whole seconds),
        read or not, page by page, in no order. What comes or goes meanwhile may be in it or not.
        """
        ...

    def named(self, wanted: Sequence[Listed], cursor: Cursor, limits: FetchLimits) -> Iterator[Batch]:
        """Those of a listing that are still there, in bounded batches as `batches` makes them, all of them `imported`.

        cursor: stands in each batch as it is.
        """
        ...

    def remove(self, key: str) -> Removed:
        """Put the one message that `batches` brings under this key into the trash, or delete it where there is none.

        No other message is touched: where the server could only do more, NotAllowed is raised, and so it is without the right.
        """
        ...


class Provider(Protocol):
    """One kind of mailbox (`imap`, `gmail`, `microsoft`)."""

    def open(self, account: Account) -> AbstractContextManager[Mailbox]:
        """Connect and authenticate.

        Raises AuthenticationFailed, MailboxNotFound (tenant admin), ServerRefused (operator), TransientError, Throttled.
        """
        ...


class Prober(Protocol):
    """Looks for news in many mailboxes of one kind, keeping what makes the next look cheap. Safe to share by threads."""

    def has_news(self, account: Account, cursor: Cursor) -> bool:
        """Whether anything stands behind the cursor. Raises what `Provider.open` and `Mailbox.has_news` do."""
        ...

    def forget(self, inbox_id: int) -> None:
        """Let go of what is kept for an inbox that was paused or removed."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who a message is handed over for (RFC 5321, 2.3.1). sender "" is the null reverse-path; addresses are in ASCII domains.

    is_patient: where a recipient is refused for now, it is handed over for nobody yet.
    """

    sender: str
    recipients: tuple[str, ...]
    is_patient: bool = False


@dataclass(frozen=True, slots=True)
class RefusedRecipient:
    """A recipient that the server did not take while it took others: its reply code and words."""

    address: str
    code: int
    reply: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was taken. wire_message_id: the id it really went out under, "" when it is the one it was composed with.

    answer: what the server said to it, at most some 300 characters: by this its operators find the mail in their logs.
    """

    wire_message_id: str = ""
    refused: tuple[RefusedRecipient, ...] = ()
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """What the Sent folder says of a message. sent True: a copy is there. False: there is none, and the provider would have
    kept one. None: there is none, which proves nothing, because copies get there only after the message was taken."""

    sent: bool | None
    wire_message_id: str = ""


class Sender(Protocol):
    """How mail leaves through one kind of mailbox. Every method raises only errors of `inboxops.errors`."""

    def send(
        self, account: Account, raw: bytes, envelope: Envelope, *, commit: Callable[[], None], thread_id: str | None
    ) -> Sent:
        """Hand one message over, once. `commit` is called right before the step after which it may have left; when it
        raises, nothing leaves. thread_id: the provider's own thread, where it has such.

        Raises MessageRefused (for good), TransientError and Throttled (it did not leave), OutcomeUnknown (it may have left),
        AuthenticationFailed, ServerRefused, InvalidInput.
        """
        ...

    def check(self, account: Account) -> str:
        """Log in and leave: the server's name. Raises what `send` raises before anything is handed over."""
        ...

    def find_sent(self, account: Account, message_id: str, *, since: datetime) -> Trace:
        """Look for our Message-ID (without brackets) among what the mailbox has sent, `since` it may have left."""
        ...

    def copies(self, account: Account, *, since: datetime) -> Iterator[Copy] | None:
        """What the mailbox has sent since then, page by page; None where no copies are kept."""
        ...

    def keep_copy(self, account: Account, raw: bytes) -> None:
        """Put a copy where the mailbox keeps what it sent, unless the provider does so itself."""
        ...


@dataclass(frozen=True, slots=True)
class Registration:
    """A push channel as the provider confirmed it, with its end in UTC.

    made: it is a new one; a renewed one stays what it was. subscription_id, client_state: of Microsoft's; the secret is there
    only when it is new, and is given to nobody else.
    """

    expires_at: datetime
    made: bool
    subscription_id: str = ""
    client_state: str = field(default="", repr=False)


class Watcher(Protocol):
    """How one kind of mailbox is told to push. Every method raises only errors of `inboxops.errors`."""

    def register(self, account: Account, subscription_id: str, *, anew: bool) -> Registration:
        """Renew the channel, or make one where there is none. subscription_id: the known one, or "". anew: don't renew it.

        Raises OperatorError when the provider does not take our end of the channel, and what `Provider.open` does.
        """
        ...

    def stop(self, account: Account, subscription_id: str) -> None:
        """End the channel. One that is gone is no error."""
        ...


class ObjectStore(Protocol):
    """S3 as far as it is needed. Keys are made in `core.keys` only."""

    def put(self, key: str, content: bytes, *, content_type: str, file_name: str = "") -> None: ...

    def get(self, key: str, *, offset: int | None = None, length: int | None = None) -> bytes: ...

    def delete(self, keys: Sequence[str]) -> None: ...

    def list(self, prefix: str) -> Iterator[str]: ...

    def copy(self, source: str, target: str) -> None: ...

    def size(self, key: str) -> int | None:
        """Bytes of an object, None when there is none."""
        ...

    def presigned_get(self, key: str, *, file_name: str, content_type: str, seconds: int) -> str: ...

    def presigned_put(self, key: str, *, content_type: str, size_bytes: int, seconds: int) -> str:
        """A link that takes exactly one body: of this type and this many bytes."""
        ...


class EventBus(Protocol):
    """Where committed events go. Raises TransientError when it is away: the outbox keeps them."""

    def publish(self, events: Sequence[PublishedEvent]) -> None: ...


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    id: int  # of the outbox row: at-least-once delivery is told apart by it
    tenant_id: int
    name: str  # "ticket.updated", "ticket.message_added", "inbox.disconnected"
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class InboundRow:
    """A message to be recorded: where its raw bytes are, or why they were refused. message_id: reserved for it."""

    key: str
    message_id: int
    state: str
    reason: str
    storage_key: str | None
    offset: int | None
    length: int | None
    size_bytes: int
    received_at: datetime
    in_spam_folder: bool
    thread_id: str | None
    imported: bool
    detached_bytes: tuple[int, ...] = ()  # sizes of its files that stand apart
    detached_offsets: tuple[int | None, ...] = ()  # where these begin in the pack; None: an object of its own


@dataclass(frozen=True, slots=True)
class StoredRow:
    id: int
    message_id: int
    storage_key: str
    offset: int
    length: int
    size_bytes: int  # of the raw mail
    received_at: datetime
    in_spam_folder: bool
    provider_thread_id: str | None
    detached_offsets: Sequence[int | None] = ()


@dataclass(frozen=True, slots=True)
class ReplayScope:
    """Which stored mail of a tenant is read again: all that is named holds. since, until: when it came, `until` left out."""

    tenant_id: int
    inbox_id: int | None = None
    ticket_id: int | None = None
    inbound_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """Stored mail that is read again."""

    stored: StoredRow
    inbox_id: int
    imported: bool
    released: bool


@dataclass(frozen=True, slots=True)
class TriedRow:
    """Stored mail that a rule is tried on, and what became of it."""

    mail: ReplayRow
    state: str
    ticket_id: int | None
    ticket_number: int | None


@dataclass(frozen=True, slots=True)
class ClassifiedRow:
    id: int
    reading: Reading
    bodies: Bodies


class NewInboxes(Protocol):
    """Where a mailbox becomes an inbox."""

    def add(
        self,
        *,
        tenant_id: int,
        name: str,
        email_address: str,
        display_name: str,
        connection_type: str,
        connection: Mapping[str, Any],
        credentials: bytes,
        first_sync_days: int,
        first_sync_messages: int,
    ) -> int | None:
        """The new inbox's id, or None when the tenant has one of that name."""
        ...
