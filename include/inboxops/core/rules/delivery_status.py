"""A delivery status notification whose recipient blocks say what became of the message (RFC 3464, 2.3.3).

Every block is read. Any failed recipient makes a bounce; else any delayed one a delay; else delivered ones a receipt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inboxops.core import bounce
from inboxops.core.case import Case
from inboxops.core.model import Evidence, VerdictKind
from inboxops.core.rules import Finding, evidence
from inboxops.core.rules.auto_submitted import by_program
from inboxops.core.rules.machine import is_nobody

_SHOWN = ("final-recipient", "action", "status")
_MOST_BLOCKS = 5  # that are quoted as evidence


def failed(case: Case) -> Finding | None:
    found = _blocks(case, "failed")
    return Finding(VerdictKind.BOUNCE, found, bounce.report(case)) if found else None


def delayed(case: Case) -> Finding | None:
    found = _blocks(case, "delayed")
    return Finding(VerdictKind.DELAY, found, bounce.report(case)) if found else None


def delivered(case: Case) -> Finding | None:
    found = _blocks(case, "delivered")
    return Finding(VerdictKind.RECEIPT, found, bounce.returned(case)) if found else None


def failed_in_text(case: Case) -> Finding | None:
    """The same fields in plain text, as some webmail services write them. People paste them too: below an answer, a subject or a
    greeting of their own."""
    message = case.message
    if case.answers_or_is_away or bounce.writes_for_somebody(case):
        return None
    if not (is_nobody(message) or (case.has_bounce_subject and _is_a_servers(case))):
        return None
    found = _evidence(block for block in bounce.status_in_text(case) if bounce.action(block) == "failed")
    return Finding(VerdictKind.BOUNCE, found, bounce.report(case)) if found else None


def _is_a_servers(case: Case) -> bool:
    """Whether a machine's sign, a returned message of ours or the way it opens says that a server wrote this text."""
    if by_program(case) or bounce.signs(case).keys() & set("abcg"):
        return True
    return bounce.opening_failure(case) is not None


def _blocks(case: Case, action: str) -> tuple[Evidence, ...]:
    if not bounce.is_report(case):
        return ()
    return _evidence(block for block in case.message.delivery_status if bounce.action(block) == action)


def _evidence(blocks: Iterable[Mapping[str, str]]) -> tuple[Evidence, ...]:
    found = list(blocks)
    return tuple(
        evidence("message/delivery-status", "; ".join(f"{name}: {block[name]}" for name in _SHOWN if name in block))
        for block in found[:_MOST_BLOCKS]
    )
