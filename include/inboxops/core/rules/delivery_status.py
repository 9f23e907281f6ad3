"""A delivery status notification whose recipient blocks say what became of the message (RFC 3464, 2.3.3).

Any failed recipient makes a bounce, delayed ones a delay, only delivered, relayed or expanded ones a receipt.
"""

from __future__ import annotations

from inboxops.core import bounce
from inboxops.core.model import InboxContext, ParsedMessage, VerdictKind
from inboxops.core.rules import Finding, evidence


def failed(message: ParsedMessage, context: InboxContext) -> Finding | None:
    return _finding(message, context, VerdictKind.BOUNCE, "failed")


def delayed(message: ParsedMessage, context: InboxContext) -> Finding | None:
    return _finding(message, context, VerdictKind.DELAY, "delayed")


def delivered(message: ParsedMessage, context: InboxContext) -> Finding | None:
    for action in ("delivered", "relayed", "expanded"):
        found = _finding(message, context, VerdictKind.RECEIPT, action)
        if found:
            return found
    return None


def _finding(message: ParsedMessage, context: InboxContext, kind: VerdictKind, action: str) -> Finding | None:
    for block in message.delivery_status:
        if bounce.action(block) == action:
            value = f"Action: {block.get('action', '')}; Status: {block.get('status', '')}"
            report = (
                bounce.report(message, context)
                if kind is not VerdictKind.RECEIPT
                else bounce.returned(message, context)
            )
            return Finding(kind, (evidence("message/delivery-status", value),), report)
    return None
