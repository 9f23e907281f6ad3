"""Replay: stored mail read again with today's parser and rules, compared with what is stored, and renewed where that was chosen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from inboxops.core.inbox import Inbox
from inboxops.core.model import InboxContext
from inboxops.core.plan import Item
from inboxops.core.reading import StoredAttachment
from inboxops.core.replay import UNREADABLE, Compared, Kept
from inboxops.core.replay_report import Report, reported
from inboxops.core.replay_today import Known, Reread, judge
from inboxops.ports import ReplayRow, ReplayScope
from inboxops.stories.classify import FEW, Begin, Objects, Read, read_row, read_stored
from inboxops.stories.raw_mail import Gets
from inboxops.stories.stored_mail import chunks, frames

LISTED_AT_ONCE = 10_000
"""Rows of a few hundred bytes, whose packs are read in turn."""

UNREAD = Report(read=1, left_out={UNREADABLE: 1})
PAGE = 1_000
"""Mails after which applying remembers how far it is."""


class Listing(Protocol):
    """What says which mail there is."""

    def to_replay(self, scope: ReplayScope, *, after: int, limit: int) -> list[ReplayRow]: ...

    def left_out(self, scope: ReplayScope) -> dict[str, int]: ...


class Stored(Protocol):
    """What a comparison asks of the database."""

    def kept(self, tenant_id: int, ids: Sequence[int]) -> dict[int, Kept]: ...

    def known(self, inbox: Inbox, items: Sequence[Item], *, own_addresses: frozenset[str]) -> Known: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """An inbox and what reading its mail has to know of it. without: the same without what is being tried, if anything is."""

    inbox: Inbox
    context: InboxContext
    without: InboxContext | None = None


Chunk = Sequence[ReplayRow]
Spread = Callable[[Iterable[Chunk]], Iterator[Report]]
"""Has chunks compared in other processes; a report on each."""


def preview(scope: ReplayScope, listing: Listing, here: Comparer, spread: Spread | None) -> Report:
    """What would be otherwise today; writes nothing. Few mails are compared here, and all of them without `spread`.

    Raises TransientError when the database or the object store is away. Memory holds one list of rows, and each process one chunk.
    """
    report = Report(left_out=listing.left_out(scope))
    after = 0
    while rows := listing.to_replay(scope, after=after, limit=LISTED_AT_ONCE):
        after = rows[-1].stored.id
        packs = in_their_packs(rows)
        report = sum(map(here, packs) if spread is None or len(rows) <= FEW else spread(packs), report)
    return report


def in_their_packs(rows: Sequence[ReplayRow]) -> Iterator[Chunk]:
    """Neighbours in a pack together, so that each pack is read once."""
    by_id = {row.stored.id: row for row in rows}
    ordered = sorted((row.stored for row in rows), key=lambda stored: (stored.storage_key, stored.offset))
    for chunk in chunks(ordered):
        yield [by_id[stored.id] for stored in chunk]


class Comparer:
    """Compares one chunk after the other."""

    def __init__(self, desks: Mapping[int, Desk], stored: Stored, objects: Gets) -> None:
        self._desks, self._stored, self._objects = desks, stored, objects

    def __call__(self, rows: Chunk, begin: Begin = lambda position: None) -> Report:
        """`begin` is told the position of each row before it is read."""
        report = Report()
        for inbox_id, reads in reread(rows, self._desks, self._objects, begin).items():
            report += self.compared(self._desks[inbox_id], reads)
        return report

    def compared(self, desk: Desk, each: Sequence[tuple[ReplayRow, Read | str]]) -> Report:
        """The report on mails of one inbox that were read, or could not be."""
        reads = [(row, read) for row, read in each if not isinstance(read, str)]
        report = sum((UNREAD for _ in range(len(each) - len(reads))), Report())
        if not reads:
            return report
        rereads = [_reread(row, read) for row, read in reads]
        kept = self._stored.kept(desk.inbox.tenant_id, [one.item.inbound_id for one in rereads])
        known = self._stored.known(desk.inbox, [one.item for one in rereads], own_addresses=desk.context.own_addresses)
        without: dict[int, Compared] = {}
        if desk.without is not None:
            before = [_reread(row, _judged_by(row, read, desk.without)) for row, read in reads]
            without = {one.kept.inbound_id: one.compared for one in judge(before, kept, known)}
        for one in judge(rereads, kept, known):
            report += reported(one.kept, one.today, _beyond(one.compared, without.get(one.kept.inbound_id)))
        return report


class Renewer:
    """Renews one chunk after the other: what it reads of an inbox, in one transaction."""

    def __init__(
        self,
        desks: Mapping[int, Desk],
        renew: Callable[[Desk, Sequence[Reread], Callable[[int, int, StoredAttachment], None]], int],
        objects: Objects,
    ) -> None:
        self._desks, self._renew, self._objects = desks, renew, objects

    def __call__(self, rows: Chunk, begin: Begin = lambda position: None) -> int:
        """How many mails were changed."""
        changed = 0
        for inbox_id, reads in reread(rows, self._desks, self._objects, begin).items():
            there = {row.stored.id: read for row, read in reads if not isinstance(read, str)}
            rereads = [_reread(row, read) for row, read in reads if not isinstance(read, str)]
            if rereads:
                changed += self._renew(self._desks[inbox_id], rereads, partial(self._put, there))
        return changed

    def _put(self, reads: Mapping[int, Read], inbound_id: int, position: int, file: StoredAttachment) -> None:
        attachment = reads[inbound_id].files[position][1]
        if attachment.detached is None:
            self._objects.put(
                file.storage_key, attachment.content, content_type=file.content_type, file_name=file.file_name
            )


def in_order(rows: Sequence[ReplayRow]) -> Iterator[Chunk]:
    """Bounded chunks in the order in which the mail came: what later mail refers to is renewed before it."""
    by_id = {row.stored.id: row for row in rows}
    for chunk in chunks([row.stored for row in rows]):
        yield [by_id[stored.id] for stored in chunk]


def reread(
    rows: Chunk, desks: Mapping[int, Desk], objects: Gets, begin: Begin
) -> dict[int, list[tuple[ReplayRow, Read | str]]]:
    """What each mail says now, or why it can't be read; by inbox, in the order in which they came."""
    by_id = {row.stored.id: row for row in rows}
    found: dict[int, list[tuple[ReplayRow, Read | str]]] = defaultdict(list)
    for position, (frame, stored) in enumerate(frames([row.stored for row in rows], objects)):
        begin(position)
        row = by_id[stored.id]
        found[row.inbox_id].append((row, read_row(frame, stored, desks[row.inbox_id].context, objects)))
    return {inbox_id: sorted(reads, key=lambda one: one[0].stored.id) for inbox_id, reads in found.items()}


def _reread(row: ReplayRow, read: Read) -> Reread:
    item = Item(
        inbound_id=row.stored.id,
        message_id=row.stored.message_id,
        received_at=row.stored.received_at,
        imported=row.imported,
        released=row.released,
        provider_thread_id=row.stored.provider_thread_id,
        reading=read.reading,
        replayed=True,
    )
    return Reread(item, read.bodies)


def _judged_by(row: ReplayRow, read: Read, context: InboxContext) -> Read:
    """The same mail, judged with another context."""
    again = read_stored(read.message, row.stored, context)
    return replace(read, reading=replace(again, attachments=read.reading.attachments, omitted=read.reading.omitted))


def _beyond(compared: Compared, without: Compared | None) -> Compared:
    """The differences that are not there without what is being tried."""
    if without is None:
        return compared
    known = {(one.group, one.now) for one in without.differences}
    return replace(
        compared, differences=tuple(one for one in compared.differences if (one.group, one.now) not in known)
    )
