"""How a tenant's set of rules changes: each function makes the next version from the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from inboxops.core.mail_rules.model import Rule, RuleSet
from inboxops.core.mail_rules.wire import check_set
from inboxops.errors import InvalidInput, NotFound

Edit = Callable[[RuleSet], RuleSet]


def rule_named(rules: RuleSet, name: str) -> Rule:
    """Raises NotFound."""
    found = next((rule for rule in rules.rules if rule.name == name), None)
    if found is None:
        known = ", ".join(rule.name for rule in rules.rules) or "none yet"
        raise NotFound(f"there is no rule {name!r}", fix=f"Known rules: {known}")
    return found


def put(rules: RuleSet, rule: Rule) -> RuleSet:
    """With the rule in place of the one of its name, or behind all others. Raises InvalidInput when the set can't take it."""
    kept = [rule if one.name == rule.name else one for one in rules.rules]
    return _next(rules, kept if rule in kept else [*kept, rule])


def switch(rules: RuleSet, name: str, *, enabled: bool) -> RuleSet:
    """Raises NotFound."""
    return put(rules, replace(rule_named(rules, name), enabled=enabled))


def remove(rules: RuleSet, name: str) -> RuleSet:
    """Raises NotFound."""
    gone = rule_named(rules, name)
    return _next(rules, [rule for rule in rules.rules if rule is not gone])


def order(rules: RuleSet, names: Sequence[str]) -> RuleSet:
    """With those that are named first, in that order, and the others behind them as they were. Raises NotFound, InvalidInput."""
    if len(set(names)) != len(names):
        raise InvalidInput("a rule is named twice in the order", fix="Name each once")
    first = [rule_named(rules, name) for name in names]
    return _next(rules, [*first, *(rule for rule in rules.rules if rule not in first)])


def changed(
    rules: RuleSet,
    *,
    on: Sequence[str] = (),
    off: Sequence[str] = (),
    removed: Sequence[str] = (),
    first: Sequence[str] = (),
) -> RuleSet:
    """With rules switched on and off, others removed, and what is left in order, `first` first. Raises NotFound, InvalidInput."""
    for name in on:
        rules = switch(rules, name, enabled=True)
    for name in off:
        rules = switch(rules, name, enabled=False)
    for name in removed:
        rules = remove(rules, name)
    return order(rules, first)


def _next(rules: RuleSet, changed: Sequence[Rule]) -> RuleSet:
    """The same version when nothing changed."""
    if tuple(changed) == rules.rules:
        return rules
    return RuleSet(rules.version + 1, check_set(tuple(changed)))
