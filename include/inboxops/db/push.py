"""Push channels: how they stand, and the webhooks' way in, which is asynchronous and knows no tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from inboxops.core.push import SETTLED, SUSPECT_AFTER, Channel, Errand, Listener, OpenErrand, Push
from inboxops.db.database import Database, jsonb
from inboxops.db.errors import translated
from inboxops.db.outbox import add_errand, add_event
from inboxops.db.queries import sql

CONNECTIONS = 3
STATEMENT_SECONDS = 4
GRACE_SECONDS = 20.0
"""How long the drain leaves what a webhook stored to whoever stored it: longer than wake-ups are held back."""


class PushStore:
    """What tasks and commands know of channels."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def channels(self, inbox_ids: Collection[int]) -> dict[int, Channel]:
        with self._database.transaction() as t:
            return {row["inbox_id"]: Channel(**row) for row in t.rows("push_channels", ids=list(inbox_ids))}

    def subscription_id(self, inbox_id: int) -> str | None:
        with self._database.transaction() as t:
            found: str | None = t.value("push_subscription", id=inbox_id)
            return found

    def due(self, connection_type: str, *, cell: str, within: timedelta, limit: int) -> list[int]:
        """Connected inboxes of a cell whose channel ends soon, has ended, was never made or is suspect; the most urgent first."""
        with self._database.transaction() as t:
            rows = t.rows(
                "push_due",
                connection_type=connection_type,
                cell=cell,
                within=within,
                suspect_after=SUSPECT_AFTER,
                limit=limit,
            )
        return [row["id"] for row in rows]

    def registered(
        self, inbox_id: int, *, expires_at: datetime, subscription_id: str, client_state_hash: bytes | None, made: bool
    ) -> None:
        """made: the channel is a new one, which has to prove itself; otherwise it was renewed."""
        with self._database.transaction() as t:
            t.run(
                "push_registered",
                id=inbox_id,
                expires_at=expires_at,
                subscription_id=subscription_id or None,
                client_state_hash=client_state_hash,
                made=made,
            )

    def failed(self, inbox_id: int, error: str) -> None:
        with self._database.transaction() as t:
            t.run("push_failed", id=inbox_id, error=error)

    def stopped(self, inbox_id: int) -> None:
        with self._database.transaction() as t:
            t.run("push_stopped", id=inbox_id)

    def note_poll(self, inbox_id: int) -> bool:
        """After a poll that stored mail, before it is classified: was it mail that a push should have told of?

        True when this made the channel suspect: the operator is told, and it is to be registered anew.
        """
        with self._database.transaction() as t:
            arrived_at = t.value("settled_arrival", id=inbox_id, settled=SETTLED)
            tenant_id = t.value("lock_channel", id=inbox_id)
            [channel] = (Channel(**row) for row in t.rows("push_channels", ids=[inbox_id]))
            if arrived_at is None or not channel.missed(arrived_at, datetime.now(UTC)):
                return False
            t.run("note_missed_push", id=inbox_id, missed_at=arrived_at)
            if channel.missed_in_row + 1 != SUSPECT_AFTER:
                return False
            add_event(t, tenant_id, "inbox.push_suspect", {"inbox_id": inbox_id, "last_push_at": channel.last_push_at})
            add_errand(t, Errand.REGISTER, tenant_id, inbox_id)
            return True

    def forget_receipts(self, *, hours: int) -> int:
        with self._database.transaction() as t:
            return t.run("forget_push_receipts", hours=hours)


class PushIntake:
    """What a webhook may ask and store, whichever role it has: nothing but the three functions of its migration."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[DictRow]]) -> None:
        self._pool = pool

    async def gmail_listeners(self, addresses: Sequence[str]) -> Mapping[str, list[Listener]]:
        return _by_key(await self._rows("gmail_listeners", addresses=list(addresses)))

    async def graph_listeners(self, subscriptions: Sequence[str]) -> Mapping[str, list[Listener]]:
        return _by_key(await self._rows("graph_listeners", subscriptions=list(subscriptions)))

    async def store(self, pushes: Sequence[Push]) -> list[OpenErrand]:
        """Durable when it returns. Raises TransientError when nothing was stored."""
        told = [
            asdict(push) | {"errands": [{"kind": kind, "inbox_id": inbox_id} for kind, inbox_id in push.errands]}
            for push in pushes
        ]
        rows = await self._rows("store_pushes", pushes=jsonb(told), grace=GRACE_SECONDS)
        return [OpenErrand(Errand(row["kind"]), row["inbox_id"], row["tenant_id"]) for row in rows]

    async def _rows(self, name: str, /, **parameters: object) -> list[DictRow]:
        with translated():
            async with self._pool.connection() as connection:
                cursor = await connection.execute(sql(name), parameters)
                return await cursor.fetchall()


@asynccontextmanager
async def push_intake(dsn: str) -> AsyncIterator[PushIntake]:
    """Connections of the webhooks' own: they answer also while all others are busy.

    Each statement is a transaction, one round trip and no more. A connection that a restart broke is found out by the call
    that uses it, which then comes again.
    """
    async with AsyncConnectionPool[AsyncConnection[DictRow]](
        dsn,
        min_size=1,
        max_size=CONNECTIONS,
        open=False,
        timeout=STATEMENT_SECONDS,
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "connect_timeout": 5,
            "application_name": "inboxops-webhooks",
            "options": f"-c statement_timeout={STATEMENT_SECONDS}s",
        },
    ) as pool:
        yield PushIntake(pool)


def _by_key(rows: Sequence[DictRow]) -> dict[str, list[Listener]]:
    found: dict[str, list[Listener]] = {}
    for row in rows:
        found.setdefault(row["key"], []).append(Listener(row["inbox_id"], row.get("client_state_hash") or b""))
    return found
