"""Stored mail: rows and packs out of the object store as parsed messages, a bounded number of bytes at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby

from inboxops.core.detached import Apart, read_note, recognised
from inboxops.core.mime import parse
from inboxops.core.model import InboxContext, ParsedMessage
from inboxops.core.packs import unpack
from inboxops.errors import ObjectMissing
from inboxops.ports import StoredRow
from inboxops.stories.raw_mail import Gets, raw_mail

CHUNK_MESSAGES = 60
CHUNK_BYTES = 4 * 1024 * 1024
"""What is read and saved together at most, unless one message alone is larger: bytes as packed."""


def chunks(rows: Sequence[StoredRow]) -> Iterator[list[StoredRow]]:
    """Neighbours that are read together, bounded in count and in packed bytes."""
    chunk: list[StoredRow] = []
    size = 0
    for row in rows:
        if chunk and (len(chunk) >= CHUNK_MESSAGES or size + row.length > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += row.length
    if chunk:
        yield chunk


def frames(rows: Sequence[StoredRow], objects: Gets) -> Iterator[tuple[bytes | None, StoredRow]]:
    """The packed bytes of the rows, in their order; neighbours in one object are read at once. None: the object is gone."""
    for key, group in groupby(rows, key=lambda row: row.storage_key):
        members = list(group)
        start = min(row.offset for row in members)
        end = max(row.offset + row.length for row in members)
        try:
            packed = objects.get(key, offset=start, length=end - start)
        except ObjectMissing:
            yield from ((None, row) for row in members)
        else:
            yield from ((packed[row.offset - start : row.offset - start + row.length], row) for row in members)


def parsed(frame: bytes, row: StoredRow, context: InboxContext, objects: Gets) -> ParsedMessage:
    """Raises ValueError for a damaged frame, ObjectMissing when a file that is needed is gone."""
    read = partial(parse, received_at=row.received_at, trusted_authserv_ids=context.trusted_authserv_ids)
    remains, noted = unpack(frame)
    if not noted:
        return read(remains)
    files, whole = read_note(noted)
    message = recognised(read(remains, whole=whole), files)
    if message is not None:
        return message
    apart = Apart(context.tenant_id, row.message_id, row.storage_key, row.detached_offsets)
    return read(raw_mail(frame, apart, objects))
