"""Outbound messages: stored with what makes them leave, claimed by one run at a time, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgspec

from inboxops.core.model import Address
from inboxops.core.outbound import Accepted, Answered, Claim, NewOutbound, OutboundFile, inbox_removed, people
from inboxops.db.database import Database, Row, Transaction, jsonb
from inboxops.db.outbox import add_event, event
from inboxops.errors import Conflict, NotFound
from inboxops.ports import Sent


class OutboundStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    # -- replies

    def answered(self, tenant_id: int, ticket_id: int) -> Answered:
        """The ticket and the newest message in it that may be answered: none of an unknown sender.

        Raises NotFound, and Conflict for a ticket that became part of another or whose inbox is gone.
        """
        with self._database.transaction() as t:
            ticket = t.row("reply_ticket", tenant_id=tenant_id, ticket_id=ticket_id)
            parent = t.row("reply_parent", ticket_id=ticket_id)
        if ticket is None:
            raise NotFound(f"there is no ticket {ticket_id}")
        _refuse_merged(ticket)
        if ticket["removed"]:
            raise inbox_removed()
        told: dict[str, Any] = {}
        if parent is not None:
            told = {
                "message_id": parent["message_id"],
                "references": tuple(parent["reference_ids"] or parent["in_reply_to"][:1]),
            }
        return Answered(
            tenant_id=tenant_id,
            inbox_id=ticket["inbox_id"],
            ticket_id=ticket_id,
            ticket_number=ticket["ticket_number"],
            subject=ticket["subject"],
            sender=Address(ticket["display_name"], ticket["email_address"]),
            people=people_of(ticket, parent),
            marked=ticket["body_marker"],
            **told,
        )

    def next_id(self) -> int:
        with self._database.transaction() as t:
            return int(t.value("next_message_id"))

    def accepted(self, tenant_id: int, idempotency_key: str) -> tuple[Accepted, str] | None:
        """The reply that was stored under the key, and the fingerprint of its request."""
        with self._database.transaction() as t:
            return _accepted(t, tenant_id, idempotency_key)

    def add_reply(
        self, new: NewOutbound, files: Mapping[int, OutboundFile], *, idempotency_key: str | None, fingerprint: str
    ) -> tuple[Accepted, str]:
        """Message, attachments, participants, events and the order to send, in one transaction.

        Returns what is stored under the idempotency key: this reply, or the one that came first. Raises Conflict when a
        file became part of another message meanwhile, or the ticket part of another.
        """
        with self._database.transaction() as t:
            created = _insert(t, new, idempotency_key=idempotency_key, fingerprint=fingerprint)
            if created is None:
                first = _accepted(t, new.tenant_id, idempotency_key or "")
                if first is None:
                    raise Conflict("the same reply is being stored by another request", fix="Try again")
                return first
            rows = [{"id": id_, **asdict(file)} for id_, file in files.items()]
            if t.run("attach_files", tenant_id=new.tenant_id, message_id=new.id, rows=jsonb(rows)) != len(rows):
                raise Conflict("an attachment belongs to another message", fix="Upload it again")
            addresses = [one.address.lower() for one in (*new.to, *new.cc)]
            t.run("add_reply_participants", tenant_id=new.tenant_id, ticket_id=new.ticket_id, addresses=addresses)
            if not t.run("touch_answered", ticket_id=new.ticket_id):
                _refuse_merged(t.row("reply_ticket", tenant_id=new.tenant_id, ticket_id=new.ticket_id))
            order_to_send(t, new)
            return Accepted(new.id, new.ticket_id, new.ticket_number, new.message_id, created), fingerprint

    def retry(self, tenant_id: int, message_id: int) -> int:
        """Order one more attempt, whatever became of the last one; returns its number.

        Raises NotFound, and Conflict for a message that was sent or is under way.
        """
        with self._database.transaction() as t:
            row = t.row("retry_send", tenant_id=tenant_id, id=message_id)
            if row is not None:
                attempt = int(row["send_attempt"])
                t.run("add_outbox", tenant_id=tenant_id, rows=jsonb([_order(message_id, attempt)]))
                _tell_ticket(t, tenant_id, row["ticket_id"])
                return attempt
            state = t.row("send_state", id=message_id)
        if state is None:
            raise NotFound(f"there is no outbound message {message_id}")
        doing = "was sent" if state["send_status"] == "sent" else "is being sent"
        raise Conflict(f"message {message_id} {doing}", fix="Only what failed or is unknown is tried again")

    # -- sending

    def ticket_of(self, message_id: int) -> int | None:
        """The ticket of a message; None when there is no such message."""
        with self._database.transaction() as t:
            row = t.row("ticket_of_outbound", id=message_id)
        return None if row is None else int(row["ticket_id"])

    def claim(self, message_id: int, attempt: int, *, lease_seconds: float) -> Claim | None:
        """Take the lease. None when there is nothing to do for this attempt, or another run holds it (see `is_held`)."""
        with self._database.transaction() as t:
            row = t.row("claim_send", id=message_id, attempt=attempt, lease_seconds=lease_seconds)
            return None if row is None else _claim(row)

    def is_held(self, message_id: int, attempt: int) -> bool:
        """Whether another run holds the lease of this attempt."""
        with self._database.transaction() as t:
            row = t.row("send_state", id=message_id)
        return row is not None and bool(row["held"]) and row["send_attempt"] == attempt

    def files(self, message_id: int) -> list[OutboundFile]:
        with self._database.transaction() as t:
            return [OutboundFile(**row) for row in t.rows("message_files", id=message_id)]

    def hand_over(self, claim: Claim, *, lease_seconds: float) -> bool:
        """The one permission of this attempt to let the message go. False when the lease is lost or it was given before."""
        with self._database.transaction() as t:
            return t.run("hand_over", id=claim.id, token=claim.token, lease_seconds=lease_seconds) == 1

    def is_not_sent(self, claim: Claim) -> None:
        """An earlier attempt is proven not to have left."""
        with self._database.transaction() as t:
            t.run("is_not_sent", id=claim.id, token=claim.token)

    def sent(self, claim: Claim, sent: Sent) -> None:
        about = {"wire_message_id": sent.wire_message_id, "refused": jsonb(sent.refused), "answer": sent.answer}
        with self._database.transaction() as t:
            row = t.row("sent", id=claim.id, **about)
            _tell(t, row)

    def not_sent(self, claim: Claim, status: str, error: str, *, handed_over_attempt: int | None) -> None:
        """status: "pending" (another try follows), "failed" or "unknown". handed_over_attempt: the one that may have left."""
        with self._database.transaction() as t:
            row = t.row(
                "not_sent",
                id=claim.id,
                token=claim.token,
                status=status,
                error=error,
                handed_over_attempt=handed_over_attempt,
            )
            _tell(t, row)
            if row is not None and status in ("failed", "unknown"):
                told = {"message_id": claim.id, "ticket_id": row["ticket_id"], "error": error}
                add_event(t, row["tenant_id"], f"message.{status}", told)

    def doubt_waiting(self, error: str) -> int:
        """Have all that waits to be sent `unknown`, as what a backup brings back is: it may have left since. Returns how many."""
        with self._database.transaction() as t:
            return t.run("doubt_waiting", error=error)

    def left_sending(self, *, cell: str, minutes: int, limit: int) -> list[tuple[int, int]]:
        """(message, attempt) of a cell whose run ended long ago without saying what became of it."""
        with self._database.transaction() as t:
            rows = t.rows("left_sending", cell=cell, minutes=minutes, limit=limit)
        return [(row["id"], row["send_attempt"]) for row in rows]


def people_of(ticket: Row, parent: Row | None) -> tuple[Address, ...]:
    """Whom an answer to a ticket goes to. parent: the row of `reply_parent`."""
    if parent is None:
        return (Address(ticket["requester_name"], ticket["requester_address"]),)
    told_by = parent["customer"] or {}
    return people(
        [Address(**one) for one in parent["reply_to"] or ()],
        Address(parent["from_name"], parent["from_address"]),
        customer=Address(told_by["name"], told_by["address"]) if told_by else None,
        rule=told_by.get("rule", ""),
    )


def _refuse_merged(ticket: Row | None) -> None:
    if ticket is not None and ticket["merged_into"] is not None:
        raise Conflict(f"the ticket became part of ticket #{ticket['merged_into']}", fix="Answer that one")


def add_outbound(t: Transaction, new: NewOutbound) -> bool:
    """A message of ours with its order to send, in the caller's transaction. False when its ticket has one already."""
    created = _insert(t, new, idempotency_key=None, fingerprint=None)
    if created is None:
        return False
    order_to_send(t, new)
    return True


