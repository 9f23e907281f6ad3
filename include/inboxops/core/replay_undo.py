"""Taking a replay back, where that is more than making each row again what it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from inboxops.core.corrections import Change

_JUDGEMENT = ("verdict", "rule", "ruleset", "evidence", "mail_rules")
_WHO_WRITES = frozenset({"ticket_id", "customer", "requester_address"})


def concerns_who_writes(changes: Sequence[Change]) -> bool:
    """Whether they say where a mail belongs, or whom it is from: where an agent wrote by that since, both stay."""
    return any(_WHO_WRITES & one.become.keys() for one in changes)


def taken_for_again(
    inbound_id: int, found: Mapping[str, Any], before: Mapping[str, Any], *, now: datetime
) -> list[Change]:
    """What a mail that was filed anew, and is a message by now, becomes when that is taken back.

    before: of its row. found: message_id, ticket_id, the ticket's status, and whether it is there in company of other messages.
    """
    judged = {name: before[name] for name in _JUDGEMENT} if before["verdict"] else {}
    changes = [Change("messages", found["message_id"], judged), Change("inbound", inbound_id, judged)] if judged else []
    if not found["in_company"] and found["status"] != "closed":
        changes.append(Change("tickets", found["ticket_id"], {"status": "closed", "closed_at": now}))
    return changes
