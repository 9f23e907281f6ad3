"""Keys of stored objects. Each is built here and nowhere else, so running twice writes the same object."""

from __future__ import annotations


def attachment_key(tenant_id: int, message_id: int, number: int, safe_name: str) -> str:
    """`{tenant_id}/{message_id}/{nn}-{safe file name}`; `number` counts the message's attachments from 1.

    safe_name comes from `core.attachments.safe_file_name`. Raises ValueError for a name that could leave its folder.
    """
    if not safe_name or "/" in safe_name or "\\" in safe_name or safe_name in {".", ".."}:
        raise ValueError("an attachment's name must be made safe before it becomes a key")
    return f"{tenant_id}/{message_id}/{number:02d}-{safe_name}"


def upload_key(tenant_id: int, token: str, safe_name: str) -> str:
    """Where a file waits until it is part of a message; `token` is random, so the key says nothing and never comes again."""
    return f"{tenant_id}/uploads/{token}/{safe_name}"