def order_to_send(t: Transaction, new: NewOutbound) -> None:
    told = {"ticket_id": new.ticket_id, "ticket_number": new.ticket_number}
    added = {**told, "message_id": new.id, "type": new.type}
    events = [event("ticket.message_added", added), event("ticket.updated", told)]
    t.run("add_outbox", tenant_id=new.tenant_id, rows=jsonb([*events, _order(new.id, 0)]))


def _order(message_id: int, attempt: int) -> dict[str, Any]:
    payload = {"message_id": message_id, "attempt": attempt}
    return {"kind": "send", "name": f"{message_id}-{attempt}", "payload": payload}


def _insert(t: Transaction, new: NewOutbound, *, idempotency_key: str | None, fingerprint: str | None) -> Any:
    return t.value(
        "add_outbound",
        id=new.id,
        tenant_id=new.tenant_id,
        inbox_id=new.inbox_id,
        ticket_id=new.ticket_id,
        type=new.type,
        message_id=new.message_id,
        in_reply_to=list(new.in_reply_to),
        reference_ids=list(new.references),
        from_name=new.sender.name,
        from_address=new.sender.address,
        recipients=jsonb({"to": new.to, "cc": new.cc, "reply_to": []}),
        subject=new.subject,
        text=new.text,
        html=new.html,
        author=new.author,
        idempotency_key=idempotency_key,
        idempotency_hash=fingerprint if idempotency_key else None,
        auto_response_to=new.ticket_id if new.type == "auto_response" else None,
    )


