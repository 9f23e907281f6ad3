"""A bounce without a readable status: most mail servers before RFC 3464, and some today.

No single sign is enough: a human forwards a bounce, postmaster is also a person, an out-of-office note has a null Return-Path too.
"""

from __future__ import annotations

from inboxops.core import bounce, ids
from inboxops.core.model import InboxContext, ParsedMessage, VerdictKind
from inboxops.core.rules import Finding, evidence

_SERVER = frozenset("abc")  # the groups that only a mail server writes


def in_report(message: ParsedMessage, context: InboxContext) -> Finding | None:
    """report-type=delivery-status whose blocks say nothing, and one sign."""
    report_type = message.content_type_parameters.get("report-type", "").lower()
    if report_type != "delivery-status":
        return None
    signs = bounce.signs(message)
    if not signs:
        return None
    found = (evidence("Content-Type", "report-type=delivery-status"), *signs.values())
    return _bounce(message, context, found)


def enough(message: ParsedMessage, context: InboxContext) -> Finding | None:
    """Two different groups of signs, one of them a server's."""
    signs = bounce.signs(message)
    if len(signs) >= 2 and _SERVER & signs.keys():
        return _bounce(message, context, tuple(signs.values()))
    return None


def own_id(message: ParsedMessage, context: InboxContext) -> Finding | None:
    """One of our ids in what came back, and one sign."""
    for text in message.returned:
        if ids.read_message_id(text, context.signing_key):
            signs = bounce.signs(message)
            server = [signs[name] for name in "abcd" if name in signs]
            if server:
                return _bounce(message, context, (evidence("returned message", "our Message-ID"), server[0]))
    return None


def _bounce(message: ParsedMessage, context: InboxContext, found: tuple) -> Finding:  # type: ignore[type-arg]
    report = bounce.report(message, context)
    kind = VerdictKind.DELAY if report.kind == "delayed" else VerdictKind.BOUNCE
    return Finding(kind, found, report)
