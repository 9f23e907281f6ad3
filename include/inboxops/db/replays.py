"""Replays as rows: what was asked for, what the preview found, how far applying is; and taking back what they changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import msgspec

from inboxops.core import replay_undo as undoing
from inboxops.core.corrections import ASIDE, Change, reversed_
from inboxops.core.corrections import RULE as BY_A_PERSON
from inboxops.core.replay_report import Report
from inboxops.db.changes import write
from inboxops.db.database import Database, Row, Transaction, jsonb
from inboxops.db.rereading import tell
from inboxops.errors import NotFound
from inboxops.ports import ReplayScope

_WAITING = ("stored", "classified")


class _Yields(Exception):
    """Something was changed since, by a person's word or a later replay, or an agent wrote by what it was made."""


class ReplayStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, scope: ReplayScope, *, by: str) -> int:
        with self._database.transaction() as t:
            return int(t.value("add_replay", **asdict(scope), by=by))

    def one(self, replay_id: int, *, tenant_id: int | None = None) -> Row:
        """With `done`: group -> mails that were changed, taken back, and left because something changed since. Raises NotFound."""
        with self._database.transaction() as t:
            row = t.row("replays", tenant_id=tenant_id, inbox_id=None, id=replay_id, before_id=None, limit=1)
            if row is None:
                raise NotFound(f"there is no replay {replay_id}", fix="`inboxops replay list --tenant NAME` shows them")
            return row | {"done": {one.pop("group"): one for one in t.rows("replay_done", id=replay_id)}}

    def ticket_id(self, tenant_id: int, number: int) -> int:
        """Raises NotFound."""
        with self._database.transaction() as t:
            found: int | None = t.value("ticket_of_number", tenant_id=tenant_id, number=number)
        if found is None:
            raise NotFound(f"there is no ticket #{number}")
        return found

    def listed(
        self, tenant_id: int, *, inbox_id: int | None = None, before: int | None = None, limit: int = 50
    ) -> list[Row]:
        """The newest first."""
        with self._database.transaction() as t:
            return t.rows("replays", tenant_id=tenant_id, inbox_id=inbox_id, id=None, before_id=before, limit=limit)

    def previewed(self, tenant_id: int, replay_id: int, report: Report) -> None:
        """Examples of mail that went while it was read, erased or forgotten, are not kept."""
        counts: dict[str, Any] = msgspec.to_builtins(report)
        examples: dict[str, list[dict[str, Any]]] = counts.pop("examples")
        named = sorted({one["inbound_id"] for each in examples.values() for one in each})
        with self._database.transaction() as t:
            there = {row["id"] for row in t.rows("mail_to_show", tenant_id=tenant_id, ids=named)}
            shown = {group: [one for one in each if one["inbound_id"] in there] for group, each in examples.items()}
            shown = {group: each for group, each in shown.items() if each}
            t.run("replay_previewed", id=replay_id, report=jsonb(counts), examples=jsonb(shown))

    def want(
        self, tenant_id: int, replay_id: int, state: str, *, when: Collection[str], groups: Collection[str] = ()
    ) -> bool:
        """Have a run work at it: `applying` with these groups and those that others wanted, or `undoing`. False when its state is
        none of `when`."""
        with self._database.transaction() as t:
            wanted = {"state": state, "from": list(when), "groups": sorted(groups)}
            return t.row("replay_wanted", tenant_id=tenant_id, id=replay_id, **wanted) is not None

    def went_on(self, replay_id: int, *, through: int, groups: Collection[str]) -> bool:
        """All mail up to that inbound id is done, for these groups. False when by now others are applied, or none."""
        with self._database.transaction() as t:
            return t.run("replay_went_on", id=replay_id, through=through, groups=list(groups)) == 1

    def ended(self, replay_id: int, state: str, *, was: str, groups: Collection[str]) -> bool:
        """False when by now something else is wanted than what was done, for these groups."""
        with self._database.transaction() as t:
            return t.run("replay_ended", id=replay_id, state=state, groups=list(groups), **{"from": was}) == 1

    def failed(self, replay_id: int, problem: str) -> None:
        """Why the last try ended; the next goes on from there."""
        with self._database.transaction() as t:
            t.run("replay_failed", id=replay_id, problem=problem)

    def to_file(self, tenant_id: int, replay_id: int) -> list[int]:
        """Inboxes in which mail waits that the replay put in front of the stages."""
        with self._database.transaction() as t:
            return [row["inbox_id"] for row in t.rows("replay_to_file", tenant_id=tenant_id, id=replay_id)]

    def undo(self, tenant_id: int, replay_id: int, *, limit: int) -> int:
        """Take the newest changes back, each as a whole or not at all: how many were looked at; 0 when none is left."""
        touched: set[int] = set()
        with self._database.transaction() as t:
            rows = t.rows("changes_to_undo", id=replay_id, limit=limit)
            for inbox_id in sorted({row["inbox_id"] for row in rows}):
                t.rows("lock_inbox", inbox_id=inbox_id)
            for row in rows:
                yielded = False
                try:
                    with t.connection.transaction():
                        touched |= _undo(t, tenant_id, row)
                except _Yields:
                    yielded = True
                t.run("change_undone", id=row["id"], yielded=yielded)
            tell(t, tenant_id, touched)
        return len(rows)

    def forget(self, *, days: int) -> int:
        """Delete replays, with the old readings they keep, that nothing was done with for `days`: how many."""
        forgotten = 0
        while True:
            with self._database.transaction() as t:
                gone = t.run("forget_replays", days=days)
            forgotten += gone
            if not gone:
                return forgotten


