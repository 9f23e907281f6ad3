"""One inbox held against its provider: what it lists must be in a row, what we sent must be in its Sent folder.

Nothing is called missing at the first look. The provider is listed first; what no row has is fetched in the ordinary way; what is
missing then is looked for in a second listing, because it may have gone meanwhile; and what is there is taken in by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate, chain, islice, takewhile
from typing import Any, Protocol

from inboxops.core import accounting
from inboxops.core.accounting import Finding, Kind, SentRow
from inboxops.core.model import Cursor, Listed
from inboxops.core.signing import SigningKey
from inboxops.errors import InboxOpsError, TransientError
from inboxops.ports import Account, FetchLimits, Provider, Sender

KEYS_AT_ONCE = 1_000
MOST_COMPARED = 50
COMPARED_BYTES = 16 * 1024 * 1024
"""Mails of one inbox whose size is not what the server tells, read once more: so many, of so many bytes, others every day. Some
servers tell sizes that are about right, so that each mail is such a one."""
MOST_LOOKS = 100
"""Messages of one inbox that are looked for one by one when its Sent folder does not list them."""
CLOCKS = timedelta(days=1)
"""How much earlier a Sent folder is looked through than the first message left, for clocks, time zones and slow copies."""


class Known(Protocol):
    """What is asked of the database about one inbox."""

    def known(self, inbox_id: int, keys: Sequence[str]) -> Sequence[Mapping[str, Any]]: ...

    def send_statuses(self, tenant_id: int, message_ids: Sequence[int]) -> tuple[dict[int, str], set[int]]: ...

    def settle(self, message_ids: Sequence[int]) -> set[int]: ...


@dataclass(frozen=True, slots=True)
class Door:
    """How one inbox is opened, and how its mail is taken in.

    fetch: all that is behind the cursor, in the ordinary way; False while there is more than that. fetch_named: what a listing
    names, in the same way. stored: a raw mail as we have it, by its row.
    """

    inbox_id: int
    tenant_id: int
    account: Account
    provider: Provider
    sender: Sender
    fetch: Callable[[], bool]
    fetch_named: Callable[[Sequence[Listed]], None]
    stored: Callable[[int], bytes]


@dataclass(slots=True)
class Looked:
    """What a look at one inbox came to. odd_sizes: mails whose size is not what the server tells; compared: those of them that were
    read once more. sent_unchecked: why nobody could look through the Sent folder."""

    listed: int = 0
    odd_sizes: int = 0
    compared: int = 0
    sent: int = 0
    sent_unchecked: str = ""
    findings: list[Finding] = field(default_factory=list)


def look(door: Door, known: Known, since: datetime, until: datetime, looked: Looked, *, seed: bytes) -> None:
    """Mail that arrived from `since` on and before `until`. What was missing and could be fetched is told as repaired.

    seed: decides which mails of odd sizes are compared. Raises the provider's errors; what was found by then stands in `looked`.
    """
    gone, odd = list[Listed](), list[_Odd]()
    with door.provider.open(door.account) as mailbox:
        for page in pages(mailbox.listing(since, until)):
            looked.listed += len(page)
            rows = known.known(door.inbox_id, [one.key for one in page])
            looked.findings += accounting.doubled((row["key"] for row in rows), door.inbox_id)
            sizes = {row["key"]: row for row in rows if row["state"] not in ("refused", "erased")}
            gone += accounting.missing(page, {row["key"] for row in rows})
            odd += [
                _Odd(one, row["id"], row["size_bytes"])
                for one in page
                if (row := sizes.get(one.key)) and one.size_bytes not in (None, row["size_bytes"])
            ]
    looked.odd_sizes = len(odd)
    if gone:
        _take_in(door, known, gone, since, until, looked)
    _compare(door, _some(odd, seed), looked)


def _take_in(
    door: Door, known: Known, gone: Sequence[Listed], since: datetime, until: datetime, looked: Looked
) -> None:
    """What no row has, in the ordinary way and then by name. What has none at the end is named, whatever was in the way."""
    named, left = list[Listed](), list(gone)
    try:
        if not door.fetch():
            left = []  # it is read in its turn
            raise TransientError("there is a backlog that is being read", fix="The next certificate tells")
        named = left = _still_listed(door, _unknown(door, known, gone), since, until)
        if named:
            door.fetch_named(named)
            left = _still_listed(door, _unknown(door, known, named), since, until)
    except InboxOpsError:
        left = _unknown(door, known, left)
        raise
    finally:
        open_ = {one.key for one in left}
        looked.findings += [Finding(Kind.MAIL_MISSING, one.key, door.inbox_id) for one in left]
        looked.findings += [
            Finding(Kind.MAIL_MISSING, one.key, door.inbox_id, "fetched", repaired=True)
            for one in named
            if one.key not in open_
        ]


def look_in_sent(
    door: Door, known: Known, rows: Sequence[SentRow], since: datetime, signing_key: SigningKey, looked: Looked
) -> None:
    """Messages that say `sent`, and the copies that the mailbox keeps of what left since then. Raises the provider's errors."""
    listed = door.sender.copies(door.account, since=since - CLOCKS)
    if listed is None:
        looked.sent_unchecked = "no copies are kept"
        return
    copies = set(listed)
    looked.sent = len(rows)
    lost = accounting.not_in_sent(rows, copies)
    for row in lost:
        if row in lost[:MOST_LOOKS] and _is_found(door, row):
            continue
        looked.findings.append(
            Finding(Kind.NOT_IN_SENT, row.message_id, door.inbox_id, f"left at {row.sent_at:%Y-%m-%d %H:%M}Z")
        )
    copied = accounting.ours(copies, signing_key)
    statuses, erased = known.send_statuses(door.tenant_id, list(copied))
    settled = known.settle([id_ for id_, status in statuses.items() if status == "unknown"])
    looked.findings += [
        Finding(Kind.SENT_UNRECORDED, copied[id_], door.inbox_id, f"message {id_} said unknown", repaired=True)
        for id_ in sorted(settled)
    ]
    statuses |= dict.fromkeys(settled, "sent")
    looked.findings += accounting.unrecorded(copied, statuses, erased, door.inbox_id)


