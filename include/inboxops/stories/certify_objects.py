"""Objects held against the rows that name them: each is there, as long as it has to be; some packs are read in full.

Packs are listed, a thousand in one answer, for their keys have inbox and day; files are asked for one by one. What is missing is
looked at again, and so is whether a row names it still: what was erased or went by its age meanwhile is no loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from inboxops.core import accounting
from inboxops.core.accounting import Finding, Kind, Row
from inboxops.core.keys import is_detached, message_of, pack_prefix
from inboxops.errors import ObjectMissing
from inboxops.stories.raw_mail import raw_mail

ASKED_AT_ONCE = 8
SAMPLE_PACKS = 60
SAMPLE_BYTES = 64 * 1024 * 1024
"""Packs of one certificate that are read in full, with the files of their mail that are objects of their own: so many, or so many
bytes of packs. Which ones nobody can tell who has not the installation's key."""


class Named(Protocol):
    """What is asked of the database."""

    def rows_of_packs(self, keys: Sequence[str]) -> list[Row]: ...

    def files(self, tenant_id: int, message_ids: Sequence[int]) -> list[tuple[str, int]]: ...

    def still_named(self, keys: Sequence[str]) -> set[str]: ...

    def still_there(self, message_ids: Sequence[int]) -> set[int]: ...


class Objects(Protocol):
    def get(self, key: str, *, offset: int | None = None, length: int | None = None) -> bytes: ...

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]: ...


class Sizes(Protocol):
    """Asked from several threads."""

    def size(self, key: str) -> int | None: ...


@dataclass(slots=True)
class Stored:
    """What a look at the objects came to: rows, those of them that were erased or refused, objects, packs read in full."""

    mails: int = 0
    erased: int = 0
    refused: int = 0
    objects: int = 0
    packs: int = 0
    findings: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class _Pack:
    inbox_id: int
    end: int


