"""The verdict: what a message is and why. The table below is the policy; the first rule that finds something decides."""

from __future__ import annotations

from collections.abc import Callable

from inboxops.core.case import Case
from inboxops.core.model import InboxContext, ParsedMessage, Verdict, VerdictKind
from inboxops.core.rules import (
    Finding,
    auto_reply,
    auto_submitted,
    bounce_signs,
    bulk,
    calendar,
    canary,
    certified_mail,
    complaint,
    delivery_status,
    disposition_notification,
    evidence,
    machine,
    own_loop,
    provider_notification,
    spam,
)

RULESET = "2026.5"
"""Stored with every verdict. It changes whenever a rule, its phrases or the order change."""

Check = Callable[[Case], Finding | None]

RULES: tuple[tuple[str, Check], ...] = (
    ("own_loop.canary", canary.check),
    ("own_loop", own_loop.check),
    ("complaint.feedback_report", complaint.feedback_report),
    ("complaint.junk_mail_report", complaint.junk_mail_report),
    ("complaint.unsubscribe", complaint.unsubscribe),
    ("bounce.certified_mail", certified_mail.failed),
    ("receipt.certified_mail", certified_mail.delivered),
    ("bounce.rejected_disposition", disposition_notification.rejected),
    ("receipt.disposition_notification", disposition_notification.receipt),
    ("bounce.delivery_status", delivery_status.failed),
    ("delay.delivery_status", delivery_status.delayed),
    ("receipt.delivery_status", delivery_status.delivered),
    ("bounce.status_in_text", delivery_status.failed_in_text),
    ("bounce.report_without_status", bounce_signs.in_report),
    ("bounce.signs", bounce_signs.enough),
    ("bounce.without_server", bounce_signs.without_server),
    ("bounce.by_machine", bounce_signs.by_machine),
    ("bounce.own_id_returned", bounce_signs.own_id),
    ("provider_notification", provider_notification.check),
    ("spam.provider", spam.provider),
    ("spam.scanner", spam.scanner),
    ("auto_reply.calendar", calendar.answer),
    ("auto_reply.auto_submitted", auto_submitted.replied),
    ("auto_reply.exchange_rule", auto_reply.exchange_rule),
    ("auto_reply.header", auto_reply.header),
    ("auto_reply.subject", auto_reply.subject),
    ("auto_generated.auto_submitted", auto_submitted.generated),
    ("auto_generated.machine", machine.check),
    ("bulk.list", bulk.check),
)


def classify(message: ParsedMessage, context: InboxContext) -> Verdict:
    """The verdict on a message in an inbox."""
    return judge(Case(message, context))


def judge(case: Case, *, trusted: bool = False) -> Verdict:
    """The verdict with its evidence. When no rule finds anything, a human wrote the message.

    trusted: its tenant says that it is never spam: what is found else decides.
    """
    for name, check in RULES:
        found = check(case)
        if found is not None and not (trusted and found.kind is VerdictKind.SPAM):
            return Verdict(found.kind, name, RULESET, found.evidence, found.bounce)
    return Verdict(VerdictKind.HUMAN, "human", RULESET, (evidence("message", "no rule found a machine"),))
