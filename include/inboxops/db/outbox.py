"""The outbox: what has to leave after a commit, and did it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from inboxops.core.push import Errand
from inboxops.db.database import Database, Transaction, jsonb
from inboxops.errors import InboxOpsError
from inboxops.ports import EventBus, PublishedEvent

SLICE = 500
ERRANDS = 200
LEASE_SECONDS = 60.0
"""How long whoever delivers errands or sends may take for all that it claimed: what is left then is the next one's.

So an Airflow that is slow to answer keeps nobody from what comes behind. A second delivery would do no harm.
"""


class OutboxStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def tenants_with_open_events(self, *, cell: str) -> list[int]:
        """Those of a cell."""
        with self._database.transaction() as t:
            return [row["tenant_id"] for row in t.rows("tenants_with_open_events", cell=cell)]

    def publish_open(self, tenant_id: int, bus: EventBus) -> int:
        """Hand the tenant's next events to the bus and mark them done; returns how many.

        One publisher a tenant at a time, so that events keep their order. Raises TransientError when the bus is away;
        the events stay open then.
        """
        with self._database.transaction() as t:
            t.rows("lock_events", tenant_id=tenant_id)
            rows = t.rows("open_events", tenant_id=tenant_id, limit=SLICE)
            if rows:
                bus.publish([PublishedEvent(row["id"], row["tenant_id"], row["name"], row["payload"]) for row in rows])
                t.run("outbox_done", ids=[row["id"] for row in rows])
            return len(rows)

    def add_errand(self, kind: Errand, tenant_id: int, about: int, *, delay: timedelta = timedelta()) -> None:
        """One open errand of a kind is enough for an inbox, or a replay: whoever runs it looks at how things stand then."""
        with self._database.transaction() as t:
            add_errand(t, kind, tenant_id, about, delay=delay)

    def deliver_errands(
        self,
        kind: Errand,
        deliver: Callable[[int, int, str], object],
        *,
        about: int | None = None,
        cell: str | None = None,
    ) -> tuple[int, int]:
        """Call `deliver(about, errand, cell)` with each that is due, or with one of them at once: (delivered, kept for later).

        cell: only those of its tenants.

        One that raises InboxOpsError is kept with what it says, also while Airflow refuses us, until an operator acted.
        Holds no lock meanwhile: what is asked for during a delivery stays open.
        """
        claim, name = uuid.uuid4().hex, None if about is None else str(about)
        with self._database.transaction() as t:
            rows = t.rows(
                "claim_errands", kind=kind, name=name, claim=claim, lease=LEASE_SECONDS, limit=ERRANDS, cell=cell
            )
        ends, delivered = time.monotonic() + LEASE_SECONDS, 0
        for row in rows:
            if time.monotonic() >= ends:  # the claims are free again by now
                break
            try:
                deliver(int(row["name"]), row["id"], row["cell"])
            except InboxOpsError as exc:
                with self._database.transaction() as t:
                    t.run("outbox_failed", ids=[row["id"]], error=str(exc))
                continue
            delivered += 1
            with self._database.transaction() as t:
                t.run("errand_done", id=row["id"], claim=claim)
        return delivered, len(rows) - delivered

    def deliver_sends(
        self,
        start: Callable[[int, int, int, str], None],
        *,
        tenant_id: int | None = None,
        name: str | None = None,
        cell: str | None = None,
    ) -> tuple[int, int]:
        """Call `start(message, attempt, order, cell)` for each order to send that is due: all, a cell's, a tenant's, or the one of
        that name.

        (started, kept). The first that can't be started keeps the others waiting too: it is Airflow that is away.
        """
        ends, started = time.monotonic() + LEASE_SECONDS, 0
        with self._database.transaction() as t:
            rows = t.rows("due_sends", tenant_id=tenant_id, name=name, cell=cell, limit=SLICE)
            for position, row in enumerate(rows):
                if time.monotonic() >= ends:
                    return started, len(rows) - position
                try:
                    ordered = row["payload"]
                    start(int(ordered["message_id"]), int(ordered["attempt"]), row["id"], row["cell"])
                except InboxOpsError as exc:
                    t.run("outbox_failed", ids=[row["id"]], error=str(exc))
                    return started, len(rows) - position
                t.run("outbox_done", ids=[row["id"]])
                started += 1
        return started, 0

    def order_left_sends(self, *, cell: str, minutes: int) -> int:
        """Order again what a cell's runs left: messages `pending` without an order or a try for `minutes`, and at most a day.

        Returns how many.

        Their runs were deleted, or ended without a word.
        """
        with self._database.transaction() as t:
            return t.run("order_left_sends", cell=cell, minutes=minutes)

    def clean(self, *, days: int) -> int:
        """Forget what was delivered more than `days` ago; returns how many rows went."""
        with self._database.transaction() as t:
            return t.run("outbox_clean", days=days)


def add_errand(t: Transaction, kind: Errand, tenant_id: int, about: int, *, delay: timedelta = timedelta()) -> None:
    t.run("add_errand", kind=kind, tenant_id=tenant_id, name=str(about), delay=delay)


def event(name: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """An event as a row for `add_outbox`."""
    return {"kind": "event", "name": name, "payload": payload}


def add_event(t: Transaction, tenant_id: int, name: str, payload: Mapping[str, Any]) -> None:
    """In the transaction that makes it true; it leaves after the commit."""
    t.run("add_outbox", tenant_id=tenant_id, rows=jsonb([event(name, payload)]))
