"""A bounce without a readable status: most mail servers before RFC 3464, and some today.

No single sign is enough: a human forwards a bounce, postmaster is also a person, an out-of-office note has a null Return-Path too.
"""

from __future__ import annotations

import re
from collections.abc import Set

from inboxops.core import bounce, ids, phrases
from inboxops.core.case import Case
from inboxops.core.model import Evidence, VerdictKind
from inboxops.core.rules import Finding, evidence
from inboxops.core.rules.auto_submitted import REPLIES, by_program
from inboxops.core.rules.machine import is_nobody

_SERVER = frozenset("abc")
"""The groups that only a mail server writes."""
_OF_MAIL = re.compile(
    r"\be?-?mail|message|recipient|mailbox|\buser\b|nachricht|courriel|mensa[jg]e|messaggio|bericht|wiadomo|сообщени|письм|メール|[邮郵]件",
    re.IGNORECASE,
)
"""Of a failure that is mail's, and no parcel's or program's."""


def in_report(case: Case) -> Finding | None:
    """A delivery report (RFC 6522) whose blocks say nothing, and one sign. Some servers forget the report-type, some the part."""
    report_type = case.message.content_type_parameters.get("report-type", "").lower()
    has_part = any(one.endswith("delivery-status") for one in case.message.part_types)
    if report_type != "delivery-status" and not (has_part and bounce.is_report(case)):
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
    is_certain = bounce.is_daemon(case.message) or "c" in signs
    if not is_certain and not _is_told_by_a_server(case, frozenset(signs)):
        return None
    return _finding(case, tuple(signs.values()))


def _is_told_by_a_server(case: Case, signs: Set[str]) -> bool:
    """Whether signs that people and their programs have too are a server's: postmaster's address, a server's name, the null
    reverse-path. Most servers name the address that failed; absent people's programs speak of addresses as well."""
    if _is_from_an_absent_person(case, signs):
        return False
    if "g" in signs or ("b" in signs and bounce.is_postmaster(case.message)):
        return True
    if case.is_answer or bounce.writes_for_somebody(case):
        return False
    if "e" in signs:
        return bool(signs & set("df"))
    if "d" in signs:
        return bounce.names_a_recipient(case)
    return (_speaks_of_mail(case, signs) and bounce.names_a_recipient(case)) or bounce.opening_failure(case) is not None


def _is_from_an_absent_person(case: Case, signs: Set[str]) -> bool:
    """An absent person's program returns nothing, and its subject tells of no failure, or is that of what it answers and
    names (RFC 3834, 3.1.5)."""
    if case.is_out_of_office:
        return "d" not in signs
    if by_program(case) not in REPLIES or ("e" in signs and signs & set("df")):
        return False
    return "d" not in signs or bool(case.message.in_reply_to)


def _speaks_of_mail(case: Case, signs: Set[str]) -> bool:
    """Whether the failure is mail's: in a server's words, or in a postmaster's mail or a program's that answers nobody."""
    if "b" in signs and phrases.SMTP_REPLY.search(case.failure.lower()):
        return True
    is_likely = bounce.is_postmaster(case.message) or ("b" in signs and _OF_MAIL.search(case.failure) is not None)
    return is_likely and not case.message.in_reply_to


def without_server(case: Case) -> Finding | None:
    """Gateways write under a name of their own.

    Then the subject, a failure and a returned message of ours must agree, or the text must open with the failure and its
    address, as a server's does and a person's who pastes a bounce does not. An answer to somebody is never one, nor what
    a person's mail program wrote.
    """
    signs = bounce.signs(case)
    if "d" not in signs or "f" not in signs or bounce.is_written_by_hand(case):
        return None
    if "g" in signs:
        return _finding(case, tuple(signs[name] for name in "dfg"))
    opening = bounce.opening_failure(case)
    if opening is not None and not case.message.in_reply_to:
        return _finding(case, (signs["d"], opening))
    return None


def by_machine(case: Case) -> Finding | None:
    """A carrier or a service that writes as no-reply: a failure in its words, a message returned to its author; or a subject that
    tells of it, what an SMTP server said and to which address."""
    message = case.message
    if not is_nobody(message) or case.answers_or_is_away:
        return None
    author = bounce.returned_to_its_author(case) if message.returned else ""
    if author and (case.failure or case.has_bounce_subject):
        said = evidence("body", case.failure) if case.failure else evidence("Subject", message.subject)
        return _finding(case, (said, evidence("returned message", f"sent by {author}")))
    is_quoted = case.has_bounce_subject and phrases.SMTP_REPLY.search(case.failure.lower()) is not None
    if is_quoted and bounce.names_a_recipient(case) and not bounce.writes_for_somebody(case):
        return _finding(case, (evidence("Subject", message.subject), evidence("body", case.failure)))
    return None


def own_id(case: Case) -> Finding | None:
    """One of our ids in what came back, and one sign."""
    if not any(ids.read_message_id(text, case.context.signing_key) for text in case.message.returned):
        return None
    signs = bounce.signs(case)
    may_be_away = case.is_out_of_office or by_program(case) in REPLIES  # with a null reverse-path of its own
    telling = "abc" if bounce.is_written_by_hand(case) else "acd" if may_be_away else "abcd"
    sign = next((signs[name] for name in telling if name in signs), None)
    return _finding(case, (evidence("returned message", "our Message-ID"), sign)) if sign else None


def _finding(case: Case, found: tuple[Evidence, ...]) -> Finding:
    report = bounce.report(case)
    return Finding(VerdictKind.DELAY if report.kind == "delayed" else VerdictKind.BOUNCE, found, report)
