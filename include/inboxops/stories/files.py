"""Files: uploads that wait for their message, and links to what a message holds."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from inboxops.core import compose
from inboxops.core.attachments import FILE_BYTES, MESSAGE_BYTES, MESSAGE_FILES, safe_file_name
from inboxops.core.detached import Place
from inboxops.core.keys import attachment_key, upload_key
from inboxops.core.outbound import OutboundFile, StoredFile
from inboxops.errors import Conflict, InvalidInput, NotFound, ObjectMissing, TransientError
from inboxops.ports import ObjectStore
from inboxops.stories.raw_mail import read_file

LINK_SECONDS = 900
"""Uploads and downloads by link: 15 minutes."""

PIECE_BYTES = 1024 * 1024

_ACTIVE_TYPES = (
    "text/html",
    "application/xhtml+xml",
    "image/svg+xml",
    "text/xml",
    "application/xml",
    "text/javascript",
)


@dataclass(frozen=True, slots=True)
class UploadLink:
    """A PUT to `url` with exactly these headers and `size_bytes` bytes is taken, anything else refused by the store."""

    id: int
    file_name: str
    url: str
    headers: Mapping[str, str]


class Shelf(Protocol):
    """What this asks of the database. Only rows of the tenant are seen."""

    def add(
        self, tenant_id: int, *, file_name: str, storage_key: str, content_type: str, size_bytes: int, uploaded: bool
    ) -> int: ...

    def by_ids(self, tenant_id: int, ids: Sequence[int]) -> list[StoredFile]: ...

    def in_pack(self, tenant_id: int, file: StoredFile) -> Place | None: ...


def begin_upload(
    tenant_id: int, shelf: Shelf, objects: ObjectStore, *, file_name: str, content_type: str, size_bytes: int
) -> UploadLink:
    """A link that takes one file of this type and size. Raises InvalidInput for one over the limit."""
    name, type_, key = _place(tenant_id, file_name, content_type, size_bytes)
    url = objects.presigned_put(key, content_type=type_, size_bytes=size_bytes, seconds=LINK_SECONDS)
    id_ = shelf.add(
        tenant_id, file_name=name, storage_key=key, content_type=type_, size_bytes=size_bytes, uploaded=False
    )
    return UploadLink(id_, name, url, {"Content-Type": type_, "Content-Length": str(size_bytes)})


def take_upload(
    tenant_id: int, shelf: Shelf, objects: ObjectStore, *, file_name: str, content_type: str, content: bytes
) -> StoredFile:
    """A file that came with the request. Raises InvalidInput for one over the limit."""
    name, type_, key = _place(tenant_id, file_name, content_type, len(content))
    objects.put(key, content, content_type=type_, file_name=name)
    id_ = shelf.add(
        tenant_id, file_name=name, storage_key=key, content_type=type_, size_bytes=len(content), uploaded=True
    )
    return StoredFile(id_, None, name, key, type_, len(content))


def link(tenant_id: int, attachment_id: int, shelf: Shelf, objects: ObjectStore) -> tuple[StoredFile, str]:
    """A link of 15 minutes that downloads and never renders. Raises NotFound, also for what was never uploaded.

    No link reaches into a pack: the first to a file there has it copied, and the copy stays as long as the raw mail.
    """
    file = _stored(tenant_id, attachment_id, shelf, objects)
    type_ = _inert(file.content_type)
    place = shelf.in_pack(tenant_id, file)
    if place is not None and objects.size(file.storage_key) is None:
        content = read_file(place, objects)
        objects.put(file.storage_key, content, content_type=type_, file_name=file.file_name)
        try:
            shelf.in_pack(tenant_id, file)
        except NotFound:  # it was erased meanwhile, and the copy came too late to go with it
            objects.delete([file.storage_key])
            raise
    url = objects.presigned_get(file.storage_key, file_name=file.file_name, content_type=type_, seconds=LINK_SECONDS)
    return file, url


def read(
    tenant_id: int, attachment_id: int, shelf: Shelf, objects: ObjectStore
) -> tuple[StoredFile, str, Iterator[bytes]]:
    """A file, the type to serve it as, and its bytes in pieces. Raises NotFound as `link` does, and what the store raises."""
    file = _stored(tenant_id, attachment_id, shelf, objects)
    place = shelf.in_pack(tenant_id, file)
    if place is not None:
        content = read_file(place, objects)
        shelf.in_pack(tenant_id, file)  # what was erased meanwhile is zeros
        return file, _inert(file.content_type), iter([content])

    def piece(offset: int) -> bytes:
        return objects.get(file.storage_key, offset=offset, length=min(PIECE_BYTES, file.size_bytes - offset))

    pieces = map(piece, range(0, file.size_bytes, PIECE_BYTES))
    first = next(pieces, b"")  # a store that is away is told of before the answer begins
    return file, _inert(file.content_type), chain([first], pieces)


def chosen(tenant_id: int, ids: Sequence[int], shelf: Shelf, objects: ObjectStore) -> list[StoredFile]:
    """The uploads that a message is to carry, in their order, complete and within the limits.

    Raises NotFound, Conflict for what belongs to a message already, InvalidInput for what is over a limit or incomplete.
    """
    if len(set(ids)) != len(ids):
        raise InvalidInput("attachment_ids names a file twice")
    if len(ids) > MESSAGE_FILES:
        raise InvalidInput(f"attachment_ids: a message carries {MESSAGE_FILES} files at most")
    if not ids:
        return []
    known = {file.id: file for file in shelf.by_ids(tenant_id, ids)}
    files = []
    for id_ in ids:
        file = known.get(id_)
        if file is None:
            raise NotFound(f"there is no attachment {id_}", fix="Upload the file again")
        if file.message_id is not None:
            raise Conflict(f"attachment {id_} belongs to a message already", fix="Upload the file again")
        size = objects.size(file.storage_key)
        if size is None:
            raise InvalidInput(f"attachment {id_} was not uploaded yet", fix="PUT it to the link first")
        if size != file.size_bytes:
            raise InvalidInput(f"attachment {id_} has {size} bytes instead of {file.size_bytes}", fix="Upload it again")
        files.append(file)
    if sum(file.size_bytes for file in files) > MESSAGE_BYTES:
        raise InvalidInput(f"attachment_ids: a message carries {MESSAGE_BYTES // 1024**2} MB at most")
    return files


def move_in(
    tenant_id: int, message_id: int, files: Sequence[StoredFile], objects: ObjectStore
) -> dict[int, OutboundFile]:
    """Copies under the message's own keys, which no upload link reaches: what is sent is what was checked.

    Two files of one name are both kept, under different names. Raises Conflict for one that another message took meanwhile.
    """
    taken: set[str] = set()
    placed = {}
    for number, file in enumerate(files, start=1):
        name = safe_file_name(file.file_name, content_type=file.content_type, taken=taken)
        taken.add(name)
        key = attachment_key(tenant_id, message_id, number, name)
        try:
            objects.copy(file.storage_key, key)
        except ObjectMissing as exc:
            raise Conflict(f"attachment {file.id} became part of another message", fix="Upload the file again") from exc
        placed[file.id] = OutboundFile(name, key, file.content_type, file.size_bytes)
    return placed


def clear(keys: Sequence[str], objects: ObjectStore) -> None:
    """Objects that nothing needs any more; when the store is away, housekeeping finds them."""
    with suppress(TransientError):
        objects.delete(list(keys))


def _stored(tenant_id: int, attachment_id: int, shelf: Shelf, objects: ObjectStore) -> StoredFile:
    file = next(iter(shelf.by_ids(tenant_id, [attachment_id])), None)
    if file is None or (file.message_id is None and objects.size(file.storage_key) is None):
        raise NotFound(f"there is no attachment {attachment_id}")
    return file


def _inert(content_type: str) -> str:
    """A browser renders nothing of it."""
    return "application/octet-stream" if content_type in _ACTIVE_TYPES else content_type


def _place(tenant_id: int, file_name: str, content_type: str, size_bytes: int) -> tuple[str, str, str]:
    if size_bytes < 1:
        raise InvalidInput("the file is empty")
    if size_bytes > FILE_BYTES:
        raise InvalidInput(f"the file is larger than {FILE_BYTES // 1024**2} MB", fix="Send a link to it instead")
    type_ = compose.sendable_type(content_type)
    name = safe_file_name(file_name, content_type=type_)
    return name, type_, upload_key(tenant_id, secrets.token_urlsafe(24), name)
