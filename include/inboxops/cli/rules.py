"""inboxops rules ...: the mail rules of a tenant."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inboxops.cli.arguments import BY, MOST_DAYS, Tenant, text_in
from inboxops.cli.replay import report_tables
from inboxops.cli.show import Json, Limit, json_lines, listing, say, table
from inboxops.cli.world import opened

if TYPE_CHECKING:
    from inboxops.core.mail_rules.model import Rule, RuleSet

app = typer.Typer(help="Mail rules of a tenant: what is done with mail of its choice.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The rule's name, as `rules list` shows it.")]
FILE = "JSON: one rule, or a list of them as `rules list --json` writes it; - reads standard input."


@app.command("list")
def list_(
    tenant: Tenant,
    json: Annotated[bool, typer.Option("--json", help="As `rules set` takes them.")] = False,
) -> None:
    """Show the rules in the order in which they are asked."""
    from inboxops.core.mail_rules.shown import sentences
    from inboxops.core.mail_rules.wire import written

    with opened() as world:
        rules = world.mail_rules.current(world.inboxes.tenant_id(tenant))
    if json:
        json_lines([[written(rule) for rule in rules.rules]])
        return
    rows = (
        (
            number,
            rule.name,
            "on" if rule.enabled else "off",
            (" and " if rule.match == "all" else " or ").join(map(str, rule.conditions)),
            "; ".join(sentences(rule.actions)),
        )
        for number, rule in enumerate(rules.rules, start=1)
    )
    table(f"Mail rules of {tenant}, version {rules.version}", ["no", "name", "", "when", "then"], rows)


@app.command("set")
def set_(tenant: Tenant, file: Annotated[Path, typer.Argument(help=FILE, allow_dash=True)]) -> None:
    """Put rules in place of those of their names, new ones behind the others. A rule is off unless it says "enabled": true."""
    from inboxops.composition import mail_rules

    rules = rules_in(file)
    with opened() as world:
        _say_version(tenant, mail_rules.put(world, world.inboxes.tenant_id(tenant), rules, by=BY))


@app.command()
def on(tenant: Tenant, name: Name) -> None:
    """Switch a rule on: from the next mail that is read on it decides."""
    _switch(tenant, name, enabled=True)


@app.command()
def off(tenant: Tenant, name: Name) -> None:
    """Switch a rule off. What it did stays."""
    _switch(tenant, name, enabled=False)


@app.command()
def remove(tenant: Tenant, name: Name) -> None:
    """Remove a rule. What it did stays explained by the version that it was in."""
    from inboxops.composition import mail_rules

    with opened() as world:
        _say_version(tenant, mail_rules.remove(world, world.inboxes.tenant_id(tenant), name, by=BY))


@app.command()
def order(tenant: Tenant, names: Annotated[list[str], typer.Argument(help="The rules that come first.")]) -> None:
    """Put the rules that are named first, in that order; the others stay behind them as they were."""
    from inboxops.composition import mail_rules

    with opened() as world:
        _say_version(tenant, mail_rules.order(world, world.inboxes.tenant_id(tenant), names, by=BY))


@app.command()
def history(tenant: Tenant, limit: Limit = 50, json: Json = False) -> None:
    """Show what was changed, when and by whom; with --json also the rules as they stood then."""
    with opened() as world:
        rows = world.mail_rules.history(world.inboxes.tenant_id(tenant), limit=limit + 1)
    columns = {"version": "version", "at": "created_at", "by": "changed_by", "change": "change"}
    listing(f"Mail rules of {tenant}", columns, rows, limit=limit, json=json)


@app.command("try")
def try_(
    tenant: Tenant,
    name: Annotated[str | None, typer.Argument(help="A rule that is there; without it, --file has one.")] = None,
    file: Annotated[Path | None, typer.Option(help=FILE, allow_dash=True)] = None,
    days: Annotated[int, typer.Option(min=1, max=MOST_DAYS, help="Mail of so many last days.")] = 7,
    most: Annotated[int, typer.Option(min=1, help="At most so many mails, the newest.")] = 20_000,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what a rule would have done to the mail of the last days, were it switched on; changes nothing."""
    from inboxops.composition import mail_rules
    from inboxops.errors import InvalidInput

    rules: tuple[Rule, ...] = rules_in(file) if file else ()
    chosen = next((rule for rule in rules if name in (None, rule.name)), None) if file else name
    if chosen is None or (name is None and len(rules) > 1):
        raise InvalidInput("which rule is to be tried is not said", fix="Give its name, or --file with it, or both")
    with opened() as world:
        tenant_id = world.inboxes.tenant_id(tenant)
        trial = mail_rules.try_rule(world, tenant_id, chosen, days=days, most=most)
    report = trial.differences
    if json:
        json_lines([trial])
        return
    cut = "" if trial.complete else f", the newest {trial.read} alone: --most says how many"
    say(f"rule {trial.rule}: holds for {trial.matched} of {trial.read} mails of {days} days{cut}")
    if trial.matched:
        say(f"taken for {_counted(trial.verdicts)}; became {_counted(trial.states)}")
    if trial.unreadable:
        say(f"{trial.unreadable} can't be read, which no rule sees: `inboxops inbound list --state parked`")
    if trial.tickets:
        say(f"{trial.tickets} of them are on tickets today: a rule that sets aside would have kept them off")
    if trial.examples:
        columns = ["inbound", "received", "from", "subject", "verdict", "became", "because"]
        rows = (
            (
                one.inbound_id,
                one.received_at,
                one.sender,
                one.subject,
                one.verdict,
                f"ticket #{one.ticket_number}" if one.ticket_number else one.state,
                "; ".join(f"{why.where} ({why.value})" for why in one.ruling.evidence),
            )
            for one in trial.examples
        )
        table("The newest", columns, rows)
    say(f"{report.differing} of {report.read} stored mails would be otherwise by it")
    report_tables(report)


