"""Stored mail as a replay sees it, and what it writes: each mail's old reading is kept in the transaction that renews it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from inboxops.core.inbox import Inbox
from inboxops.core.plan import Item
from inboxops.core.reading import StoredAttachment
from inboxops.core.renewal import Renewal, TicketNow, renew
from inboxops.core.replay import TOGETHER, Group, Kept
from inboxops.core.replay_today import Judged, Known, Reread
from inboxops.db.changes import write
from inboxops.db.database import Database, Row, Transaction, jsonb
from inboxops.db.inbound import stored_row
from inboxops.db.kept import kept_of, known_to
from inboxops.db.outbox import event
from inboxops.db.persist import add_bounces
from inboxops.errors import NotFound
from inboxops.ports import ReplayRow, ReplayScope

Judge = Callable[[Sequence[Reread], Mapping[int, Kept], Known], list[Judged]]
Put = Callable[[int, int, StoredAttachment], None]
"""Stores a file: (inbound id, position among its files, under which key)."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What one transaction works at. chosen: groups that are applied."""

    tenant_id: int
    replay_id: int
    inbox: Inbox
    own_addresses: frozenset[str]
    chosen: frozenset[Group]
    reread: Sequence[Reread]


class RereadStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def check(self, scope: ReplayScope) -> None:
        """Raises NotFound when it names what is not its tenant's."""
        named = {name: getattr(scope, name) for name in ("tenant_id", "inbox_id", "ticket_id", "inbound_id")}
        with self._database.transaction() as t:
            missing = t.value("named_for_replay", **named)
        if missing is not None:
            raise NotFound(f"there is no {missing} {named[missing.split()[0] + '_id']}")

    def to_replay(self, scope: ReplayScope, *, after: int, limit: int) -> list[ReplayRow]:
        """Mail of the scope whose bytes are kept and that no stage works at, in the order it came."""
        with self._database.transaction() as t:
            t.run("plan_for_these_values")
            rows = t.rows("mail_to_replay", **asdict(scope), after=after, limit=limit)
        return [ReplayRow(stored_row(row), row["inbox_id"], row["imported"], row["released"]) for row in rows]

    def left_out(self, scope: ReplayScope) -> dict[str, int]:
        """Why mail of the scope is not read again -> how many."""
        with self._database.transaction() as t:
            return {row["why"]: row["count"] for row in t.rows("left_out_of_replay", **asdict(scope))}

    def kept(self, tenant_id: int, ids: Sequence[int]) -> dict[int, Kept]:
        """What is stored of mails, by inbound id."""
        with self._database.transaction() as t:
            return kept_of(t, tenant_id, ids)

    def known(self, inbox: Inbox, items: Sequence[Item], *, own_addresses: frozenset[str]) -> Known:
        """What is known of everything that mails of an inbox mention."""
        with self._database.transaction() as t:
            return known_to(t, inbox, items, own_addresses)

    def renew(self, slice_: Slice, judge: Judge, put: Put) -> int:
        """Renew what differs in the chosen groups, all of it or nothing: how many mails.

        Filing and corrections of the inbox wait meanwhile. `put` is called while the rows are held, so that nobody takes its
        objects for orphans. Done again, it finds nothing to do; nor does it for a replay that is not to be applied any more.
        """
        inbox, items = slice_.inbox, [one.item for one in slice_.reread]
        ids = [item.inbound_id for item in items]
        touched: set[int] = set()
        done = 0
        with self._database.transaction() as t:
            t.rows("lock_inbox", inbox_id=inbox.id)
            if t.row("replay_applying", id=slice_.replay_id) is None:  # somebody wants it taken back
                return 0
            t.rows("hold_readings", tenant_id=slice_.tenant_id, ids=ids)
            known = known_to(t, inbox, items, slice_.own_addresses)
            mails = judge(slice_.reread, kept_of(t, slice_.tenant_id, ids), known)
            if answerable := {
                one.kept.ticket.id for one in mails if one.kept.ticket and _wanted(slice_, one) & TOGETHER
            }:
                t.rows("hold_tickets", tenant_id=slice_.tenant_id, ids=sorted(answerable))
                mails = judge(slice_.reread, kept_of(t, slice_.tenant_id, ids), known)
            for judged in mails:
                wanted = _wanted(slice_, judged)
                # What went before may have moved its ticket.
                if Group.TICKET in wanted and judged.kept.message is not None:
                    known = known_to(t, inbox, [judged.reread.item], slice_.own_addresses)
                    again = kept_of(t, slice_.tenant_id, [judged.kept.inbound_id])
                    (judged,) = judge([judged.reread], again, known)
                renewal = _renewal(t, slice_, judged) if wanted else None
                if renewal is not None:
                    _write(t, slice_, judged, renewal, put)
                    touched.update(renewal.touched)
                    done += 1
            tell(t, slice_.tenant_id, touched)
        return done


