"""What classify hands to persist about one message: all of a ParsedMessage that is kept, without its attachments' bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from inboxops.core.model import Address, Customer, Ruling, ThreadKeys, Verdict


@dataclass(frozen=True, slots=True)
class StoredAttachment:
    """An attachment under its final key in the object store."""

    file_name: str
    storage_key: str
    content_type: str
    size_bytes: int
    content_id: str = ""
    inline: bool = False


@dataclass(frozen=True, slots=True)
class Omitted:
    """An attachment that a limit left out; the raw mail still holds it."""

    file_name: str
    size_bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """The kept part of one message. `message_id` is the index key (`core.ids.id_key`), `original_id` what the header said.

    loop: it carries the header that we put into our own mail. customer: None in what an older version read: then it is the sender.
    lines, files: `core.copies.line_marks` and `file_marks`.
    """

    message_id: str
    original_id: str
    content_hash: str
    sender: Address
    reply_to: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    subject: str
    date: datetime | None
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    verdict: Verdict
    keys: ThreadKeys
    null_return_path: bool = False
    loop: bool = False
    attachments: tuple[StoredAttachment, ...] = ()
    omitted: tuple[Omitted, ...] = ()
    authentication: dict[str, str] = field(default_factory=dict)
    marks: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
    customer: Customer | None = None
    lines: tuple[int, ...] = ()
    files: tuple[int, ...] = ()
    rulings: tuple[Ruling, ...] = ()

    @property
    def customer_address(self) -> Address:
        return self.customer.address if self.customer else self.sender


@dataclass(frozen=True, slots=True)
class Bodies:
    """The texts, apart from the Reading because persist moves them inside the database without reading them."""

    text: str
    new: str
    html: str
