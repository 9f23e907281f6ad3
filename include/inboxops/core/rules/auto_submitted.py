"""Auto-Submitted (RFC 3834, 5): the first word counts, in any case, without comments and parameters; `no` means a person."""

from __future__ import annotations

import re
from collections.abc import Callable

from inboxops.core.case import Case
from inboxops.core.model import VerdictKind
from inboxops.core.rules import Finding, evidence

_WORD = re.compile(r"\s*(?:\([^()]{0,200}\)\s*)?([a-z_-]+)", re.IGNORECASE)
REPLIES = frozenset({"auto-replied", "auto_replied", "vacation"})


def word(value: str) -> str:
    """The first token of a value, lower-cased, comments dropped."""
    found = _WORD.match(value)
    return found[1].lower() if found else ""


def by_program(case: Case) -> str:
    """The first word by which a program says that it sent this mail, or ""."""
    return next((token for token in map(word, case.all_headers("Auto-Submitted")) if token not in {"", "no"}), "")


def replied(case: Case) -> Finding | None:
    return _finding(case, VerdictKind.AUTO_REPLY, lambda token: token in REPLIES)


def generated(case: Case) -> Finding | None:
    return _finding(case, VerdictKind.AUTO_GENERATED, lambda token: token not in {"", "no"})


def _finding(case: Case, kind: VerdictKind, wanted: Callable[[str], bool]) -> Finding | None:
    for value in case.all_headers("Auto-Submitted"):
        if wanted(word(value)):
            return Finding(kind, (evidence("Auto-Submitted", value),))
    return None
