"""A tenant's mail rules: changed one version after the other, and tried on stored mail before they decide anything."""

from __future__ import annotations

from dataclasses import replace

from inboxops.composition import intake
from inboxops.composition.world import World
from inboxops.core.mail_rules import edit
from inboxops.core.mail_rules.model import Rule, RuleSet
from inboxops.stories import try_rule as trying


def put(world: World, tenant_id: int, rules: tuple[Rule, ...], *, by: str) -> RuleSet:
    """Each in place of the one of its name, new ones behind the others; all in one version. Raises InvalidInput."""

    def change(before: RuleSet) -> RuleSet:
        after = before
        for rule in rules:
            after = edit.put(after, rule)
        return replace(after, version=before.version + (after.rules != before.rules))

    told = ", ".join(rule.name if rule.enabled else f"{rule.name} (off)" for rule in rules)
    return world.mail_rules.change(tenant_id, change, change=f"set {told}"[:500], changed_by=by)


def switch(world: World, tenant_id: int, name: str, *, enabled: bool, by: str) -> RuleSet:
    """Raises NotFound."""
    told = f"{'on' if enabled else 'off'}: {name}"
    return world.mail_rules.change(
        tenant_id, lambda before: edit.switch(before, name, enabled=enabled), change=told, changed_by=by
    )


def remove(world: World, tenant_id: int, name: str, *, by: str) -> RuleSet:
    """Raises NotFound."""
    return world.mail_rules.change(
        tenant_id, lambda before: edit.remove(before, name), change=f"removed {name}", changed_by=by
    )


def order(world: World, tenant_id: int, names: list[str], *, by: str) -> RuleSet:
    """Those that are named first, in that order. Raises NotFound, InvalidInput."""
    return world.mail_rules.change(
        tenant_id, lambda before: edit.order(before, names), change=f"order: {', '.join(names)}"[:500], changed_by=by
    )


def try_rule(world: World, tenant_id: int, rule: Rule | str, *, days: int, most: int) -> trying.Trial:
    """What a rule, or the tenant's of that name, would do where it stands among the others, were it switched on; writes nothing.

    Raises NotFound, InvalidInput, and what reading the object store raises.
    """
    current = world.mail_rules.current(tenant_id)
    wanted = edit.rule_named(current, rule) if isinstance(rule, str) else rule
    rules = edit.put(current, replace(wanted, enabled=True))
    contexts = {
        inbox.id: (inbox.name, replace(intake.context(world, inbox), mail_rules=rules))
        for inbox in world.inboxes.of_tenant(tenant_id)
    }
    return trying.try_rule(
        wanted.name, contexts, world.mail_rules, world.objects, tenant_id=tenant_id, days=days, most=most
    )
