"""What the stories need from the world. Adapters implement these; nothing here imports one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from inboxops.core.model import Batch, Cursor
from inboxops.core.reading import Bodies, Reading


@dataclass(frozen=True, slots=True)
class Account:
    """Everything a provider needs to open one mailbox.

    connection: what is no secret. IMAP: host, port, security ("tls" | "starttls" | "plain"), auth ("login" | "plain" |
    "xoauth2"), folder, ca_file, and for sending smtp_host, smtp_port, smtp_security. Documented with each provider.
    secrets: IMAP: username, password (or access_token for xoauth2). Never logged: `repr` leaves it out.
    """

    inbox_id: int
    tenant_id: int
    email_address: str
    connection_type: str
    connection: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds of one fetch. Counts are messages, sizes bytes, ages days."""

    batch_messages: int = 500
    batch_bytes: int = 32 * 1024 * 1024
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


class ObjectStore(Protocol):
    """S3 as far as it is needed. Keys are made in `core.keys` only."""

    def put(self, key: str, content: bytes, *, content_type: str, file_name: str = "") -> None: ...

    def get(self, key: str, *, offset: int | None = None, length: int | None = None) -> bytes: ...

    def delete(self, keys: Sequence[str]) -> None: ...

    def list(self, prefix: str) -> Iterator[str]: ...

    def presigned_get(self, key: str, *, file_name: str, content_type: str, seconds: int) -> str: ...


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
    """A message to be recorded: where its raw bytes are, or why they were refused."""

    key: str
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


@dataclass(frozen=True, slots=True)
class StoredRow:
    id: int
    message_id: int
    storage_key: str
    offset: int
    length: int
    received_at: datetime
    in_spam_folder: bool
    provider_thread_id: str | None


@dataclass(frozen=True, slots=True)
class ClassifiedRow:
    id: int
    reading: Reading
    bodies: Bodies
