"""Attachments as rows: what was uploaded and waits, and what messages hold."""

from __future__ import annotations

from collections.abc import Sequence

from inboxops.core.outbound import StoredFile
from inboxops.db.database import Database


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
