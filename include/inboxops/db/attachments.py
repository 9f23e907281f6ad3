"""Attachments as rows: what was uploaded and waits, and what messages hold."""

from __future__ import annotations

from collections.abc import Sequence

from inboxops.core.detached import Apart, Place
from inboxops.core.keys import detached_number, message_of
from inboxops.core.outbound import StoredFile
from inboxops.db.database import Database
from inboxops.errors import NotFound


class AttachmentStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, tenant_id: int, *, file_name: str, storage_key: str, content_type: str, size_bytes: int, uploaded: bool
    ) -> int:
        with self._database.transaction() as t:
            return int(
                t.value(
                    "add_upload",
                    tenant_id=tenant_id,
                    file_name=file_name,
                    storage_key=storage_key,
                    content_type=content_type,
                    size_bytes=size_bytes,
                    uploaded=uploaded,
                )
            )

    def by_ids(self, tenant_id: int, ids: Sequence[int]) -> list[StoredFile]:
        with self._database.transaction() as t:
            return [StoredFile(**row) for row in t.rows("attachments_by_ids", tenant_id=tenant_id, ids=list(ids))]

    def in_pack(self, tenant_id: int, file: StoredFile) -> Place | None:
        """Where in a pack the file stands, None for an object of its own. Waits for who erases it.

        Raises NotFound when it was erased.
        """
        number, message_id = detached_number(file.storage_key), message_of(file.storage_key)
        if number is None or message_id is None:
            return None
        with self._database.transaction() as t:
            row = t.row("raw_mail_there", tenant_id=tenant_id, message_id=message_id)
        if row is None:
            raise NotFound(f"there is no attachment {file.id}")
        apart = Apart(tenant_id, message_id, row["storage_key"], row["detached_offsets"] or ())
        place = apart.place(number, file.size_bytes)
        return None if place.key == file.storage_key else place