@app.command()
def preview(
    tenant: Tenant,
    on: Annotated[list[str] | None, typer.Option(help="A rule to switch on; repeat it.")] = None,
    off: Annotated[list[str] | None, typer.Option(help="A rule to switch off; repeat it.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A rule to remove; repeat it.")] = None,
    first: Annotated[list[str] | None, typer.Option(help="A rule that comes first; in their order.")] = None,
    days: Annotated[int, typer.Option(min=1, max=MOST_DAYS, help="Mail of so many last days.")] = 7,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what stored mail would be with rules switched on or off, removed, or in another order; changes nothing."""
    from datetime import UTC, datetime, timedelta
    from functools import partial

    from inboxops.composition import mail_rules
    from inboxops.core.mail_rules import edit

    change = partial(edit.changed, on=on or (), off=off or (), removed=remove or (), first=first or ())
    with opened() as world:
        since = datetime.now(UTC) - timedelta(days=days)
        report = mail_rules.try_rules(world, world.inboxes.tenant_id(tenant), change, since=since)
    if json:
        json_lines([report])
        return
    say(f"{report.differing} of {report.read} mails of {days} days would be otherwise by it")
    report_tables(report)


def rules_in(file: Path) -> tuple[Rule, ...]:
    """The rules of a file. Raises InvalidInput, which names rule, condition and what to do."""
    import json

    from inboxops.core.mail_rules.wire import read_rules
    from inboxops.errors import InvalidInput

    try:
        given = json.loads(sys.stdin.read() if str(file) == "-" else text_in(file))
    except (ValueError, RecursionError) as exc:
        raise InvalidInput(f"{file} can't be read: {exc}", fix="Give a file of JSON in UTF-8") from exc
    return read_rules([given] if isinstance(given, dict) else given)


def _switch(tenant: str, name: str, *, enabled: bool) -> None:
    from inboxops.composition import mail_rules

    with opened() as world:
        tenant_id = world.inboxes.tenant_id(tenant)
        _say_version(tenant, mail_rules.switch(world, tenant_id, name, enabled=enabled, by=BY))


def _say_version(tenant: str, rules: RuleSet) -> None:
    told = ", ".join(rule.name if rule.enabled else f"{rule.name} (off)" for rule in rules.rules)
    say(f"mail rules of {tenant}, version {rules.version}: {told or 'none'}")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))
