"""Receipts of Italian certified mail (PEC): two or more for each mail of ours, from the providers and not from a person.

X-Ricevuta says which it is, X-Riferimento-Message-ID the mail it is about (D.M. 2 November 2005, technical rules, 6 and 7). What a
person wrote comes in an envelope with X-Trasporto and without X-Ricevuta.
"""

from __future__ import annotations

from dataclasses import replace

from inboxops.core import bounce
from inboxops.core.case import Case
from inboxops.core.model import Evidence, VerdictKind
from inboxops.core.rules import Finding, evidence

_FAILED = frozenset({"non-accettazione", "errore-consegna", "rilevazione-virus"})
_LATE = "preavviso-errore-consegna"
"""Not delivered within twelve hours; an errore-consegna may follow."""
_DELIVERED = frozenset({"accettazione", "presa-in-carico", "avvenuta-consegna"})


def failed(case: Case) -> Finding | None:
    kind = _receipt(case)
    if kind == _LATE:
        return Finding(VerdictKind.DELAY, _why(kind), replace(bounce.report(case), kind="delayed"))
    return Finding(VerdictKind.BOUNCE, _why(kind), bounce.report(case)) if kind in _FAILED else None


def delivered(case: Case) -> Finding | None:
    kind = _receipt(case)
    return Finding(VerdictKind.RECEIPT, _why(kind), bounce.returned(case)) if kind in _DELIVERED else None


def _receipt(case: Case) -> str:
    return (case.header("X-Ricevuta") or "").strip().lower()


def _why(kind: str) -> tuple[Evidence, ...]:
    return (evidence("X-Ricevuta", kind),)
