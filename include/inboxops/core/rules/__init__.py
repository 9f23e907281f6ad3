"""One rule is one function of a file here: it looks at a case and returns what convinced it, or None.

The order stands in `core.classify`.
"""

from __future__ import annotations

from dataclasses import dataclass

from inboxops.core.model import Bounce, Evidence, VerdictKind

_VALUE = 300  # characters of a value that are kept as evidence


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found: the verdict and why; what came back when it is a delivery report."""

    kind: VerdictKind
    evidence: tuple[Evidence, ...]
    bounce: Bounce | None = None


def evidence(where: str, value: str) -> Evidence:
    """Evidence with its exact value, cut where it would fill a page."""
    return Evidence(where, value[:_VALUE])
