"""What a certificate finds: providers' lists, rows, objects, Sent folders and ticket numbers held against each other.

Values in, findings out. Mail arrives and moves while it is looked at, so whoever asks lists the provider first, reads rows and
objects behind that, and looks again at what is missing before it is called so.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from inboxops.core.detached import Apart
from inboxops.core.ids import read_message_id
from inboxops.core.keys import detached_key, pack_digest
from inboxops.core.model import Copy, Listed
from inboxops.core.packs import spans
from inboxops.core.rules.own_loop import loop_mark
from inboxops.core.signing import SigningKey

MOST_WAITING = 100
"""Mails of one inbox that are named one by one when they were not filed; more are counted."""
MOST_NUMBERS = 1_000
"""Missing ticket numbers that are named one by one; more stand as a span."""

_ZEROS = bytes(12)  # shorter than any frame of zstandard


class Kind(StrEnum):
    """What is not accounted for."""

    MAIL_MISSING = "mail_missing"
    MAIL_DOUBLED = "mail_doubled"
    MAIL_NOWHERE = "mail_nowhere"
    MAIL_DIFFERS = "mail_differs"
    MAIL_UNFILED = "mail_unfiled"
    OBJECT_MISSING = "object_missing"
    OBJECT_LENGTH = "object_length"
    OBJECT_ALTERED = "object_altered"
    NOT_SENT = "not_sent"
    NOT_IN_SENT = "not_in_sent"
    ONLY_IN_SENT = "only_in_sent"
    SENT_UNRECORDED = "sent_unrecorded"
    NUMBER_MISSING = "number_missing"
    NUMBER_DOUBLED = "number_doubled"


_RESTORE = "restore it from a backup of the bucket; `inboxops inbound show NUMBER` has the row"
TO_DO: Mapping[Kind, str] = {
    Kind.MAIL_MISSING: "look at it in the mailbox; `inboxops inbox fetch NAME` tries again, and so does the next certificate",
    Kind.MAIL_DOUBLED: "look at both places; move one message to the other's ticket, or mark it as spam",
    Kind.MAIL_NOWHERE: "`inboxops inbound raw NUMBER` has the mail; restore its message from a backup of the database",
    Kind.MAIL_DIFFERS: "compare `inboxops inbound raw NUMBER` with the mail in the mailbox",
    Kind.MAIL_UNFILED: "clear the failed `classify` or `persist` of its inbox's DAG; `inboxops inbound show NUMBER` has the row",
    Kind.OBJECT_MISSING: _RESTORE,
    Kind.OBJECT_LENGTH: _RESTORE,
    Kind.OBJECT_ALTERED: f"find out who writes into the bucket; {_RESTORE}",
    Kind.NOT_SENT: "its ticket says why: send it again there, or answer in another way; after a week it is counted and not named",
    Kind.NOT_IN_SENT: "did somebody delete or move it there? If not, ask the customer whether it came",
    Kind.ONLY_IN_SENT: "a row of it is gone: restore it from a backup of the database; the mail itself is in the Sent folder",
    Kind.SENT_UNRECORDED: "it did leave: `inboxops trace MESSAGE-ID` shows its ticket; a retry asks the Sent folder and settles it",
    Kind.NUMBER_MISSING: "a ticket was deleted past InboxOps: restore it from a backup of the database",
    Kind.NUMBER_DOUBLED: "two tickets answer to one number: the index tickets_tenant_id_ticket_number_key is damaged, REINDEX it",
}
"""Kind -> what helps, for whoever reads the certificate at night."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not accounted for, or was not until it was repaired.

    inbox_id 0: the tenant's. key: the provider's key, an object's, a row's or a ticket's number; never an address or a subject.
    """

    kind: Kind
    key: str
    inbox_id: int = 0
    detail: str = ""
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A mail's row. messages: how many messages say they came of it; refers: whether the message that the row names is there."""

    id: int
    tenant_id: int
    inbox_id: int
    key: str
    state: str
    created_at: datetime
    size_bytes: int
    message_id: int
    storage_key: str | None
    offset: int | None
    length: int | None
    detached_bytes: Sequence[int] | None
    detached_offsets: Sequence[int | None] | None
    messages: int
    refers: bool


