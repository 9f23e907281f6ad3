"""Fetch: what a provider delivers becomes durable before the cursor passes it (invariant 1)."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from inboxops.core.detached import MOST_PACKED_BYTES, detach, note
from inboxops.core.inbox import Inbox
from inboxops.core.keys import detached_key, pack_key
from inboxops.core.mime import identity
from inboxops.core.model import Batch, Cursor, Listed, RawMessage, Reused
from inboxops.core.packs import pack
from inboxops.errors import AuthenticationFailed, InboxOpsError, Overtaken, TransientError
from inboxops.ports import Account, FetchLimits, InboundRow, Provider
from inboxops.stories.telling import Telling, log


class Batches(Protocol):
    """What fetch asks of the database."""

    def known(self, inbox_id: int, messages: Sequence[RawMessage]) -> frozenset[str]: ...

    def erased(self, inbox_id: int, messages: Sequence[RawMessage]) -> frozenset[str]: ...

    def reserve(self, count: int) -> list[int]: ...

    def add_batch(
        self,
        inbox: Inbox,
        rows: Sequence[InboundRow],
        *,
        old: Cursor,
        new: Cursor,
        note: str,
        by: str,
        reused: Reused | None,
    ) -> int: ...


class Puts(Protocol):
    """What fetch asks of the object store, from several threads."""

    def put(self, key: str, content: bytes, *, content_type: str) -> None: ...


class Standing(Protocol):
    """How an inbox stands, kept for its admins (invariant 6)."""

    def disconnect(self, inbox: Inbox, error: InboxOpsError) -> bool: ...

    def note_error(self, inbox_id: int, error: InboxOpsError) -> None: ...

    def is_read(self, inbox_id: int) -> None:
        """All that is there was taken in, now. A look that finds mail proves less: what kept it from us may last."""
        ...


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch did. `stored` counts rows that are new; `more` says that the bound of this run was reached."""

    stored: int = 0
    refused: int = 0
    bytes: int = 0
    more: bool = False
    skipped: str = ""


@contextmanager
def standing(inbox: Inbox, store: Standing, *, disconnects: bool = True) -> Iterator[None]:
    """Keep `last_error` and `connected_at` true while the inbox is read; `is_read` says that nothing is in the way any more.

    disconnects: False for who leaves a refused login to a run of the inbox.

    Raises what it was given: AuthenticationFailed has disconnected the inbox by then; any other stands in `last_error`, so that
    an inbox says what it waits for.
    """
    try:
        yield
    except AuthenticationFailed as exc:
        if disconnects:
            store.disconnect(inbox, exc)
        raise
    except Overtaken:
        raise
    except InboxOpsError as exc:
        with suppress(TransientError):  # the database itself may be what is away
            store.note_error(inbox.id, exc)
        raise


def fetch(
    inbox: Inbox,
    account: Account,
    provider: Provider,
    batches: Batches,
    inboxes: Standing,
    objects: Puts,
    *,
    limits: FetchLimits,
    max_batches: int,
    yields: Callable[[], bool] = lambda: False,
    by: str = "",
) -> Fetched:
    """Take in everything behind the inbox's cursor, at most `max_batches` batches a run so that other inboxes go on.

    yields: asked behind each batch; when it says so, the rest is left to another run as well. by: the run that does it, kept
    with the mail.
    Raises the provider's errors, after `standing` has recorded them, and TransientError when the object store is away.
    """
    log.info("fetch_began", inbox=inbox.name, kind=inbox.connection_type, behind=str(inbox.cursor))
    with standing(inbox, inboxes), provider.open(account) as mailbox:
        behind = _Bounded(mailbox.batches(inbox.cursor, limits), yields, max_batches)
        fetched = _take_in(inbox, behind, batches, objects, by)
    inboxes.is_read(inbox.id)
    return _ended(replace(fetched, more=behind.cut))


