"""A tenant's mail rules: changed one version after the other, and tried on stored mail before they decide anything."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from inboxops.composition import replaying
from inboxops.composition.world import World
from inboxops.core.mail_rules import edit
from inboxops.core.mail_rules.model import Rule, RuleSet
from inboxops.core.replay_report import Report
from inboxops.ports import ReplayScope
from inboxops.stories import try_rule as trying
from inboxops.stories.replay import Desk
from inboxops.stories.try_rule import Trial


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


def try_rule(world: World, tenant_id: int, rule: Rule | str, *, days: int, most: int) -> Trial:
    """What a rule, or the tenant's of that name, would do where it stands among the others, were it switched on; writes nothing.

    Raises NotFound, InvalidInput, and what reading the object store raises.
    """
    current = world.mail_rules.current(tenant_id)
    wanted = edit.rule_named(current, rule) if isinstance(rule, str) else rule
    tried = _with_rules(world, tenant_id, edit.put(current, replace(wanted, enabled=True)))
    named = {"tenant_id": tenant_id, "days": days, "most": most}
    trial = trying.try_rule(wanted.name, tried, world.mail_rules, world.rereading, world.objects, **named)
    since = trial.since or datetime.now(UTC)
    left = Report(left_out=world.rereading.left_out(ReplayScope(tenant_id, since=since)))
    return replace(trial, differences=trial.differences + left)


def try_rules(world: World, tenant_id: int, change: edit.Edit, *, since: datetime, forked: bool = True) -> Report:
    """What the mail since then would be, were a tenant's rules changed so; writes nothing.

    Differences that are there without it are left out. forked: in other processes, for which this one may have no threads.
    Raises what the change raises.
    """
    tried = _with_rules(world, tenant_id, change(world.mail_rules.current(tenant_id)))
    return replaying.compared(world, ReplayScope(tenant_id, since=since), tried, forked=forked)


def _with_rules(world: World, tenant_id: int, rules: RuleSet) -> dict[int, Desk]:
    """The desks of a tenant as they would be, each beside itself as it is."""
    return {
        id_: Desk(one.inbox, replace(one.context, mail_rules=rules), without=one.context)
        for id_, one in replaying.desks(world, tenant_id).items()
    }
