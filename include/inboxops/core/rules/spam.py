"""Spam, as the provider or the inbox's own scanner says. A header that says "no spam" proves nothing: anyone can write it."""

from __future__ import annotations

import re

from inboxops.core.case import Case
from inboxops.core.model import VerdictKind
from inboxops.core.rules import Finding, evidence

_CONFIDENCE = re.compile(r"(?:^|;)\s*(?:scl\s*[:=]\s*)?([0-9]+)\s*(?:;|$)", re.IGNORECASE)
_LIKELY_SPAM = 5
"""Exchange's spam confidence level from which its own filter moves mail to the junk folder; 9 is certain."""


def provider(case: Case) -> Finding | None:
    if case.context.in_spam_folder:
        return Finding(VerdictKind.SPAM, (evidence("folder", "the provider's spam folder"),))
    return None


def scanner(case: Case) -> Finding | None:
    for name in case.context.spam_headers:
        for value in case.all_headers(name):
            if _says_spam(name.lower(), value.strip().lower()):
                return Finding(VerdictKind.SPAM, (evidence(name, value),))
    return None


def _says_spam(name: str, value: str) -> bool:
    if name.endswith("scl"):
        found = _CONFIDENCE.search(value[:100])
        return bool(found and _LIKELY_SPAM <= int(found[1][:3]) <= 9)
    return value.startswith(("yes", "true", "spam", "fail"))
