"""A recipient pressed "this is spam" and the provider reports it (ARF, RFC 5965)."""

from __future__ import annotations

from inboxops.core import bounce
from inboxops.core.model import InboxContext, ParsedMessage, VerdictKind
from inboxops.core.rules import Finding, evidence


def check(message: ParsedMessage, context: InboxContext) -> Finding | None:
    report_type = message.content_type_parameters.get("report-type", "").lower()
    if report_type == "feedback-report" or "message/feedback-report" in message.part_types:
        where = evidence("Content-Type", f"{message.content_type}; report-type={report_type}")
    else:
        return None
    return Finding(VerdictKind.COMPLAINT, (where,), bounce.returned(message, context))
