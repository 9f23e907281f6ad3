"""Mail to many: lists and newsletters (RFC 2919, RFC 2369)."""

from __future__ import annotations

from inboxops.core.case import Case
from inboxops.core.model import VerdictKind
from inboxops.core.rules import Finding, evidence

_LIST_HEADERS = ("List-Id", "List-Unsubscribe", "List-Post", "X-Mailing-List")
_PRECEDENCE = frozenset({"bulk", "list", "junk"})


def check(case: Case) -> Finding | None:
    for name in _LIST_HEADERS:
        value = case.header(name)
        if value is not None:
            return Finding(VerdictKind.BULK, (evidence(name, value),))
    for value in case.all_headers("Precedence"):
        if value.strip().lower() in _PRECEDENCE:
            return Finding(VerdictKind.BULK, (evidence("Precedence", value),))
    return None
