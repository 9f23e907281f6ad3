"""An answer to an invitation (RFC 5546, 3.2.3 and 3.2.7): a calendar writes it, about what we proposed."""

from __future__ import annotations

from inboxops.core.case import Case
from inboxops.core.model import VerdictKind
from inboxops.core.rules import Finding, evidence


def answer(case: Case) -> Finding | None:
    if "calendar-answer" not in case.message.marks:
        return None
    return Finding(VerdictKind.AUTO_REPLY, (evidence("text/calendar", "METHOD of an answer"),))