def _undo(t: Transaction, tenant_id: int, row: Row) -> set[int]:
    """Tickets that it touched. Raises _Yields."""
    kept: Mapping[str, Any] = row["kept"]
    changes = [(Change(one["table"], one["id"], one["become"]), one["before"]) for one in kept["changes"]]
    if kept.get("again"):
        return _take_out_again(t, tenant_id, row, changes[0][1])
    if undoing.concerns_who_writes([change for change, _ in changes]) and _is_answered_since(t, tenant_id, row):
        raise _Yields
    done, missed = write(t, tenant_id, [reversed_(change, before) for change, before in changes])
    if missed:
        raise _Yields
    placed = [one["id"] for one in done if one["table"] == "messages" and "ticket_id" in one["become"]]
    if placed and t.row("buried", tenant_id=tenant_id, ids=placed):
        raise _Yields
    named = {"inbox_id": row["inbox_id"], "message_id": row["message_id"]}
    if kept.get("files_new"):
        t.run("take_files_by_key", tenant_id=tenant_id, keys=kept["files_new"])
    if kept.get("files_gone"):
        t.run("put_files_back", tenant_id=tenant_id, rows=jsonb(kept["files_gone"]))
    if "refers" in kept:
        t.rows("unrefer", ids=kept["refers"], **named)
        t.rows("refer", ids=kept["referred"], **named)
    if kept.get("joined"):
        t.run("part_people", tenant_id=tenant_id, rows=jsonb(kept["joined"]))
    if kept.get("bounce"):
        gone = t.rows("unlink_bounce", tenant_id=tenant_id, inbound_id=row["inbound_id"])
        t.run("recount_bounced", tenant_id=tenant_id, ids=[one["message_id"] for one in gone if one["message_id"]])
    there = t.row("ticket_of_message", tenant_id=tenant_id, id=row["message_id"]) if row["message_id"] else None
    moved = {
        each["ticket_id"] for one in kept["changes"] for each in (one["become"], one["before"]) if "ticket_id" in each
    }
    return moved | ({there["ticket_id"]} if there else set())


def _is_answered_since(t: Transaction, tenant_id: int, row: Row) -> bool:
    """Whether an agent wrote where a replay put the mail, or to the customer whom it named."""
    there = t.row("ticket_of_message", tenant_id=tenant_id, id=row["message_id"])
    if there is None:
        return False
    t.rows("hold_tickets", tenant_id=tenant_id, ids=[there["ticket_id"]])
    written = t.rows("written_by_agents", tenant_id=tenant_id, ticket_id=there["ticket_id"])
    if "written" not in row["kept"]:  # a version before went by no such list
        return any(one["created_at"] > row["made_at"] for one in written)
    return not {one["id"] for one in written} <= set(row["kept"]["written"])


def _take_out_again(t: Transaction, tenant_id: int, row: Row, before: Mapping[str, Any]) -> set[int]:
    """Mail that was set aside and went through the stages again. What it became is never lost: on a ticket it is again what it was
    taken for, and that ticket is closed when it holds nothing else."""
    found = t.row("filed_again", tenant_id=tenant_id, id=row["inbound_id"])
    if found is None:
        raise _Yields
    if found["message_id"] is None:
        if found["state"] not in (*ASIDE, *_WAITING):
            raise _Yields
        t.run("out_of_the_stages", tenant_id=tenant_id, id=row["inbound_id"])
        write(t, tenant_id, [Change("inbound", row["inbound_id"], before)])
        return set()
    if found["rule"] == BY_A_PERSON or found["merged"]:
        raise _Yields
    changes = undoing.taken_for_again(row["inbound_id"], found, before, now=datetime.now(UTC))
    write(t, tenant_id, changes)
    return {found["ticket_id"]}
