"""Spam, as the provider or the inbox's own scanner says. A header that says "no spam" proves nothing: anyone can write it."""

from __future__ import annotations

import re

from inboxops.core.model import InboxContext, ParsedMessage, VerdictKind
from inboxops.core.rules import Finding, evidence

_SCL = re.compile(r"\s*(?:scl[:=])?\s*([5-9])\b", re.IGNORECASE)


def provider(message: ParsedMessage, context: InboxContext) -> Finding | None:
    if context.in_spam_folder:
        return Finding(VerdictKind.SPAM, (evidence("folder", "the provider's spam folder"),))
    return None


def scanner(message: ParsedMessage, context: InboxContext) -> Finding | None:
    for name in context.spam_headers:
        for value in message.all_headers(name):
            if _says_spam(name.lower(), value.strip().lower()):
                return Finding(VerdictKind.SPAM, (evidence(name, value),))
    return None


def _says_spam(name: str, value: str) -> bool:
    if "scl" in name:
        return bool(_SCL.match(value))
    return value.startswith(("yes", "true", "spam", "fail"))
