"""Rows that go for good: one customer's, or a whole tenant's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from inboxops.core.erasure import Erased, Found, Frame
from inboxops.core.packs import spans
from inboxops.db.database import Database, Transaction, jsonb
from inboxops.db.outbox import add_event

Wipe = Callable[[Sequence[Frame], Sequence[str]], None]


class ErasureStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def found(self, tenant_id: int, address: str) -> Found:
        """What there is of a customer; writes nothing. address: lower-cased."""
        with self._database.transaction() as t:
            return _found(t, tenant_id, address)

    def erase(self, tenant_id: int, address: str, wipe: Wipe, *, address_hash: bytes, by: str) -> Erased:
        """Have `wipe` called with the frames of raw mail and the files, then delete the rows, in one transaction.

        What a crash leaves in between is named by its rows still: doing it again finishes it. Filing waits meanwhile.
        """
        with self._database.transaction() as t:
            for row in t.rows("inboxes_of_tenant", tenant_id=tenant_id):
                t.rows("lock_inbox", inbox_id=row["id"])
            found = _found(t, tenant_id, address)
            wipe(found.frames, found.files)
            named: dict[str, Any] = {"tenant_id": tenant_id, "address": address, "messages": list(found.messages)}
            aside: dict[str, Any] = {"inbound": [*found.inbound], "tickets": [*found.tickets]}
            t.run("erase_corrections", **named, **aside)
            t.run("erase_replay_changes", **named, **aside)
            t.run("erase_replay_examples", **named, **aside)
            t.run("erase_notices", **named)
            t.run("erase_old_rules", **named)
            t.run("erase_outbox", **named)
            t.run("erase_bounces", **named, **aside)
            t.run("erase_inbound", **named, **aside)
            t.run("erase_files", **named)
            t.run("erase_messages", **named)
            t.run("erase_people", **named)
            t.run("unfollow", **named, **aside)
            numbers = [row["ticket_number"] for row in t.rows("erase_tickets", **named, **aside)]
            renamed = t.rows("forget_requester", **named)
            for row in renamed:
                add_event(
                    t, tenant_id, "ticket.updated", {"ticket_id": row["id"], "ticket_number": row["ticket_number"]}
                )
            done = Erased.of(found, tickets_kept=len(renamed))
            if found.anything:
                t.run(
                    "add_erasure",
                    tenant_id=tenant_id,
                    address_hash=address_hash,
                    by=by,
                    counts=jsonb(done),
                    ticket_numbers=numbers,
                    message_ids=list(found.messages),
                )
            return done

    def erase_tenant(self, tenant_id: int) -> dict[str, int]:
        """All rows of a tenant: how many of the main kinds. Its inboxes have to be removed before."""
        with self._database.transaction() as t:
            row = t.row("erase_tenant", tenant_id=tenant_id)
            assert row is not None
            return row


def _found(t: Transaction, tenant_id: int, address: str) -> Found:
    row = t.row("erasable_messages", tenant_id=tenant_id, address=address)
    assert row is not None
    messages, inbound = row["messages"], row["inbound"]
    frames = t.rows("erasable_frames", tenant_id=tenant_id, inbound=inbound)
    mentions = t.rows("mentions", tenant_id=tenant_id, address=address, messages=messages)
    return Found(
        messages=tuple(messages),
        inbound=tuple(inbound),
        tickets=tuple(r["id"] for r in t.rows("tickets_left_empty", tenant_id=tenant_id, messages=messages)),
        frames=tuple(
            Frame(
                r["storage_key"],
                tuple(spans(r["offset"], r["length"], r["detached_bytes"], r["detached_offsets"])),
                r["message_id"],
            )
            for r in frames
        ),
        files=tuple(r["storage_key"] for r in t.rows("erasable_files", tenant_id=tenant_id, messages=messages)),
        mentioned_in=tuple(r["ticket_number"] for r in mentions),
        rules=tuple(r["name"] for r in t.rows("rules_that_name", tenant_id=tenant_id, address=address)),
        being_read=t.value("being_read", tenant_id=tenant_id),
        unreadable=t.value("unreadable", tenant_id=tenant_id),
    )