class _Bounded(Iterator[Batch]):
    """So many batches at most, and none more once somebody else is to go on. `cut`: whether that was so."""

    def __init__(self, source: Iterator[Batch], yields: Callable[[], bool], most: float = math.inf) -> None:
        self._source, self._yields, self._left = source, yields, most
        self._begun = self.cut = False

    def __next__(self) -> Batch:
        if self._left == 0 or (self._begun and self._yields()):
            self.cut = True
            raise StopIteration
        batch = next(self._source)
        self._begun, self._left = True, self._left - 1
        return batch


def fetch_named(
    inbox: Inbox,
    account: Account,
    provider: Provider,
    batches: Batches,
    inboxes: Standing,
    objects: Puts,
    wanted: Sequence[Listed],
    *,
    limits: FetchLimits,
    yields: Callable[[], bool] = lambda: False,
    by: str = "",
) -> Fetched:
    """As `fetch`, of those of a listing that are still there; the cursor stays where it is, and what is known is absorbed."""
    log.info("fetch_began", inbox=inbox.name, kind=inbox.connection_type, named=len(wanted))
    with standing(inbox, inboxes), provider.open(account) as mailbox:
        named = _Bounded(mailbox.named(wanted, inbox.cursor, limits), yields)
        fetched = _take_in(inbox, named, batches, objects, by)
    return _ended(replace(fetched, more=named.cut))


def _take_in(inbox: Inbox, source: Iterator[Batch], batches: Batches, objects: Puts, by: str) -> Fetched:
    """Make batch after batch durable."""
    stored = refused = size = 0
    cursor = inbox.cursor
    told, told_refused = Telling("mail_stored"), Telling("mail_refused")
    for batch in _durable(inbox, source, batches, objects):
        about = batch.note or inbox.note
        new = batches.add_batch(inbox, batch.rows, old=cursor, new=batch.cursor, note=about, by=by, reused=batch.reused)
        stored += new
        size += sum(row.size_bytes for row in batch.rows)
        for row in batch.rows:
            if row.state == "refused":
                refused += 1
                told_refused(warn=True, key=row.key, why=row.reason, to_do="it stays in the mailbox: look for it there")
            else:
                told(key=row.key, bytes=row.size_bytes, received=row.received_at.isoformat(), imported=row.imported)
        cursor = batch.cursor
        log.info("batch_durable", came=len(batch.rows), new=new, read_to=str(cursor), note=batch.note)
    told.close()
    told_refused.close()
    return Fetched(stored, refused, size)


def _ended(fetched: Fetched) -> Fetched:
    log.info("fetch_ended", stored=fetched.stored, refused=fetched.refused, bytes=fetched.bytes, more=fetched.more)
    return fetched


FILES_AT_ONCE = 4
PACKS_AT_ONCE = 2
"""Batches on their way into the object store, besides the one that is read: one alone left a processor idle."""


@dataclass(frozen=True, slots=True)
class _Durable:
    """A batch that is in the object store: its rows may be committed, and the cursor with them."""

    rows: list[InboundRow]
    cursor: Cursor
    note: str
    reused: Reused | None


def _durable(inbox: Inbox, source: Iterator[Batch], batches: Batches, objects: Puts) -> Iterator[_Durable]:
    """While batches are put into the object store, the next is already read from the provider."""
    with (
        ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="file") as putting,
        ThreadPoolExecutor(PACKS_AT_ONCE, thread_name_prefix="pack") as packing,
    ):
        store = _Store(inbox, objects, putting)
        pending: deque[Future[_Durable]] = deque()
        has_reused = False
        try:
            for whole in source:
                has_reused = has_reused or whole.reused is not None
                # Keys that are given anew name other mail, whose rows give them up only as the first batch is committed.
                batch = _without(batches.erased if has_reused else batches.known, inbox, whole)
                del whole
                ids = batches.reserve(len(batch.messages))  # here, so that they ascend as the mail came
                pending.append(packing.submit(store.make_durable, batch, ids))
                del batch  # its bytes are the packer's alone
                if len(pending) > PACKS_AT_ONCE:
                    yield pending[0].result()
                    pending.popleft()  # a batch that failed stays in front: none behind it may move the cursor over it
        except InboxOpsError:  # of the provider: what it delivered until then is kept
            yield from (done.result() for done in pending)
            raise
        yield from (done.result() for done in pending)


