"""Rulings as they are kept and shown: which rule, of which version, what it did in words, and what made it hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from inboxops.core.mail_rules.model import Actions
from inboxops.core.model import Ruling


def shown(rulings: Iterable[Ruling]) -> list[dict[str, Any]]:
    return [
        {
            "rule": one.rule,
            "version": one.version,
            "did": list(sentences(one.actions)),
            "evidence": [{"where": why.where, "value": why.value} for why in one.evidence],
        }
        for one in rulings
    ]


def sentences(actions: Actions) -> Iterator[str]:
    """Each action as a person says it."""
    if actions.set_aside:
        yield f"set aside: {actions.set_aside}"
    if actions.never_respond:
        yield "no automatic answer"
    if actions.tags:
        yield f"tagged {', '.join(actions.tags)}"
    if actions.priority:
        yield f"priority {actions.priority}"
    if actions.queue:
        yield f"queue {actions.queue}"
    if actions.customer_from_reply_to:
        yield "customer from Reply-To"
    if actions.never_spam:
        yield "never spam"
    if actions.stop:
        yield "no further rules"
