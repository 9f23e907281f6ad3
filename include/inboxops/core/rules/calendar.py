"""An answer to an invitation (RFC 5546, 3.2.3 and 3.2.7): a calendar writes it, about what we proposed."""

from __future__ import annotations

from inboxops.core import bounce
from inboxops.core.case import Case
from inboxops.core.model import VerdictKind
from inboxops.core.rules import Finding, evidence

_ROOTS = frozenset({"text/calendar", "multipart/alternative"})
"""What the answer's own words stand in (RFC 6047, 2.4); people pass one on as one file of several."""


def answer(case: Case) -> Finding | None:
    message = case.message
    if "calendar-answer" not in message.marks or not (message.content_type in _ROOTS or bounce.is_report(case)):
        return None
    return Finding(VerdictKind.AUTO_REPLY, (evidence("text/calendar", "METHOD of an answer"),))
