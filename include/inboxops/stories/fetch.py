"""Fetch: what a provider delivers becomes durable before the cursor passes it (invariant 1)."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Protocol

from inboxops.core.inbox import Inbox
from inboxops.core.keys import pack_key
from inboxops.core.model import Batch, Cursor
from inboxops.core.packs import pack
from inboxops.errors import AuthenticationFailed, InboxOpsError, TransientError
from inboxops.ports import Account, FetchLimits, InboundRow, ObjectStore, Provider


class Batches(Protocol):
    """What fetch asks of the database."""

    def add_batch(self, inbox: Inbox, rows: Sequence[InboundRow], *, old: Cursor, new: Cursor, note: str) -> int: ...


class Standing(Protocol):
    """How an inbox stands, kept for its admins (invariant 6)."""

    def disconnect(self, inbox_id: int, error: InboxOpsError) -> bool: ...

    def note_error(self, inbox_id: int, error: InboxOpsError) -> None: ...

    def clear_error(self, inbox_id: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch did. `stored` counts rows that are new; `more` says that the bound of this run was reached."""

    stored: int = 0
    refused: int = 0
    bytes: int = 0
    more: bool = False
    skipped: str = ""


@contextmanager
def standing(inbox: Inbox, store: Standing) -> Iterator[None]:
    """Keep `last_error` and `connected_at` true while the provider is spoken to.

    Raises what it was given: AuthenticationFailed has disconnected the inbox by then; a TransientError left it alone.
    """
    try:
        yield
    except AuthenticationFailed as exc:
        store.disconnect(inbox.id, exc)
        raise
    except TransientError:
        raise
    except InboxOpsError as exc:
        store.note_error(inbox.id, exc)
        raise
    if inbox.last_error is not None:
        store.clear_error(inbox.id)


def fetch(
    inbox: Inbox,
    account: Account,
    provider: Provider,
    batches: Batches,
    inboxes: Standing,
    objects: ObjectStore,
    *,
    limits: FetchLimits,
    max_batches: int,
) -> Fetched:
    """Take in everything behind the inbox's cursor, at most `max_batches` batches a run so that other inboxes go on.

    Raises the provider's errors, after `standing` has recorded them, and TransientError when the object store is away.
    """
    stored = refused = size = 0
    cursor, count = inbox.cursor, 0
    with standing(inbox, inboxes), provider.open(account) as mailbox:
        for batch in _durable(inbox, islice(mailbox.batches(cursor, limits), max_batches), objects):
            stored += batches.add_batch(inbox, batch.rows, old=cursor, new=batch.cursor, note=batch.note or inbox.note)
            refused += sum(row.state == "refused" for row in batch.rows)
            size += sum(row.size_bytes for row in batch.rows)
            cursor, count = batch.cursor, count + 1
    return Fetched(stored, refused, size, more=count == max_batches)


PACKS_AT_ONCE = 2
"""Batches on their way into the object store, besides the one that is read: one alone left a processor idle."""


@dataclass(frozen=True, slots=True)
class _Durable:
    """A batch that is in the object store: its rows may be committed, and the cursor with them."""

    rows: list[InboundRow]
    cursor: Cursor
    note: str


def _durable(inbox: Inbox, batches: Iterator[Batch], objects: ObjectStore) -> Iterator[_Durable]:
    """While batches are put into the object store, the next is already read from the provider."""
    with ThreadPoolExecutor(PACKS_AT_ONCE, thread_name_prefix="pack") as packing:
        pending: deque[Future[_Durable]] = deque()
        try:
            for batch in batches:
                pending.append(packing.submit(_make_durable, inbox, batch, objects))
                del batch  # its bytes are the packer's alone
                if len(pending) > PACKS_AT_ONCE:
                    yield pending[0].result()
                    pending.popleft()  # a batch that failed stays in front: none behind it may move the cursor over it
        except InboxOpsError:  # of the provider: what it delivered until then is kept
            yield from (done.result() for done in pending)
            raise
        yield from (done.result() for done in pending)


def _make_durable(inbox: Inbox, batch: Batch, objects: ObjectStore) -> _Durable:
    """One compressed object for the batch, each message in a frame of its own so that one can be read or erased alone."""
    taken = [message.raw for message in batch.messages if message.raw is not None]
    packed, spans = pack(taken)
    key = pack_key(inbox.tenant_id, inbox.id, hashlib.sha256(packed).hexdigest(), datetime.now(UTC).date())
    if taken:
        objects.put(key, packed, content_type="application/octet-stream")
    places = iter(spans)
    rows = []
    for message in batch.messages:
        offset, length = next(places) if message.raw is not None else (None, None)
        rows.append(
            InboundRow(
                key=message.key,
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
            )
        )
    return _Durable(rows, batch.cursor, batch.note)