def _without(known: Callable[[int, Sequence[RawMessage]], frozenset[str]], inbox: Inbox, batch: Batch) -> Batch:
    """What is new of a batch. In a rescan most is known, and some of that was erased: its bytes may not come back."""
    keys = known(inbox.id, batch.messages)
    return replace(batch, messages=tuple(one for one in batch.messages if one.key not in keys)) if keys else batch


class _Store:
    """Where the mail of an inbox becomes durable."""

    def __init__(self, inbox: Inbox, objects: Puts, putting: ThreadPoolExecutor) -> None:
        self._inbox, self._objects, self._putting = inbox, objects, putting

    def make_durable(self, batch: Batch, ids: Sequence[int]) -> _Durable:
        """One object for the batch, each message in a compressed frame of its own so that one can be read or erased alone.

        Files stand apart: small ones behind the frames, any other is an object of its own (`core.detached`).
        """
        puts: list[Future[None]] = []
        small: list[bytes] = []
        taken = [
            self._without_files(message.raw, id_, puts, small)
            for message, id_ in zip(batch.messages, ids, strict=True)
            if message.raw is not None
        ]
        packed, spans = pack([(remains, noted) for remains, noted, _ in taken], small)
        small.clear()  # they are in the pack now, and are not held twice while it is put
        today = datetime.now(UTC).date()
        key = pack_key(self._inbox.tenant_id, self._inbox.id, hashlib.sha256(packed).hexdigest(), today)
        if taken:
            self._put(key, packed)
        for put in puts:
            put.result()
        places = zip(spans[: len(taken)], (sizes for _, _, sizes in taken), strict=True)
        begins = iter(spans[len(taken) :])
        rows = []
        for message, id_ in zip(batch.messages, ids, strict=True):
            (offset, length), sizes = next(places) if message.raw is not None else ((None, None), ())
            offsets = tuple(next(begins)[0] if size <= MOST_PACKED_BYTES else None for size in sizes)
            rows.append(
                InboundRow(
                    key=message.key,
                    message_id=id_,
                    state="refused" if message.raw is None else "stored",
                    reason=message.refusal,
                    storage_key=None if message.raw is None else key,
                    offset=offset,
                    length=length,
                    size_bytes=message.size_bytes,
                    received_at=message.received_at,
                    in_spam_folder=message.in_spam_folder,
                    thread_id=message.thread_id,
                    imported=message.imported,
                    detached_bytes=sizes,
                    detached_offsets=offsets,
                )
            )
        return _Durable(rows, batch.cursor, batch.note, batch.reused)

    def _without_files(
        self, raw: bytes, message_id: int, puts: list[Future[None]], small: list[bytes]
    ) -> tuple[bytes, bytes, tuple[int, ...]]:
        """(what remains of the mail, the note on it, its files' sizes), once its files are on their way or among the small ones."""
        try:
            remains, files, contents = detach(raw)
            noted = note(files, identity(raw)) if files else b""
        except Exception:  # a mail that we fail on is kept whole: reading it says what is wrong
            return raw, b"", ()
        for number, content in enumerate(contents):
            if len(content) <= MOST_PACKED_BYTES:
                small.append(content)
            else:
                key = detached_key(self._inbox.tenant_id, message_id, number)
                puts.append(self._putting.submit(self._put, key, content))
        return remains, noted, tuple(map(len, contents))

    def _put(self, key: str, content: bytes) -> None:
        self._objects.put(key, content, content_type="application/octet-stream")
