"""What is stored of mails, and what is known of all that they mention: the side of a replay that only reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from inboxops.core.corrections import RULE, Kind
from inboxops.core.inbox import Inbox
from inboxops.core.plan import Item
from inboxops.core.reading import StoredAttachment
from inboxops.core.replay import COLUMNS, OF_ROW, Group, Kept, OnTicket
from inboxops.core.replay_today import Known
from inboxops.db.database import Row, Transaction
from inboxops.db.persist import facts_of

_SAID: Mapping[Kind, frozenset[Group]] = {
    Kind.SPAM: frozenset({Group.VERDICT}),
    Kind.NOT_SPAM: frozenset({Group.VERDICT}),
    Kind.BOUNCE: frozenset({Group.VERDICT, Group.TICKET}),
    Kind.MOVE: frozenset({Group.TICKET}),
    Kind.SPLIT: frozenset({Group.TICKET}),
    Kind.MERGE: frozenset({Group.TICKET}),
    Kind.CUSTOMER: frozenset({Group.CUSTOMER}),
}
"""What a correction has the last word on."""

_OF_MESSAGE = (
    "type",
    "unknown_sender",
    "ruleset",
    "evidence",
    "mail_rules",
    *(name for names in COLUMNS.values() for name in names),
)


def kept_of(t: Transaction, tenant_id: int, ids: Sequence[int]) -> dict[int, Kept]:
    """What is stored of mails, by inbound id; nothing of one that went or is being filed."""
    rows = t.rows("kept_readings", tenant_id=tenant_id, ids=list(ids))
    messages = [row["message_id"] for row in rows if row["message_id"] is not None]
    files: dict[int, list[tuple[int, StoredAttachment]]] = defaultdict(list)
    if messages:
        for row in t.rows("kept_files", tenant_id=tenant_id, ids=messages):
            files[row.pop("message_id")].append((row.pop("id"), StoredAttachment(**row)))
    by_message, by_row = _said(t, tenant_id, messages, ids)
    return {
        row["id"]: Kept(
            inbound_id=row["id"],
            inbox_id=row["inbox_id"],
            received_at=row["received_at"],
            state=row["state"],
            inbound={name: row[f"row_{name}"] for name in OF_ROW},
            message_id=row["message_id"],
            message={name: row[name] for name in _OF_MESSAGE} if row["message_id"] is not None else None,
            ticket=_ticket(row),
            files=tuple(files[row["message_id"]]) if row["message_id"] in files else (),
            corrected=_corrected(row, by_message[row["message_id"]] | by_row[row["id"]]),
            answered=row["answered"],
        )
        for row in rows
    }


def known_to(t: Transaction, inbox: Inbox, items: Sequence[Item], own_addresses: frozenset[str]) -> Known:
    """What is known of everything that mails of an inbox mention."""
    facts = facts_of(t, inbox, items, own_addresses)
    concerned = sorted(facts.tickets)
    rows = t.rows("corrected_tickets", tenant_id=inbox.tenant_id, ids=concerned) if concerned else []
    moved = {row[name] for row in rows for name in ("ticket_id", "to_ticket_id")} - {None}
    return Known(facts, frozenset(moved))


def _ticket(row: Row) -> OnTicket | None:
    if row["ticket_id"] is None:
        return None
    return OnTicket(row["ticket_id"], row["ticket_number"], row["opened"], row["follows"])


def _said(
    t: Transaction, tenant_id: int, messages: Sequence[int], inbound: Sequence[int]
) -> tuple[Mapping[int, frozenset[Group]], Mapping[int, frozenset[Group]]]:
    """Groups in which people had the last word: by message, and by inbound id."""
    by_message: dict[int, frozenset[Group]] = defaultdict(frozenset)
    by_row: dict[int, frozenset[Group]] = defaultdict(frozenset)
    rows = t.rows("corrections_of_mail", tenant_id=tenant_id, messages=list(messages), inbound=list(inbound))
    for row in rows:
        said = _SAID[Kind(row["kind"])]
        by_message[row["message_id"]] |= said
        by_row[row["inbound_id"]] |= said
    return by_message, by_row


def _corrected(row: Row, said: frozenset[Group]) -> frozenset[Group]:
    if row["released"] or RULE in (row["rule"], row["row_rule"]):
        said |= {Group.VERDICT}
    if row["requester_rule"] == RULE or _rule(row["customer"]) == RULE:
        said |= {Group.CUSTOMER}
    if row["state"] == "persisted" and row["message_id"] is None:  # a person told which reply of ours it tells of
        said |= frozenset(Group)
    return said


def _rule(customer: Mapping[str, Any] | None) -> str | None:
    return customer["rule"] if customer else None
