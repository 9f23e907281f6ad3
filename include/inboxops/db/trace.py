"""The whole life of a mail, as far as rows tell of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import timedelta

from inboxops.core.trace import Traced, Wanted
from inboxops.db.database import Database, Row

_MARGIN = timedelta(days=1)  # an event is written with its message, a retry of a send later


class TraceStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def find(
        self, wanted: Wanted, *, tenant_id: int | None = None, inbox_ids: Collection[int] | None = None, limit: int
    ) -> list[Traced]:
        """What fits, the newest first, each with what happened to it: for a person, now and then.

        tenant_id, inbox_ids: mail of these alone, None for all.
        """
        with self._database.transaction() as t:
            rows = t.rows(
                "traced",
                tenant_id=tenant_id,
                key=wanted.message_id,
                number=wanted.ticket_number,
                inbound_id=wanted.inbound_id,
                canary_id=wanted.canary_id,
                inbox_ids=None if inbox_ids is None else list(inbox_ids),
                address=wanted.address,
                limit=limit,
            )
            messages = [row["message_id"] for row in rows if row["message_id"]]
            inbound = [row["inbound_id"] for row in rows if row["inbound_id"]]
            flown = [row["canary_id"] for row in rows if row["canary_id"]]
            times = [row["known_at"] for row in rows]
            span = {"since": min(times) - _MARGIN, "until": max(times) + _MARGIN} if times else {}
            events = _by_message(t.rows("traced_events", messages=messages, **span)) if messages else {}
            bounces = _by_message(t.rows("traced_bounces", messages=messages)) if messages else {}
            corrections = t.rows("traced_corrections", messages=messages, inbound=inbound) if rows else []
            replays = t.rows("traced_replays", inbound=inbound) if inbound else []
            canaries = t.rows("traced_canaries", inbound=inbound, canaries=flown) if rows else []
        return [
            Traced(
                mail=row,
                events=events.get(row["message_id"], []),
                bounces=bounces.get(row["message_id"], []),
                corrections=[one for one in corrections if _is_of(one, row)],
                replays=[one for one in replays if one["inbound_id"] == row["inbound_id"]],
                canaries=[one for one in canaries if _flew_as(one, row)],
            )
            for row in rows
        ]


def _is_of(correction: Row, mail: Row) -> bool:
    """A mail that came, or one of ours: each has an id that the other lacks."""
    is_same_mail = correction["inbound_id"] is not None and correction["inbound_id"] == mail["inbound_id"]
    return is_same_mail or mail["message_id"] in correction["messages"]


def _flew_as(canary: Row, mail: Row) -> bool:
    """The mail as which it came back, or the canary itself, which may have come nowhere."""
    came_as = canary["inbound_id"]
    return canary["id"] == mail["canary_id"] or (came_as is not None and came_as == mail["inbound_id"])


def _by_message(rows: Iterable[Row]) -> dict[int, list[Row]]:
    grouped: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row["message_id"]].append(row)
    return grouped
