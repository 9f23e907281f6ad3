"""A canary of this inbox came back: it bears a token that we signed for it, and that still holds."""

from __future__ import annotations

from inboxops.core import canary
from inboxops.core.case import Case
from inboxops.core.model import VerdictKind
from inboxops.core.rules import Finding, evidence
from inboxops.core.rules.own_loop import CANARY_HEADER


def check(case: Case) -> Finding | None:
    message, context = case.message, case.context
    if case.answers_or_is_away:
        return None
    found = [(CANARY_HEADER, one.strip()) for one in case.all_headers(CANARY_HEADER)]
    found += [("body", one) for one in canary.said_in(message.subject, message.text)]
    for where, token in found:
        if canary.read_token(token, context.inbox_id, context.signing_key, at=context.received_at) is not None:
            return Finding(VerdictKind.OWN_LOOP, (evidence(where, token), evidence("From", message.sender.address)))
    return None
