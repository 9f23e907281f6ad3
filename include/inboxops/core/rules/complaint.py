"""A recipient does not want our mail, and says so through a program.

Three forms: a spam report (ARF, RFC 5965), Outlook.com's Junk Mail Reporting Program, and the unsubscribe mail that mail programs
write to a List-Unsubscribe address (RFC 2369, 3.2).
"""

from __future__ import annotations

import re

from inboxops.core import bounce
from inboxops.core.case import Case
from inboxops.core.model import VerdictKind
from inboxops.core.rules import Finding, evidence
from inboxops.core.rules.auto_submitted import word

_JMRP_SUBJECT = re.compile(r"^\s*complaint about message from ", re.IGNORECASE)
_JMRP_HEADER = re.compile(r"^x-hmxmroriginalrecipient:[ \t]*(.*)$", re.IGNORECASE | re.MULTILINE)
_UNSUBSCRIBES = re.compile(r"^\s*unsubscribe\b|\bsent this (?:e-?mail|message) to unsubscribe\b", re.IGNORECASE)


def feedback_report(case: Case) -> Finding | None:
    message = case.message
    report_type = message.content_type_parameters.get("report-type", "").lower()
    mislabelled = next((block["feedback-type"] for block in message.delivery_status if "feedback-type" in block), "")
    has_part = "message/feedback-report" in message.part_types or mislabelled
    if report_type == "feedback-report" or (has_part and bounce.is_report(case)):
        value = message.report_fields.get("feedback-type") or mislabelled or report_type
        found = evidence("message/feedback-report", f"Feedback-Type: {value}")
        return Finding(VerdictKind.COMPLAINT, (found,), bounce.returned(case))
    return None


def junk_mail_report(case: Case) -> Finding | None:
    """JMRP wraps the message without saying so in MIME."""
    if not _JMRP_SUBJECT.match(case.message.subject):
        return None
    for text in case.message.returned:
        found = _JMRP_HEADER.search(text)
        if found:
            why = (evidence("Subject", case.message.subject), evidence("returned message", found[0]))
            return Finding(VerdictKind.COMPLAINT, why, bounce.returned(case))
    return None


def unsubscribe(case: Case) -> Finding | None:
    message = case.message
    submitted = case.header("Auto-Submitted") or ""
    if word(submitted) in {"", "no"} or not _UNSUBSCRIBES.search(message.subject[:200]):
        return None
    if message.text.strip() and not _UNSUBSCRIBES.search(message.text[:500]):
        return None
    why = (evidence("Auto-Submitted", submitted), evidence("Subject", message.subject))
    return Finding(VerdictKind.COMPLAINT, why, bounce.returned(case))