def _accepted(t: Transaction, tenant_id: int, key: str) -> tuple[Accepted, str] | None:
    row = t.row("by_idempotency_key", tenant_id=tenant_id, key=key)
    if row is None:
        return None
    accepted = Accepted(row["id"], row["ticket_id"], row["ticket_number"], row["message_id_header"], row["created_at"])
    return accepted, str(row["idempotency_hash"])


def _tell(t: Transaction, row: Row | None) -> None:
    if row is not None:
        _tell_ticket(t, row["tenant_id"], row["ticket_id"])


def _tell_ticket(t: Transaction, tenant_id: int, ticket_id: int) -> None:
    """Who watches the ticket sees the new state of its message."""
    told = {"ticket_id": ticket_id, "ticket_number": t.value("ticket_number_of", ticket_id=ticket_id)}
    add_event(t, tenant_id, "ticket.updated", told)


def _claim(row: Row) -> Claim:
    recipients = msgspec.convert(row["recipients"], dict[str, tuple[Address, ...]])
    return Claim(
        id=row["id"],
        tenant_id=row["tenant_id"],
        inbox_id=row["inbox_id"],
        ticket_id=row["ticket_id"],
        attempt=row["send_attempt"],
        token=row["send_token"],
        handed_over_attempt=row["handed_over_attempt"],
        handed_over_seconds=row["handed_over_seconds"] or 0.0,
        automatic=row["type"] == "auto_response",
        message_id=row["message_id_header"],
        in_reply_to=tuple(row["in_reply_to"]),
        references=tuple(row["reference_ids"]),
        sender=Address(row["from_name"], row["from_address"]),
        to=recipients["to"],
        cc=recipients["cc"],
        subject=row["subject"],
        text=row["body_text"],
        html=row["body_html"],
        date=row["sent_date"],
        thread_id=row["provider_thread_id"],
    )
