"""Changes of single rows, each with what the row was before: how corrections and replays write, and how both are taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inboxops.core.corrections import Change
from inboxops.db.database import Transaction, jsonb

_TABLES = ("tickets", "messages", "inbound", "bounces")


def write(t: Transaction, tenant_id: int, changes: Sequence[Change]) -> tuple[list[dict[str, Any]], list[Change]]:
    """(the changes that were made, those whose row is not, or no longer, what they expect).

    Each made change is {table, id, become, before}: the columns that it names as they are now, and as they were. A row is in one
    change at most.
    """
    done: list[dict[str, Any]] = []
    missed: list[Change] = []
    for table in _TABLES:
        wanted = [one for one in changes if one.table == table]
        if not wanted:
            continue
        rows = [{"id": one.id, "become": one.become, "expect": one.expect} for one in wanted]
        made = {row["id"]: row for row in t.rows(f"change_{table}", tenant_id=tenant_id, rows=jsonb(rows))}
        missed += [one for one in wanted if one.id not in made]
        done += [{"table": table, **made[one.id]} for one in wanted if one.id in made]
    return done, missed
