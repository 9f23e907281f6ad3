"""Raw mail: what a provider delivered, byte for byte, out of what fetch stored of it."""

from __future__ import annotations

from typing import Protocol

from inboxops.core.detached import attach, read_note
from inboxops.core.keys import detached_key
from inboxops.core.packs import unpack


class Gets(Protocol):
    def get(self, key: str, *, offset: int, length: int) -> bytes: ...


def raw_mail(frame: bytes, *, tenant_id: int, message_id: int, objects: Gets) -> bytes:
    """The mail of one frame of a pack, its large files put back. message_id: the one that was reserved for it.

    Raises ObjectMissing when one of them is gone, ValueError when something is not what was stored.
    """
    remains, noted = unpack(frame)
    if not noted:
        return remains
    files, _ = read_note(noted)
    contents = [
        objects.get(detached_key(tenant_id, message_id, number), offset=0, length=file.size_bytes)
        for number, file in enumerate(files)
    ]
    return attach(remains, files, contents)
