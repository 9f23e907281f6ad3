"""What operators see of all tenants in Airflow's UI: inboxes a page at a time, what a run brought, what waits."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from inboxops.db.database import Database, Row
from inboxops.db.queries import sql

SORTS = ("tenant", "name", "kind", "state", "seen", "lag", "push", "parked")


class ConsoleStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def inboxes(
        self,
        *,
        cell: str | None = None,
        every: timedelta,
        ids: Collection[int] | None,
        q: str,
        state: str,
        kind: str,
        trouble: bool,
        sort: str,
        down: bool,
        offset: int,
        limit: int,
    ) -> list[Row]:
        """One page; each row has `total`, the number of all that fit, `lag` in seconds, `rate`, mails of the last day.

        `canary`: the state of the last canary that something is known of, where that did not come back well.
        `canary_from`: the inbox that sends them, None for itself. `stands`: "not_filed" or "not_read" of one whose mail is
        durable or behind its cursor for too long, whatever the reason: a DAG that is paused in Airflow notes no error.

        cell: whose inboxes, None for all. every: how often each is polled by the clock. ids: those that the reader may see, None
        for all. sort: one of `SORTS`.
        """
        with self._database.transaction() as t:
            asked = {
                "cell": cell,
                "every": every,
                "ids": None if ids is None else list(ids),
                "q": q,
                "state": state,
                "kind": kind,
                "trouble": trouble,
                "sort": sort,
                "down": down,
                "offset": offset,
                "limit": limit,
            }
            # Planned each time: what PostgreSQL keeps for a statement that it has seen often fits any ids and filters, and goes
            # through all ids for each inbox. 900 instead of 90 ms with 3,000, on a busy machine.
            rows = t.connection.execute(sql("console_inboxes"), asked, prepare=False).fetchall()
            rates = t.rows("console_rates", ids=[row["id"] for row in rows])
        per_day = {row["inbox_id"]: row["count"] for row in rates}
        return [row | {"rate": per_day.get(row["id"], 0)} for row in rows]

    def outbox(self) -> list[Row]:
        """What is due and not delivered, by kind, the wait of the oldest in seconds."""
        with self._database.transaction() as t:
            return t.rows("console_outbox")

    def came(self, inbox_id: int, since: datetime, until: datetime, *, limit: int) -> list[Row]:
        """Mails whose rows were written in between, with where each is now."""
        with self._database.transaction() as t:
            return t.rows("console_came", inbox_id=inbox_id, since=since, until=until, limit=limit)

    def counts(self, inbox_id: int) -> dict[str, int]:
        """What became of the mail of a week, by state."""
        with self._database.transaction() as t:
            return {row["state"]: row["count"] for row in t.rows("console_counts", inbox_id=inbox_id)}

    def aside(self, inbox_id: int, *, limit: int) -> list[Row]:
        with self._database.transaction() as t:
            return t.rows("console_aside", inbox_id=inbox_id, limit=limit)
