"""Erase: what is stored of a mail is overwritten or deleted before its rows go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, groupby, islice
from operator import attrgetter
from typing import Protocol

from inboxops.core import packs
from inboxops.core.erasure import Frame
from inboxops.core.keys import message_prefix, tenant_prefix
from inboxops.errors import ObjectMissing

_KEYS_AT_ONCE = 1000


class Objects(Protocol):
    def get(self, key: str) -> bytes: ...

    def put(self, key: str, content: bytes, *, content_type: str) -> None: ...

    def delete(self, keys: Sequence[str]) -> None: ...

    def list(self, prefix: str) -> Iterator[str]: ...


def wipe(tenant_id: int, frames: Sequence[Frame], files: Sequence[str], objects: Objects) -> None:
    """Zeros in place of each frame and its files there, so that the others keep their places; objects of their own are deleted.

    Harmless to do again. Raises TransientError when the object store is away.
    """
    for key, of_pack in groupby(sorted(frames, key=attrgetter("storage_key")), key=attrgetter("storage_key")):
        try:
            packed = objects.get(key)
        except ObjectMissing:
            continue
        for offset, length in chain.from_iterable(frame.spans for frame in of_pack):
            packed = packs.erase(packed, offset, length)
        objects.put(key, packed, content_type="application/octet-stream")
    parts = (key for frame in frames for key in objects.list(message_prefix(tenant_id, frame.message_id)))
    _delete(chain(files, parts), objects)


def wipe_tenant(tenant_id: int, objects: Objects) -> int:
    """Every object of a tenant: how many."""
    return _delete(objects.list(tenant_prefix(tenant_id)), objects)


def _delete(keys: Iterator[str], objects: Objects) -> int:
    deleted = 0
    while some := list(islice(keys, _KEYS_AT_ONCE)):
        objects.delete(some)
        deleted += len(some)
    return deleted