class Stocktaking:
    """Of one tenant. Rows are given page by page; packs, of which many rows share one, are looked at when all were given."""

    def __init__(self, tenant_id: int, named: Named, objects: Objects, sizes: Sizes) -> None:
        self._tenant_id, self._named, self._objects, self._sizes = tenant_id, named, objects, sizes
        self._packs: dict[str, _Pack] = {}
        self.stored = Stored()

    def rows(self, rows: Sequence[Row]) -> None:
        """Each row's place, its files, and what is needed of its pack."""
        self.stored.mails += len(rows)
        self.stored.erased += sum(row.state == "erased" for row in rows)
        self.stored.refused += sum(row.state == "refused" for row in rows)
        self.stored.findings += filter(None, map(accounting.place, rows))
        for row in rows:
            if row.storage_key is not None:
                pack = self._packs.setdefault(row.storage_key, _Pack(row.inbox_id, 0))
                pack.end = max(pack.end, accounting.pack_end(row))
        inbox_of = {row.message_id: row.inbox_id for row in rows}
        files = self._named.files(self._tenant_id, [row.message_id for row in rows if row.messages])
        packed = {key for row in rows for key in accounting.within(row)}
        wanted = {key: size for key, size in files if key not in packed}
        for row in rows:
            wanted |= accounting.beside(row)
        self._files(wanted, inbox_of)

    def sent(self, messages: Mapping[int, int]) -> None:
        """The files of messages of ours. messages: id -> inbox."""
        self._files(dict(self._named.files(self._tenant_id, list(messages))), messages)

    def packs(self, seed: bytes) -> None:
        """All packs by their lengths, and a sample of them read in full. seed: decides which."""
        wanted = {key: (pack.end, pack.inbox_id, True) for key, pack in self._packs.items()}
        known: dict[str, int] = {}
        for prefix in {pack_prefix(key) for key in wanted}:
            known |= ((key, size) for key, size in self._objects.sizes(prefix) if key in wanted)
        self._hold(wanted, known)
        read = 0
        for key in islice(accounting.drawn(known, seed), SAMPLE_PACKS):
            if read + known[key] > SAMPLE_BYTES and read:
                continue
            read += known[key]
            self._read(key)

    def _files(self, wanted: Mapping[str, int], inbox_of: Mapping[int, int]) -> None:
        keys = list(wanted)
        with ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="size") as asking:
            sizes = zip(keys, asking.map(self._sizes.size, keys), strict=True)
            known = {key: size for key, size in sizes if size is not None}
        inboxes = {key: inbox_of.get(message_of(key) or 0, 0) for key in keys}
        self._hold({key: (size, inboxes[key], False) for key, size in wanted.items()}, known)

    def _hold(self, wanted: Mapping[str, tuple[int, int, bool]], known: dict[str, int]) -> None:
        """wanted: key -> (bytes, inbox, whether more may stand behind them). What does not fit is looked at again."""
        self.stored.objects += len(wanted)
        wrong = []
        for key, (size, inbox_id, at_least) in wanted.items():
            if accounting.sized(key, size, known.get(key), inbox_id=inbox_id, at_least=at_least):
                now = self._sizes.size(key)
                finding = accounting.sized(key, size, now, inbox_id=inbox_id, at_least=at_least)
                if finding:
                    wrong.append(finding)
        self.stored.findings += self._still(wrong)

    def _still(self, findings: Sequence[Finding]) -> Iterator[Finding]:
        """Without objects that no row names any more."""
        named = self._named.still_named([one.key for one in findings]) if findings else set()
        mails = {one.key: message_of(one.key) for one in findings if is_detached(one.key)}
        there = self._named.still_there([id_ for id_ in mails.values() if id_]) if mails else set()
        return (one for one in findings if one.key in named or mails.get(one.key) in there)

    def _read(self, key: str) -> None:
        """A pack in full: what was put there, or at least each of its mails, with its files."""
        rows = self._named.rows_of_packs([key])
        try:
            content = self._objects.get(key)
        except ObjectMissing:
            return  # its length was asked for: it went meanwhile, or the next certificate says so
        self.stored.packs += 1
        whole = accounting.is_whole(key, content)
        bad = {}
        for row in rows:
            if (not whole or any(accounting.beside(row))) and (why := self._wrong(row, content)):
                bad[row.id] = why
        if bad:
            still = {row.id: row for row in self._named.rows_of_packs([key])}
            self.stored.findings += [
                Finding(Kind.OBJECT_ALTERED, row.key, row.inbox_id, f"row {row.id} in {key}: {bad[row.id]}")
                for row in still.values()
                if row.id in bad
            ]
        elif not whole:
            self.stored.findings += filter(None, [accounting.altered(key, content, rows)])

    def _wrong(self, row: Row, content: bytes) -> str:
        """What is wrong with one raw mail, "" when it is as it was."""
        offset, length = accounting.in_pack(row)[0]
        pack = _InHand(row.storage_key or "", content, self._objects)
        try:
            raw = raw_mail(content[offset : offset + length], accounting.apart(row), pack)
        except ObjectMissing:
            return "" if row.detached_bytes is not None else "a file of it is gone"  # else it is told of by its key
        except ValueError as exc:
            return str(exc)
        return "" if len(raw) == row.size_bytes else f"{len(raw)} bytes, {row.size_bytes} wanted"


@dataclass(frozen=True, slots=True)
class _InHand:
    """The objects, one of which was read in full already."""

    key: str
    content: bytes
    others: Objects

    def get(self, key: str, *, offset: int, length: int) -> bytes:
        if key == self.key:
            return self.content[offset : offset + length]
        return self.others.get(key, offset=offset, length=length)


def take_stock(
    stocktaking: Stocktaking, pages: Iterable[Sequence[Row]], sent: Mapping[int, int], seed: bytes
) -> Stored:
    """Raises TransientError when the object store or the database is away."""
    for rows in pages:
        stocktaking.rows(rows)
    stocktaking.sent(sent)
    stocktaking.packs(seed)
    return stocktaking.stored
