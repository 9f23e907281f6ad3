"""Notices and the channels they go out by. One look at a time; what it finds and what is to be told are one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from inboxops.core.notices import Delivery, Notice
from inboxops.db.database import Database, Row, Transaction, jsonb
from inboxops.errors import NotFound

LEASE_SECONDS = 300.0
AT_ONCE = 20
GIVEN_UP = timedelta(days=3)


class NoticeStore:
    """open_secret: what a webhook's secret was sealed with."""

    def __init__(self, database: Database, *, open_secret: Callable[[bytes], Mapping[str, str]]) -> None:
        self._database = database
        self._open_secret = open_secret

    # -- telling

    def look(self) -> int:
        with self._database.transaction() as t:
            t.rows("lock_notices")
            ids = [row["id"] for name in ("close_notices", "open_notices") for row in t.rows(name)]
            facts = t.rows("notice_facts", ids=ids) if ids else []
            tenants = sorted({fact["tenant_id"] for fact in facts})
            for channel in t.rows("channels_of", tenant_ids=tenants) if tenants else []:
                told = [
                    _notice(f)
                    for f in facts
                    if f["tenant_id"] == channel["tenant_id"] and f["kind"] in channel["kinds"]
                ]
                if told:
                    _put(t, channel, told)
            return len(facts)

    def claim(self) -> list[Delivery]:
        with self._database.transaction() as t:
            rows = t.rows("claim_notices", lease=LEASE_SECONDS, limit=AT_ONCE)
            t.run("outbox_done", ids=[row["id"] for row in rows if row["removed"]])
        return [self._delivery(row) for row in sorted(rows, key=lambda row: row["id"]) if not row["removed"]]

    def delivered(self, delivery_id: int) -> None:
        with self._database.transaction() as t:
            t.run("outbox_done", ids=[delivery_id])

    def not_delivered(self, delivery_id: int, error: str) -> None:
        with self._database.transaction() as t:
            t.run("outbox_failed", ids=[delivery_id], error=error)
            t.run("give_up_notice", id=delivery_id, after=GIVEN_UP)

    def _delivery(self, row: Row) -> Delivery:
        sealed = row["secret_encrypted"]
        return Delivery(
            id=row["id"],
            tenant=row["tenant"],
            way=row["way"],
            target=row["target"],
            created_at=row["created_at"],
            notices=msgspec.convert(row["payload"]["notices"], tuple[Notice, ...]),
            secret=self._open_secret(sealed)["secret"] if sealed else "",
        )

    # -- channels

    def add_channel(
        self, tenant_id: int, *, way: str, target: str, secret: bytes | None, kinds: Sequence[str]
    ) -> int | None:
        """The new channel's id; None when the tenant has it already."""
        with self._database.transaction() as t:
            added: int | None = t.value(
                "add_channel", tenant_id=tenant_id, way=way, target=target, secret=secret, kinds=list(kinds)
            )
            return added

    def channels(self, tenant: str | None) -> list[Row]:
        with self._database.transaction() as t:
            return t.rows("channels", tenant=tenant)

    def remove_channel(self, channel_id: int) -> None:
        """Raises NotFound. What waits for it is dropped."""
        with self._database.transaction() as t:
            if not t.run("remove_channel", id=channel_id):
                raise NotFound(f"there is no channel {channel_id}", fix="`inboxops notify list` shows them")

    def reseal(self, rotate: Callable[[bytes], bytes]) -> int:
        """Seal each webhook's secret anew, those of removed channels too: they open as long as they are there. Returns how many."""
        with self._database.transaction() as t:
            rows = t.rows("sealed_channels")
            for row in rows:
                t.run("seal_channel", id=row["id"], secret=rotate(row["secret_encrypted"]))
        return len(rows)

    def renew_secret(self, channel_id: int, renew: Callable[[bytes], bytes]) -> None:
        """Raises NotFound for a channel that is none, or has no secret."""
        with self._database.transaction() as t:
            row = next(
                (row for row in t.rows("sealed_channels") if row["id"] == channel_id and not row["removed"]), None
            )
            if row is None:
                raise NotFound(f"there is no webhook {channel_id}", fix="`inboxops notify list` shows them")
            t.run("seal_channel", id=channel_id, secret=renew(row["secret_encrypted"]))

    def rehearse(self, channel_id: int, notice: Notice) -> None:
        """Put a notice of nothing into the outbox. Raises NotFound."""
        with self._database.transaction() as t:
            channel = t.row("channel_one", id=channel_id)
            if channel is None:
                raise NotFound(f"there is no channel {channel_id}", fix="`inboxops notify list` shows them")
            _put(t, channel, [notice])


def _put(t: Transaction, channel: Row, notices: Sequence[Notice]) -> None:
    row = {"kind": "notice", "name": str(channel["id"]), "payload": {"notices": notices}}
    t.run("add_outbox", tenant_id=channel["tenant_id"], rows=jsonb([row]))


def _notice(fact: dict[str, Any]) -> Notice:
    over = fact["closed_at"] is not None
    return Notice(
        kind=fact["kind"],
        over=over,
        inbox=fact["inbox"],
        inbox_address=fact["email_address"],
        detail=fact["detail"],
        at=fact["closed_at"] if over else fact["opened_at"],
        ticket_number=fact["ticket_number"],
        ticket_id=fact["ticket_id"],
        message_id=fact["message_id"],
        tenant=fact["tenant"],
    )