def _is_found(door: Door, row: SentRow) -> bool:
    """Whether the provider knows the message after all, wherever somebody filed it; one that it holds back is on its way."""
    try:
        return bool(door.sender.find_sent(door.account, row.message_id, since=row.sent_at - CLOCKS).sent)
    except TransientError:
        return True


def _unknown(door: Door, known: Known, listed: Sequence[Listed]) -> list[Listed]:
    found = set[str]()
    for page in pages(listed):
        found |= {row["key"] for row in known.known(door.inbox_id, [one.key for one in page])}
    return accounting.missing(listed, found)


def _still_listed(door: Door, wanted: Sequence[Listed], since: datetime, until: datetime) -> list[Listed]:
    if not wanted:
        return []
    keys = {one.key for one in wanted}
    with door.provider.open(door.account) as mailbox:
        return [one for one in mailbox.listing(since, until) if one.key in keys]


@dataclass(frozen=True, slots=True)
class _Odd:
    """A mail whose size the server tells otherwise than its row."""

    listed: Listed
    id: int
    size_bytes: int


def _some(odd: Sequence[_Odd], seed: bytes) -> list[_Odd]:
    """As many as are read once more."""
    by_key = {one.listed.key: one for one in odd}
    ranked = [by_key[key] for key in accounting.drawn(by_key, seed)]
    ends = accumulate(one.size_bytes for one in ranked)
    fitting = sum(1 for _ in takewhile(lambda end: end <= COMPARED_BYTES, ends))
    return ranked[: min(max(fitting, 1), MOST_COMPARED)]


def _compare(door: Door, odd: Sequence[_Odd], looked: Looked) -> None:
    """Read them once more: what differs is named."""
    ids = {one.listed.key: one.id for one in odd}
    if not ids:
        return
    with door.provider.open(door.account) as mailbox:
        batches = mailbox.named([one.listed for one in odd], Cursor(), FetchLimits())
        for message in chain.from_iterable(batch.messages for batch in batches):
            id_ = ids[message.key]
            with suppress(InboxOpsError):  # what is gone from the object store is told of there
                if message.raw is not None and message.raw != door.stored(id_):
                    looked.findings.append(Finding(Kind.MAIL_DIFFERS, message.key, door.inbox_id, f"row {id_}"))
                looked.compared += 1


def pages(listed: Iterable[Listed]) -> Iterator[list[Listed]]:
    """As many as the database is asked about at once."""
    rest = iter(listed)
    while page := list(islice(rest, KEYS_AT_ONCE)):
        yield page
