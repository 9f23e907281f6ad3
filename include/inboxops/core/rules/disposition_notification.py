"""A read receipt (MDN, RFC 8098), or a delivery refused in the form of one: Dovecot's LDA rejects mail that way."""

from __future__ import annotations

import re

from inboxops.core import bounce, phrases
from inboxops.core.case import Case
from inboxops.core.model import VerdictKind
from inboxops.core.rules import Finding, evidence

_REFUSED = re.compile(r"\bautomatically rejected\b|\brejected mail\b|\bquota exceeded\b", re.IGNORECASE)


def rejected(case: Case) -> Finding | None:
    """`Disposition: automatic-action/...; deleted` with a text that tells of a refusal: nobody will read that mail."""
    message = case.message
    disposition = message.report_fields.get("disposition", "").lower()
    if not disposition.startswith("automatic-action") or "deleted" not in disposition or not bounce.is_report(case):
        return None
    if _REFUSED.search(message.subject[:300]) or phrases.SMTP_REPLY.search(message.text[:2_000].lower()):
        why = (evidence("Disposition", message.report_fields["disposition"]), evidence("Subject", message.subject))
        return Finding(VerdictKind.BOUNCE, why, bounce.report(case))
    return None


def receipt(case: Case) -> Finding | None:
    message = case.message
    report_type = message.content_type_parameters.get("report-type", "").lower()
    has_part = "message/disposition-notification" in message.part_types
    if report_type == "disposition-notification" or (has_part and bounce.is_report(case)):
        why = evidence("message/disposition-notification", message.report_fields.get("disposition", report_type))
        return Finding(VerdictKind.RECEIPT, (why,), bounce.returned(case))
    return None