@dataclass(frozen=True, slots=True)
class SentRow:
    """A message of ours that says `sent`. message_id: without brackets; wire_message_id: "" where it left under that."""

    id: int
    message_id: str
    wire_message_id: str
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Unfiled:
    """A mail that is durable and no ticket yet, nor set aside. waiting: how many such its inbox has."""

    id: int
    inbox_id: int
    key: str
    state: str
    since: datetime
    waiting: int


@dataclass(frozen=True, slots=True)
class Unsent:
    """A message of ours that has not left, or nobody knows. message_id: without brackets; asked_at: when it was written.

    automatic: an automatic answer, which nobody waits for.
    """

    id: int
    inbox_id: int
    message_id: str
    status: str
    asked_at: datetime
    automatic: bool


@dataclass(frozen=True, slots=True)
class Numbers:
    """Ticket numbers of a tenant: spans (first, last) that no ticket bears, those that several bear, those that were erased."""

    last: int
    gaps: Sequence[tuple[int, int]]
    doubled: Sequence[int]
    erased: Collection[int]


def seed(day: datetime, signing_key: SigningKey) -> bytes:
    """What a day's samples are drawn by: nobody can tell them who has not the installation's key."""
    return f"{day:%Y-%m-%d}".encode() + signing_key.current


def drawn(keys: Iterable[str], seed: bytes) -> list[str]:
    """The keys in the order in which a sample takes them."""
    return sorted(keys, key=lambda key: hmac.digest(seed, key.encode(), hashlib.sha256))


def missing(listed: Iterable[Listed], keys: Collection[str]) -> list[Listed]:
    """What the provider lists and no row has."""
    return [one for one in listed if one.key not in keys]


def doubled(keys: Iterable[str], inbox_id: int) -> Iterator[Finding]:
    """Keys of one inbox that stand in more than one row."""
    for key, times in Counter(keys).items():
        if times > 1:
            yield Finding(Kind.MAIL_DOUBLED, key, inbox_id, f"{times} rows")


def place(row: Row) -> Finding | None:
    """A mail is a message exactly when it says so, and then one. A bounce may only be told of at the message that it is about."""
    if row.messages > 1:
        return _of(row, Kind.MAIL_DOUBLED, f"row {row.id} is {row.messages} messages")
    if row.state == "persisted":
        return None if row.messages or row.refers else _of(row, Kind.MAIL_NOWHERE, f"row {row.id} has no message")
    if row.messages and row.state not in ("stored", "classified"):
        return _of(row, Kind.MAIL_DOUBLED, f"row {row.id} is {row.state} and a message")
    return None


def unfiled(rows: Iterable[Unfiled]) -> Iterator[Finding]:
    """Mail that waits too long, at most MOST_WAITING of an inbox by name."""
    more: dict[int, int] = {}
    for row in rows:
        more[row.inbox_id] = row.waiting - MOST_WAITING
        yield Finding(
            Kind.MAIL_UNFILED, row.key, row.inbox_id, f"row {row.id} is {row.state} since {row.since:%Y-%m-%d %H:%M}Z"
        )
    for inbox_id, count in more.items():
        if count > 0:
            yield Finding(Kind.MAIL_UNFILED, f"{count} more", inbox_id)


def unsent(rows: Iterable[Unsent], since: datetime, before: datetime, copied: Collection[str]) -> Iterator[Finding]:
    """Messages written from `since` on and before `before` that have not left. copied: ids of which a copy proves otherwise.

    An automatic answer that was refused is none of them: strangers' addresses are often wrong.
    """
    for row in rows:
        if row.automatic and row.status == "failed":
            continue
        if since <= row.asked_at < before and row.message_id not in copied:
            said = f"message {row.id} says {row.status} since {row.asked_at:%Y-%m-%d %H:%M}Z"
            yield Finding(Kind.NOT_SENT, row.message_id, row.inbox_id, said)


def apart(row: Row) -> Apart:
    """Where the files of the row's raw mail stand."""
    return Apart(row.tenant_id, row.message_id, row.storage_key or "", row.detached_offsets or ())


def beside(row: Row) -> Iterator[tuple[str, int]]:
    """(key, bytes) of the objects beside the pack that a row's raw mail is made of."""
    if row.storage_key is not None:
        places = (apart(row).place(*file) for file in enumerate(row.detached_bytes or ()))
        yield from ((place.key, place.length) for place in places if place.key != row.storage_key)


