"""Auto-Submitted (RFC 3834, 5): the first word counts, in any case, without comments and parameters; `no` means a person."""

from __future__ import annotations

import re

from inboxops.core.model import InboxContext, ParsedMessage, VerdictKind
from inboxops.core.rules import Finding, evidence

_WORD = re.compile(r"\s*(?:\([^()]*\)\s*)*([a-z-]+)", re.IGNORECASE)
_REPLIES = frozenset({"auto-replied", "auto_replied", "vacation"})


def word(value: str) -> str:
    found = _WORD.match(value)
    return found[1].lower() if found else ""


def replied(message: ParsedMessage, context: InboxContext) -> Finding | None:
    return _check(message, VerdictKind.AUTO_REPLY, lambda token: token in _REPLIES)


def generated(message: ParsedMessage, context: InboxContext) -> Finding | None:
    return _check(message, VerdictKind.AUTO_GENERATED, lambda token: token not in {"", "no"})


def _check(message, kind, wanted):  # type: ignore[no-untyped-def]
    for value in message.all_headers("Auto-Submitted"):
        if wanted(word(value)):
            return Finding(kind, (evidence("Auto-Submitted", value),))
    return None
