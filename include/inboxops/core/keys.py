"""Keys of stored objects. Each is built here and nowhere else, so running twice writes the same object."""

from __future__ import annotations

import re
from datetime import date, timedelta

_PACK = re.compile(r"([0-9]+/raw/[0-9]+/([0-9]{8})-)([0-9a-f]+)\.zst")
_ATTACHMENT = re.compile(r"[0-9]+/([0-9]+)/[0-9]{2}-.+", re.DOTALL)
_DETACHED = re.compile(r"[0-9]+/([0-9]+)/raw-([0-9]{2})")
_UPLOAD = re.compile(r"[0-9]+/uploads/.+", re.DOTALL)


def attachment_key(tenant_id: int, message_id: int, number: int, safe_name: str) -> str:
    """`{tenant_id}/{message_id}/{nn}-{safe file name}`; `number` counts the message's attachments from 1.

    safe_name comes from `core.attachments.safe_file_name`. Raises ValueError for a name that could leave its folder.
    """
    if not safe_name or "/" in safe_name or "\\" in safe_name or safe_name in {".", ".."}:
        raise ValueError("an attachment's name must be made safe before it becomes a key")
    return f"{tenant_id}/{message_id}/{number:02d}-{safe_name}"


def detached_key(tenant_id: int, message_id: int, number: int) -> str:
    """`{tenant_id}/{message_id}/raw-{nn}`: a file that stands apart from its raw mail (`core.detached`), counted from 0.

    Of one that stands in a pack it is the name, and the key of a copy once somebody needs an object of its own.
    """
    return f"{tenant_id}/{message_id}/raw-{number:02d}"


def upload_key(tenant_id: int, token: str, safe_name: str) -> str:
    """Where a file waits until it is part of a message; `token` is random, so the key says nothing and never comes again."""
    return f"{tenant_id}/uploads/{token}/{safe_name}"


def pack_key(tenant_id: int, inbox_id: int, digest: str, day: date) -> str:
    """Where a pack of raw mail is stored; `digest` is the hex SHA-256 of its content, so a batch packed again is the same object.

    The day it is packed on stands in it so that a pack which no row came to name is never written again later: it can be deleted.
    """
    return f"{tenant_id}/raw/{inbox_id}/{day:%Y%m%d}-{digest}.zst"


def pack_digest(key: str) -> str:
    """The hex SHA-256 of what a pack held when it was put, "" for any other key."""
    found = _PACK.fullmatch(key)
    return found[3] if found else ""


def pack_prefix(key: str) -> str:
    """Below which all packs of that inbox and day stand."""
    found = _PACK.fullmatch(key)
    return found[1] if found else key


def message_of(key: str) -> int | None:
    """The message whose attachment, or detached file, the object is, None for any other."""
    found = _ATTACHMENT.fullmatch(key) or _DETACHED.fullmatch(key)
    return int(found[1]) if found else None


def message_prefix(tenant_id: int, message_id: int) -> str:
    """Below which all objects of one message stand, but its raw mail."""
    return f"{tenant_id}/{message_id}/"


def tenant_prefix(tenant_id: int) -> str:
    """Below which everything of a tenant stands."""
    return f"{tenant_id}/"


def is_detached(key: str) -> bool:
    """Whether the object is part of a raw mail: it stays as long as that."""
    return _DETACHED.fullmatch(key) is not None


def detached_number(key: str) -> int | None:
    """Which of its mail's files that stand apart it is, None for any other key."""
    found = _DETACHED.fullmatch(key)
    return int(found[2]) if found else None


def may_be_written_again(key: str, *, today: date) -> bool:
    """Whether the object of that key could be put once more before its row is written, so that it is no orphan yet.

    So it is for a pack of today or yesterday; and nobody knows for a key that was not made here.
    """
    pack = _PACK.fullmatch(key)
    if pack:
        return pack[2] >= f"{today - timedelta(days=1):%Y%m%d}"
    return not (message_of(key) is not None or _UPLOAD.fullmatch(key))
