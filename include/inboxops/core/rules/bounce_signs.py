"""A bounce without a readable status: most mail servers before RFC 3464, and some today.

No single sign is enough: a human forwards a bounce, postmaster is also a person, an out-of-office note has a null Return-Path too.
"""

from __future__ import annotations

from inboxops.core import bounce, ids
from inboxops.core.case import Case
from inboxops.core.model import Evidence, VerdictKind
from inboxops.core.rules import Finding, evidence
from inboxops.core.rules.auto_submitted import word
from inboxops.core.rules.machine import is_nobody

_SERVER = frozenset("abc")
"""The groups that only a mail server writes."""


def in_report(case: Case) -> Finding | None:
    """A delivery report (RFC 6522) whose blocks say nothing, and one sign. Some servers forget the report-type, some the part."""
    report_type = case.message.content_type_parameters.get("report-type", "").lower()
    has_part = any(one.endswith("delivery-status") for one in case.message.part_types)
    if report_type != "delivery-status" and not has_part:
        return None
    signs = bounce.signs(case)
    if not signs:
        return None
    where = (
        evidence("Content-Type", f"report-type={report_type}") if report_type else evidence("part", "delivery-status")
    )
    return _finding(case, (where, *signs.values()))


def enough(case: Case) -> Finding | None:
    """Two different groups of signs, one of them a server's."""
    signs = bounce.signs(case)
    if len(signs) < 2 or not _SERVER & signs.keys():
        return None
    if case.is_out_of_office and not signs.keys() & set("acdg"):
        return None
    if signs.keys() <= set("adf") and _may_be_a_person(case) and not bounce.names_a_recipient(case):
        return None
    return _finding(case, tuple(signs.values()))


def without_server(case: Case) -> Finding | None:
    """Gateways write under a name of their own.

    Then the subject, a failure and a returned message of ours must agree, or the text must open with the failure and its
    address, as a server's does and a person's who pastes a bounce does not. An answer to somebody is never one.
    """
    signs = bounce.signs(case)
    if "d" not in signs or "f" not in signs:
        return None
    if "g" in signs:
        return _finding(case, tuple(signs[name] for name in "dfg"))
    opening = bounce.opening_failure(case)
    if opening is not None and not case.message.in_reply_to:
        return _finding(case, (signs["d"], opening))
    return None


def by_machine(case: Case) -> Finding | None:
    """A carrier or a service that writes as no-reply: a failure in its words, a message returned to its author."""
    message = case.message
    if not is_nobody(message) or not message.returned or case.answers_or_is_away:
        return None
    author = bounce.returned_to_its_author(case)
    if not author or not (case.failure or case.has_bounce_subject):
        return None
    said = evidence("body", case.failure) if case.failure else evidence("Subject", message.subject)
    return _finding(case, (said, evidence("returned message", f"sent by {author}")))


def own_id(case: Case) -> Finding | None:
    """One of our ids in what came back, and one sign."""
    if not any(ids.read_message_id(text, case.context.signing_key) for text in case.message.returned):
        return None
    signs = bounce.signs(case)
    sign = next((signs[name] for name in "abcd" if name in signs), None)
    return _finding(case, (evidence("returned message", "our Message-ID"), sign)) if sign else None


def _may_be_a_person(case: Case) -> bool:
    submitted = case.header("Auto-Submitted") or ""
    return case.message.sender.address.lower().startswith("postmaster@") and word(submitted) in {"", "no"}


def _finding(case: Case, found: tuple[Evidence, ...]) -> Finding:
    report = bounce.report(case)
    return Finding(VerdictKind.DELAY if report.kind == "delayed" else VerdictKind.BOUNCE, found, report)