def _wanted(slice_: Slice, judged: Judged) -> frozenset[Group]:
    return slice_.chosen & {one.group for one in judged.compared.differences}


def tell(t: Transaction, tenant_id: int, tickets: set[int]) -> None:
    """Whoever watches one of the tickets hears of it after the commit; its place in the list stays."""
    if not tickets:
        return
    rows = t.rows("ticket_numbers", tenant_id=tenant_id, ids=sorted(tickets))
    events = [event("ticket.updated", {"ticket_id": r["id"], "ticket_number": r["ticket_number"]}) for r in rows]
    t.run("add_outbox", tenant_id=tenant_id, rows=jsonb(events))


def _renewal(t: Transaction, slice_: Slice, judged: Judged) -> Renewal | None:
    kept, ticket, taken = judged.kept, None, set[str]()
    if kept.ticket is not None and kept.message_id is not None:
        row = t.row("ticket_to_renew", tenant_id=slice_.tenant_id, id=kept.ticket.id, message_id=kept.message_id)
        ticket = TicketNow(**(row | {"tags": tuple(row["tags"])})) if row else None
        if any(one.group is Group.ATTACHMENTS for one in judged.compared.differences):
            rows = t.rows("keys_of_files", tenant_id=slice_.tenant_id, message_id=kept.message_id)
            taken = {one["storage_key"] for one in rows}
    return renew(
        kept,
        judged.today,
        judged.compared.differences,
        slice_.chosen,
        tenant_id=slice_.tenant_id,
        replay_id=slice_.replay_id,
        ticket=ticket,
        taken=taken,
        own_addresses=slice_.own_addresses,
        now=datetime.now(UTC),
    )


def _write(t: Transaction, slice_: Slice, judged: Judged, renewal: Renewal, put: Put) -> None:
    """Rows are held, so they are what they were judged by. What follows for the ticket is a change of its own: where people change
    that ticket it stays, while the rest is taken back."""
    kept, tenant_id = judged.kept, slice_.tenant_id
    there: dict[str, Any] = {"again": renewal.again}
    if TOGETHER & set(renewal.groups) and renewal.touched:
        t.rows("hold_tickets", tenant_id=tenant_id, ids=sorted(renewal.touched))
        rows = t.rows("written_by_agents", tenant_id=tenant_id, ticket_id=renewal.touched[-1])
        there["written"] = [one["id"] for one in rows]
    changes, _ = write(t, tenant_id, renewal.changes)
    there["changes"] = changes
    gone: list[Row] = []
    if kept.message_id is not None:
        named = {"inbox_id": slice_.inbox.id, "message_id": kept.message_id}
        gone = t.rows("take_files", tenant_id=tenant_id, ids=list(renewal.files_gone)) if renewal.files_gone else []
        for position, file in renewal.files_new.items():
            put(kept.inbound_id, position, file)
        if renewal.files_new:
            files = [
                {"message_id": kept.message_id, **msgspec.to_builtins(file)} for file in renewal.files_new.values()
            ]
            t.run("add_attachments", tenant_id=tenant_id, rows=jsonb(files))
        if renewal.references is not None:
            was = {row["reference_id"] for row in t.rows("references_of", **named)}
            now = set(renewal.references)
            t.rows("unrefer", ids=list(was - now), **named)
            t.rows("refer", ids=list(now - was), **named)
            there |= {"referred": sorted(was - now), "refers": sorted(now - was)}
        if people := [{"ticket": id_, "address": one} for id_, each in renewal.people.items() for one in each]:
            there["joined"] = t.rows("join_people", tenant_id=tenant_id, rows=jsonb(people))
        told = {"tenant_id": tenant_id, "inbound_id": kept.inbound_id}
        if renewal.bounce is not None and t.row("bounce_to_correct", **told) is None:
            add_bounces(t, slice_.inbox, [renewal.bounce])
            there["bounce"] = True
    there |= {
        "files_gone": [one["row"] for one in gone],
        "files_new": [file.storage_key for file in renewal.files_new.values()],
    }
    about = {
        "tenant_id": tenant_id,
        "replay_id": slice_.replay_id,
        "inbound_id": kept.inbound_id,
        "message_id": kept.message_id,
        "inbox_id": slice_.inbox.id,
        "groups": list(renewal.groups),
    }
    t.run("add_replay_change", **about, kept=jsonb(there), kept_files=[one["storage_key"] for one in gone])
    if renewal.of_ticket:
        changes, _ = write(t, tenant_id, renewal.of_ticket)
        of_ticket = {"changes": changes, "written": there.get("written", [])}
        t.run("add_replay_change", **about, kept=jsonb(of_ticket), kept_files=[])