def within(row: Row) -> Iterator[str]:
    """The names of the files that stand in the row's pack: no object has to bear one."""
    for number, offset in enumerate(row.detached_offsets or ()):
        if offset is not None:
            yield detached_key(row.tenant_id, row.message_id, number)


def in_pack(row: Row) -> list[tuple[int, int]]:
    """(offset, length) of all that the row's pack holds of its mail."""
    return list(spans(row.offset or 0, row.length or 0, row.detached_bytes, row.detached_offsets))


def pack_end(row: Row) -> int:
    """How many bytes the row's pack has at least."""
    return max(offset + length for offset, length in in_pack(row))


def sized(key: str, wanted: int, size: int | None, *, inbox_id: int, at_least: bool) -> Finding | None:
    """An object held against the length that it is to have; at_least: behind it other mail may stand. size None: there is none."""
    if size is None:
        return Finding(Kind.OBJECT_MISSING, key, inbox_id)
    if size < wanted or (size > wanted and not at_least):
        return Finding(Kind.OBJECT_LENGTH, key, inbox_id, f"{size} bytes, {wanted} wanted")
    return None


def is_whole(key: str, content: bytes) -> bool:
    """Whether a pack is what was put: its name has its SHA-256."""
    return hashlib.sha256(content).hexdigest() == pack_digest(key)


def altered(key: str, content: bytes, rows: Sequence[Row]) -> Finding | None:
    """A pack that is not what was put, though each of its mails can be read: only an erasure explains that, by its zeros."""
    done = 0
    for offset, length in sorted(span for row in rows for span in in_pack(row)):
        if _ZEROS in content[done:offset]:
            return None
        done = offset + length
    if _ZEROS in content[done:]:
        return None
    return Finding(
        Kind.OBJECT_ALTERED, key, rows[0].inbox_id if rows else 0, "not what was put there, and nothing was erased"
    )


def not_in_sent(rows: Iterable[SentRow], copies: Collection[Copy]) -> list[SentRow]:
    """Messages of which no copy is there, by our id, the provider's, or our mark."""
    known = {copy.message_id for copy in copies} | {copy.mark for copy in copies}
    known.discard("")
    return [row for row in rows if not known & {row.message_id, row.wire_message_id, loop_mark(row.message_id)}]


def ours(copies: Iterable[Copy], signing_key: SigningKey) -> dict[int, str]:
    """Message -> its id, of the copies that bear an id which we signed: others may be a person's."""
    found = {}
    for copy in copies:
        signed = read_message_id(copy.message_id, signing_key)
        if signed:
            found[signed[1]] = copy.message_id
    return found


def unrecorded(
    copied: Mapping[int, str], statuses: Mapping[int, str], erased: Collection[int], inbox_id: int
) -> Iterator[Finding]:
    """Copies of ours whose row is gone or says that they did not leave. statuses: message -> `send_status`.

    What is on its way says so soon; what was erased is named nowhere.
    """
    for id_, message_id in sorted(copied.items()):
        status = statuses.get(id_)
        if status is None and id_ not in erased:
            yield Finding(Kind.ONLY_IN_SENT, message_id, inbox_id)
        elif status in ("failed", "unknown"):
            yield Finding(Kind.SENT_UNRECORDED, message_id, inbox_id, f"message {id_} says {status}")


def numbers(known: Numbers) -> Iterator[Finding]:
    """Each number once, none missing but those that were erased."""
    for number in known.doubled:
        yield Finding(Kind.NUMBER_DOUBLED, f"#{number}")
    named = 0
    for first, last in known.gaps:
        if last - first >= MOST_NUMBERS:
            gone = sum(first <= number <= last for number in known.erased)
            if gone < last - first + 1:
                yield Finding(Kind.NUMBER_MISSING, f"#{first}-#{last}", detail=f"{gone} of them were erased")
            continue
        for number in range(first, last + 1):
            if number not in known.erased and named < MOST_NUMBERS:
                named += 1
                yield Finding(Kind.NUMBER_MISSING, f"#{number}")


def _of(row: Row, kind: Kind, detail: str) -> Finding:
    return Finding(kind, row.key, row.inbox_id, detail)
