"""What certificates look at, and the certificates: rows are added, never changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from inboxops.core.accounting import MOST_WAITING, Numbers, Row, SentRow, Unfiled, Unsent
from inboxops.core.certificate import Certificate, Span
from inboxops.db import database
from inboxops.db.database import Database, jsonb

ROWS_AT_ONCE = 2_000
_CERTIFICATES_AT_ONCE = 500


class CertificateStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    # -- what is looked at

    def tenants(self, *, cell: str, limit: int) -> list[int]:
        """Tenants of a cell with an inbox that was read once; who has waited longest comes first."""
        with self._database.transaction() as t:
            return [row["id"] for row in t.rows("tenants_to_certify", cell=cell, limit=limit)]

    def read_since(self, tenant_id: int) -> dict[int, tuple[datetime, datetime | None]]:
        """Inbox -> (since when it is read, to when it was certified), of those that were read once."""
        with self._database.transaction() as t:
            rows = t.rows("inboxes_to_certify", tenant_id=tenant_id)
        return {row["id"]: (row["first_read_at"], row["certified_until"]) for row in rows}

    def known(self, inbox_id: int, keys: Sequence[str]) -> list[database.Row]:
        """key, size_bytes, state and id of the rows with these provider's keys."""
        with self._database.transaction() as t:
            return t.rows("keys_known", inbox_id=inbox_id, keys=list(keys))

    def rows(self, tenant_id: int, since: Mapping[int, datetime]) -> Iterator[list[Row]]:
        """The mail of these inboxes whose rows were written since then, each inbox by its own time, page by page."""
        for named in map(_arrays, _by_age(since)):
            yield from self._rows({"tenant_id": tenant_id, **named})

    def _rows(self, named: Mapping[str, Any]) -> Iterator[list[Row]]:
        with self._database.transaction() as t:
            first = t.row("first_row_since", tenant_id=named["tenant_id"], since=named["since"])
            if first is None or first["id"] is None:
                return
            doubled = {row["id"]: row["messages"] for row in t.rows("doubled_messages", **first, **named)}
        after = first["id"] - 1
        while True:
            with self._database.transaction() as t:
                found = t.rows("rows_to_certify", after=after, limit=ROWS_AT_ONCE, **named)
            if not found:
                return
            after = found[-1]["id"]
            yield [Row(**row | {"messages": doubled.get(row["id"], row["messages"])}) for row in found]

    def rows_of_packs(self, keys: Sequence[str]) -> list[Row]:
        """All mail of these packs, in its order, whenever it came."""
        with self._database.transaction() as t:
            return [Row(**row) for row in t.rows("rows_of_packs", keys=list(keys))]

    def files(self, tenant_id: int, message_ids: Sequence[int]) -> list[tuple[str, int]]:
        """(key, bytes) of the messages' attachments."""
        with self._database.transaction() as t:
            rows = t.rows("files_to_certify", tenant_id=tenant_id, messages=list(message_ids))
        return [(row["key"], row["size_bytes"]) for row in rows]

    def still_named(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that a row names now: what was erased, or went by its age, is no loss."""
        with self._database.transaction() as t:
            return {row["key"] for row in t.rows("objects_still_named", keys=list(keys))}

    def still_there(self, message_ids: Sequence[int]) -> set[int]:
        """Those of the reserved messages whose raw mail a row still names."""
        with self._database.transaction() as t:
            return {row["id"] for row in t.rows("mail_still_there", messages=list(message_ids))}

    def sent(self, tenant_id: int, since: Mapping[int, datetime], until: datetime) -> dict[int, list[SentRow]]:
        """Inbox -> its messages that left from its own time on and before `until`."""
        found: dict[int, list[SentRow]] = {}
        if since:
            with self._database.transaction() as t:
                for row in t.rows("sent_to_certify", tenant_id=tenant_id, until=until, **_arrays(since)):
                    found.setdefault(row.pop("inbox_id"), []).append(SentRow(**row))
        return found

    def unfiled(self, tenant_id: int, before: datetime) -> list[Unfiled]:
        """Mail that was neither read nor filed since before then: at most MOST_WAITING of each inbox."""
        with self._database.transaction() as t:
            rows = t.rows("unfiled_to_certify", tenant_id=tenant_id, before=before, most=MOST_WAITING)
        return [Unfiled(**row) for row in rows]

    def unsent(self, tenant_id: int, before: datetime) -> list[Unsent]:
        """Messages of ours from before then that do not say `sent`."""
        with self._database.transaction() as t:
            return [Unsent(**row) for row in t.rows("unsent_to_certify", tenant_id=tenant_id, before=before)]

    def send_statuses(self, tenant_id: int, message_ids: Sequence[int]) -> tuple[dict[int, str], set[int]]:
        """(message -> its `send_status`, whoever's it is; those of the others that were erased)."""
        with self._database.transaction() as t:
            statuses = {row["id"]: row["send_status"] for row in t.rows("send_statuses", ids=list(message_ids))}
            gone = [id_ for id_ in message_ids if id_ not in statuses]
            rows = t.rows("erased_messages", tenant_id=tenant_id, ids=gone) if gone else []
            return statuses, {row["id"] for row in rows}

    def settle(self, message_ids: Sequence[int]) -> set[int]:
        """Messages that were unknown and have left, as their copies prove; which of them are settled now."""
        with self._database.transaction() as t:
            return {row["id"] for row in t.rows("settle_found", ids=list(message_ids))}

    def numbers(self, tenant_id: int) -> Numbers:
        with self._database.transaction() as t:
            steps = t.rows("number_gaps", tenant_id=tenant_id)
            erased = t.value("erased_series", tenant_id=tenant_id)
        gaps = [(row["number"] + 1, row["next"] - 1) for row in steps if row["next"] and row["next"] > row["number"]]
        doubled = [row["number"] for row in steps if row["next"] is not None and row["next"] == row["number"]]
        return Numbers(steps[0]["last"], gaps, sorted(set(doubled)), frozenset(erased))

    # -- certificates

    def add(self, tenant_id: int, spans: Sequence[Span], make: Callable[[int, str], Certificate]) -> Certificate:
        """What `make` makes of the next number and the digest of the one before; inboxes that were asked are certified to then.

        Of the others it is kept why they were not.
        """
        with self._database.transaction() as t:
            t.rows("lock_certificates", tenant_id=tenant_id)
            last = t.row("last_certificate", tenant_id=tenant_id) or {"number": 0, "digest": ""}
            made = make(last["number"] + 1, last["digest"])
            t.run(
                "add_certificate",
                tenant_id=tenant_id,
                number=made.number,
                day=made.day,
                made_at=made.made_at,
                body=made.body,
                digest=made.digest,
                signature=made.signature,
                mails=made.mails,
                unaccounted=jsonb(made.unaccounted),
            )
            for span in spans:
                if span.skipped:
                    t.run("set_not_certified", id=span.inbox_id, why=span.skipped)
                else:
                    t.run("set_certified", id=span.inbox_id, until=span.until)
            return made

    def listed(self, tenant_id: int, *, before: int | None = None, limit: int) -> list[Certificate]:
        """The newest first. before: only those with smaller numbers."""
        with self._database.transaction() as t:
            return [
                Certificate(**row) for row in t.rows("certificates", tenant_id=tenant_id, before=before, limit=limit)
            ]

    def of_day(self, tenant_id: int, day: date | None) -> Certificate | None:
        """The last of a day, or the last of all."""
        with self._database.transaction() as t:
            row = t.row("certificate_of_day", tenant_id=tenant_id, day=day)
        return Certificate(**row) if row else None

    def chain(self, tenant_id: int) -> Iterator[Certificate]:
        """Every certificate of a tenant, the first one first."""
        after = 0
        while True:
            with self._database.transaction() as t:
                rows = t.rows("certificates_behind", tenant_id=tenant_id, after=after, limit=_CERTIFICATES_AT_ONCE)
            if not rows:
                return
            yield from (Certificate(**row) for row in rows)
            after = rows[-1]["number"]

    def of_inbox(self, inbox_id: int) -> database.Row | None:
        """certified_until, certify_error, and of the tenant's last certificate day and the findings of this inbox that are open."""
        with self._database.transaction() as t:
            return t.row("certified_inbox", inbox_id=inbox_id)


def _by_age(since: Mapping[int, datetime]) -> list[dict[int, datetime]]:
    """Inboxes of about one age together: one that was not certified for months has no days of the others read again."""
    groups: dict[int, dict[int, datetime]] = {}
    for inbox_id, begin in since.items():
        groups.setdefault((max(since.values()) - begin).days.bit_length(), {})[inbox_id] = begin
    return list(groups.values())


def _arrays(since: Mapping[int, datetime]) -> dict[str, Any]:
    """As statements take it: the earliest time, and each inbox's own."""
    return {"since": min(since.values()), "inboxes": list(since), "own": list(since.values())}
