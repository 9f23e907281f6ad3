"""A read receipt (MDN, RFC 8098)."""

from __future__ import annotations

from inboxops.core.model import InboxContext, ParsedMessage, VerdictKind
from inboxops.core.rules import Finding, evidence


def check(message: ParsedMessage, context: InboxContext) -> Finding | None:
    report_type = message.content_type_parameters.get("report-type", "").lower()
    if report_type == "disposition-notification" or "message/disposition-notification" in message.part_types:
        return Finding(VerdictKind.RECEIPT, (evidence("Content-Type", f"report-type={report_type}"),))
    return None
