"""Exchange Online's idea of a mailbox: folders, messages whose usual id changes when they move, and changes a folder remembers."""

from __future__ import annotations

import hashlib
import itertools
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.utils import parseaddr
from typing import Any

WELL_KNOWN = {
    "inbox": "Inbox",
    "junkemail": "Junk Email",
    "sentitems": "Sent Items",
    "deleteditems": "Deleted Items",
    "drafts": "Drafts",
    "outbox": "Outbox",
    "archive": "Archive",
}


@dataclass(slots=True)
class Message:
    number: int
    raw: bytes
    folder: str  # id
    received_at: datetime
    is_read: bool = False
    is_draft: bool = False
    converts: bool = True
    """Whether Exchange can make MIME of it: of opaque S/MIME and of reports about signed mail it often can't."""
    moves: int = 0
    entered: int = 0
    """The change that brought it into its folder."""

    @property
    def immutable_id(self) -> str:
        return f"AAkALg{self.number:014d}"

    @property
    def id(self) -> str:
        """What a request without `Prefer: IdType="ImmutableId"` gets: another one after each move."""
        return f"AAMkAD{self.number:014d}{self.moves:04d}"

    def header(self, name: str) -> str:
        head = self.raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        return str(message_from_bytes(head, policy=policy.compat32).get(name, "")).strip()

    def resource(self, *, immutable: bool) -> dict[str, Any]:
        """https://learn.microsoft.com/graph/api/resources/message, the properties that clients of a mailbox read."""
        name, address = parseaddr(self.header("From"))
        sender = {"emailAddress": {"name": name or address, "address": address}}
        when = self.received_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        references = self.header("References").split() or [self.header("In-Reply-To") or self.header("Message-ID")]
        tag = hashlib.sha256(f"{self.number}{self.moves}{self.is_read}".encode()).hexdigest()[:16]
        return {
            "@odata.etag": f'W/"{tag}"',
            "id": self.immutable_id if immutable else self.id,
            "receivedDateTime": when,
            "sentDateTime": when,
            "createdDateTime": when,
            "lastModifiedDateTime": when,
            "internetMessageId": self.header("Message-ID"),
            "conversationId": f"AAQkAD{hashlib.sha256(references[0].encode()).hexdigest()[:24]}",
            "parentFolderId": self.folder,
            "subject": self.header("Subject"),
            "bodyPreview": self.raw.partition(b"\r\n\r\n")[2][:255].decode("utf-8", "replace"),
            "body": {"contentType": "text", "content": self.raw.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")},
            "from": sender,
            "sender": sender,
            "toRecipients": [],
            "isRead": self.is_read,
            "isDraft": self.is_draft,
            "hasAttachments": False,
        }


@dataclass(frozen=True, slots=True)
class Change:
    """What a folder saw happen: "created" (also by a move), "updated" or "deleted" (also by a move)."""

    sequence: int
    kind: str
    folder: str
    number: int


@dataclass
class Mailbox:
    """One account's mail. The caller holds the stand-in's lock."""

    address: str
    messages: dict[int, Message] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    # Numbers begin with the clock: what a client stored before a restart is too old, and never means another message.
    # A stand-in that is born again at the same second and filled in the same way gives the same numbers.
    born: float = field(default_factory=time.time)
    sequence: int = 0
    oldest_sequence: int = 0
    folders: dict[str, str] = field(default_factory=dict)  # id -> display name
    on_created: Callable[[Message], None] = lambda message: None
    _numbers: Iterator[int] = field(init=False, repr=False)
    _first_address: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._first_address = self.address.lower()  # folders keep their ids when it changes
        self.oldest_sequence = self.sequence = int(self.born)
        self._numbers = itertools.count(int(self.born * 1000))
        for known, name in WELL_KNOWN.items():
            self.folders[self._folder_id(known)] = name

    def folder(self, name: str) -> str | None:
        """The id for an id or a well-known name, None when there is no such folder."""
        if name in self.folders:
            return name
        return self._folder_id(name.lower()) if name.lower() in WELL_KNOWN else None

    def add(self, raw: bytes, *, folder: str = "inbox", when: datetime | None = None) -> Message:
        target = self.folder(folder)
        assert target is not None, folder
        received_at = (when or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
        message = Message(next(self._numbers), raw, target, received_at)
        self.messages[message.number] = message
        self._record("created", message)
        self.on_created(message)
        return message

    def move(self, message: Message, folder: str) -> None:
        target = self.folder(folder)
        assert target is not None, folder
        self._record("deleted", message)
        message.folder, message.moves = target, message.moves + 1
        self._record("created", message)

    def delete(self, message: Message) -> None:
        self._record("deleted", message)
        del self.messages[message.number]

    def set_read(self, message: Message, *, is_read: bool) -> None:
        message.is_read = is_read
        self._record("updated", message)

    def forget_changes(self) -> None:
        """Every delta token given away so far means nothing any more."""
        self.sequence += 1
        self.oldest_sequence = self.sequence

    def find(self, id_: str) -> Message | None:
        """By either kind of id; the usual one only as it is since the last move."""
        named = re.fullmatch(r"(?:AAkALg|AAMkAD)(\d{14})(?:\d{4})?", id_)
        message = self.messages.get(int(named[1])) if named else None
        return message if message is not None and id_ in (message.id, message.immutable_id) else None

    def with_subject(self, subject: str) -> list[Message]:
        return [m for m in self.messages.values() if m.header("Subject") == subject]

    def within(self, folder: str | None) -> Iterable[Message]:
        return [m for m in self.messages.values() if folder is None or m.folder == folder]

    def _record(self, kind: str, message: Message) -> None:
        self.sequence += 1
        if kind == "created":
            message.entered = self.sequence
        self.changes.append(Change(self.sequence, kind, message.folder, message.number))

    def _folder_id(self, known: str) -> str:
        return "AQMkAD" + hashlib.sha256(f"{self._first_address}/{known}".encode()).hexdigest()[:24]
