"""The tenant's mail rules: looked at by everybody, changed and tried by admins."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path

from api import paging
from api.access import Admin, Agent
from api.paging import Cursor, Limit, Page
from api.rule_models import Change, Name, Order, Previewed, RuleBody, RuleSet, Tried, Try, Version
from inboxops.composition import mail_rules
from inboxops.core.mail_rules import edit

router = APIRouter(prefix="/v1/mail-rules", tags=["mail rules"])
Named = Annotated[Name, Path(description="The rule's name.")]


@router.get("")
def list_rules(visit: Agent) -> RuleSet:
    """The rules in the order in which they are asked."""
    return RuleSet.of(visit.world.mail_rules.current(visit.tenant_id))


@router.get("/versions")
def list_versions(visit: Agent, limit: Limit = 50, cursor: Cursor = None) -> Page[Version]:
    """Every version of the rules, the newest first: what was changed, by whom, and the rules as they stood then."""
    before = min(paging.decode(cursor, int)[0], 2**31 - 1) if cursor is not None else None
    rows = visit.world.mail_rules.history(visit.tenant_id, before=before, limit=limit + 1)
    page = rows[:limit]
    next_ = paging.encode(page[-1]["version"]) if len(rows) > limit else None
    return Page(items=[Version.model_validate(row) for row in page], next=next_)


@router.put("/{name}")
def put_rule(visit: Admin, name: Named, body: RuleBody) -> RuleSet:
    """Put a rule in place of the one of its name, or behind all others."""
    rule = body.rule(name)
    return RuleSet.of(mail_rules.put(visit.world, visit.tenant_id, (rule,), by=visit.caller.name))


@router.delete("/{name}")
def remove_rule(visit: Admin, name: Named) -> RuleSet:
    """Remove a rule. What it did stays explained by the version that it was in."""
    return RuleSet.of(mail_rules.remove(visit.world, visit.tenant_id, name, by=visit.caller.name))


@router.post("/order")
def order_rules(visit: Admin, wanted: Order) -> RuleSet:
    """Put the rules that are named first, in that order; the others stay behind them as they were."""
    return RuleSet.of(mail_rules.order(visit.world, visit.tenant_id, wanted.names, by=visit.caller.name))


@router.post("/try")
def try_rule(visit: Admin, wanted: Try) -> Tried:
    """What a rule would have done to the mail of the last days, were it switched on where it stands; writes nothing."""
    rule = wanted.name if wanted.rule is None else wanted.rule.rule(wanted.name)
    return Tried.of(mail_rules.try_rule(visit.world, visit.tenant_id, rule, days=wanted.days, most=wanted.most))


@router.post("/preview")
def preview_rules(visit: Admin, wanted: Change) -> Previewed:
    """What the mail of the last days would be with rules switched on or off, removed, or in another order; writes nothing."""
    since = visit.world.mail_rules.since(visit.tenant_id, days=wanted.days, most=wanted.most)
    change = partial(edit.changed, on=wanted.on, off=wanted.off, removed=wanted.removed, first=wanted.first)
    report = mail_rules.try_rules(visit.world, visit.tenant_id, change, since=since, forked=False)
    return Previewed.of(report, since)
