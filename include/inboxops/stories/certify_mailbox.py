"""One inbox held against its provider: what it lists must be in a row, what we sent must be in its Sent folder.

Nothing is called missing at the first look. The provider is listed first; what no row has is fetched in the ordinary way; what is
missing then is looked for in a second listing, because it may have gone meanwhile; and what is there is taken in by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Protocol

from inboxops.core import accounting
from inboxops.core.accounting import Finding, Kind, SentRow
from inboxops.core.model import Cursor, Listed
from inboxops.core.signing import SigningKey
from inboxops.errors import InboxOpsError, TransientError
from inboxops.ports import Account, FetchLimits, Provider, Sender

KEYS_AT_ONCE = 1_000
MOST_COMPARED = 20
"""Mails whose size is not what the server tells, read once more: some servers tell sizes that are about right."""
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

    fetch: all that is behind the cursor, in the ordinary way. fetch_named: what a listing names, in the same way. stored: a
    raw mail as we have it, by its row.
    """

    inbox_id: int
    tenant_id: int
    account: Account
    provider: Provider
    sender: Sender
    fetch: Callable[[], None]
    fetch_named: Callable[[Sequence[Listed]], None]
    stored: Callable[[int], bytes]


@dataclass(slots=True)
class Looked:
    """What a look at one inbox came to."""

    listed: int = 0
    sent: int = 0
    findings: list[Finding] = field(default_factory=list)


def look(door: Door, known: Known, since: datetime, until: datetime) -> Looked:
    """Mail that arrived from `since` on and before `until`. What was missing and could be fetched is told as repaired.

    Raises the provider's errors.
    """
    looked, gone, odd = Looked(), list[Listed](), list[tuple[Listed, int]]()
    with door.provider.open(door.account) as mailbox:
        for page in pages(mailbox.listing(since, until)):
            looked.listed += len(page)
            rows = known.known(door.inbox_id, [one.key for one in page])
            looked.findings += accounting.doubled((row["key"] for row in rows), door.inbox_id)
            sizes = {row["key"]: row for row in rows if row["state"] not in ("refused", "erased")}
            gone += accounting.missing(page, {row["key"] for row in rows})
            odd += [
                (one, row["id"])
                for one in page
                if (row := sizes.get(one.key)) and one.size_bytes not in (None, row["size_bytes"])
            ]
    looked.findings += _compared(door, odd[:MOST_COMPARED])
    if gone:
        door.fetch()
        gone = _still_listed(door, _unknown(door, known, gone), since, until)
    if gone:
        door.fetch_named(gone)
        left = _still_listed(door, _unknown(door, known, gone), since, until)
        open_ = {one.key for one in left}
        looked.findings += [
            Finding(
                Kind.MAIL_MISSING, one.key, door.inbox_id, "" if one.key in open_ else "fetched", one.key not in open_
            )
            for one in gone
        ]
    return looked


def look_in_sent(door: Door, known: Known, rows: Sequence[SentRow], since: datetime, signing_key: SigningKey) -> Looked:
    """Messages that say `sent`, and the copies that the mailbox keeps of what left since then. Raises the provider's errors."""
    listed = door.sender.copies(door.account, since=since - CLOCKS)
    if listed is None:
        return Looked()
    copies = set(listed)
    looked = Looked(sent=len(rows))
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
    return looked


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


def _compared(door: Door, odd: Sequence[tuple[Listed, int]]) -> Iterator[Finding]:
    """Mails whose size is another than the server tells, read once more: what differs is named."""
    ids = {one.key: id_ for one, id_ in odd}
    if not ids:
        return
    with door.provider.open(door.account) as mailbox:
        for batch in mailbox.named([one for one, _ in odd], Cursor(), FetchLimits()):
            for message in batch.messages:
                with suppress(InboxOpsError):  # what is gone from the object store is told of there
                    if message.raw is not None and message.raw != door.stored(ids[message.key]):
                        yield Finding(Kind.MAIL_DIFFERS, message.key, door.inbox_id, f"row {ids[message.key]}")


def pages(listed: Iterable[Listed]) -> Iterator[list[Listed]]:
    """As many as the database is asked about at once."""
    rest = iter(listed)
    while page := list(islice(rest, KEYS_AT_ONCE)):
        yield page
