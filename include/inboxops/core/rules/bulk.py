"""Mail to many: lists and newsletters (RFC 2919, RFC 2369)."""

from __future__ import annotations

from inboxops.core.model import InboxContext, ParsedMessage, VerdictKind
from inboxops.core.rules import Finding, evidence

_LIST_HEADERS = ("List-Id", "List-Unsubscribe")
_PRECEDENCE = ("bulk", "list", "junk")


def check(message: ParsedMessage, context: InboxContext) -> Finding | None:
    for name in _LIST_HEADERS:
        value = message.header(name)
        if value is not None:
            return Finding(VerdictKind.BULK, (evidence(name, value),))
    value = message.header("Precedence")
    if value is not None and value.strip().lower() in _PRECEDENCE:
        return Finding(VerdictKind.BULK, (evidence("Precedence", value),))
    return None
