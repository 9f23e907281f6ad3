"""Raw mail: what a provider delivered, byte for byte, out of what fetch stored of it."""

from __future__ import annotations

from typing import Protocol

from inboxops.core.detached import Apart, Place, attach, read_note
from inboxops.core.packs import unpack


class Gets(Protocol):
    def get(self, key: str, *, offset: int, length: int) -> bytes: ...


def read_file(place: Place, objects: Gets) -> bytes:
    """Raises ObjectMissing when it is gone."""
    return objects.get(place.key, offset=place.offset, length=place.length)


def raw_mail(frame: bytes, apart: Apart, objects: Gets) -> bytes:
    """The mail of one frame of a pack, its large files put back.

    Raises ObjectMissing when one of them is gone, ValueError when something is not what was stored.
    """
    remains, noted = unpack(frame)
    if not noted:
        return remains
    files, _ = read_note(noted)
    contents = [read_file(apart.place(number, file.size_bytes), objects) for number, file in enumerate(files)]
    return attach(remains, files, contents)
