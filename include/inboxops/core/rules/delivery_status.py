"""A delivery status notification whose recipient blocks say what became of the message (RFC 3464, 2.3.3).

Every block is read. Any failed recipient makes a bounce; else any delayed one a delay; else delivered ones a receipt.
"""

from __future__ import annotations

from inboxops.core import bounce
from inboxops.core.case import Case
from inboxops.core.model import Evidence, VerdictKind
from inboxops.core.rules import Finding, evidence

_SHOWN = ("final-recipient", "action", "status")
_MOST_BLOCKS = 5  # that are quoted as evidence


def failed(case: Case) -> Finding | None:
    found = _blocks(case, "failed")
    return Finding(VerdictKind.BOUNCE, found, bounce.report(case)) if found else None


def delayed(case: Case) -> Finding | None:
    found = _blocks(case, "delayed")
    return Finding(VerdictKind.DELAY, found, bounce.report(case)) if found else None


def delivered(case: Case) -> Finding | None:
    found = _blocks(case, "delivered")
    return Finding(VerdictKind.RECEIPT, found, bounce.returned(case)) if found else None


def _blocks(case: Case, action: str) -> tuple[Evidence, ...]:
    found = [block for block in case.message.delivery_status if bounce.action(block) == action]
    return tuple(
        evidence("message/delivery-status", "; ".join(f"{name}: {block[name]}" for name in _SHOWN if name in block))
        for block in found[:_MOST_BLOCKS]
    )
