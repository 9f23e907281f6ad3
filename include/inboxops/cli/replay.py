"""inboxops replay ..., inboxops upgrade check: stored mail read again, with a preview before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inboxops.cli.arguments import BY, MOST_DAYS, Tenant
from inboxops.cli.show import Json, Limit, json_lines, listing, say, table
from inboxops.cli.world import opened

if TYPE_CHECKING:
    from inboxops.core.replay_report import Report
    from inboxops.db.database import Row

app = typer.Typer(help="Stored mail read again: preview, apply by groups, take back.", no_args_is_help=True)
upgrade = typer.Typer(help="What an update would change.", no_args_is_help=True)
Number = Annotated[int, typer.Argument(help="The number that `replay list` shows.")]
Here = Annotated[bool, typer.Option("--here", help="In this process, not by a run of Airflow.")]


@app.command()
def preview(
    tenant: Tenant,
    inbox: Annotated[str | None, typer.Option(help="Only this inbox's mail, by name or e-mail address.")] = None,
    ticket: Annotated[int | None, typer.Option(help="Only the mail of this ticket, by its number.")] = None,
    inbound: Annotated[int | None, typer.Option(help="Only this mail, by its number as it came in.")] = None,
    days: Annotated[int | None, typer.Option(min=1, max=MOST_DAYS, help="Mail of so many last days.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Mail received from then on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Mail received before that (UTC).")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Read stored mail with today's parser and rules and say what would be otherwise; changes nothing."""
    from inboxops.composition import replaying

    with opened() as world:
        tenant_id = world.inboxes.tenant_id(tenant)
        wanted = replaying.scope(
            world,
            tenant_id,
            inbox_id=world.inboxes.named(inbox, tenant).id if inbox else None,
            ticket_id=world.replays.ticket_id(tenant_id, ticket) if ticket else None,
            inbound_id=inbound,
            days=days,
            since=_utc(since),
            until=_utc(until),
        )
        row = replaying.preview(world, wanted, by=BY)
    _show(row, json=json)


@app.command("list")
def list_(tenant: Tenant, limit: Limit = 50, json: Json = False) -> None:
    """Show what was read again, and how far each is."""
    with opened() as world:
        rows = world.replays.listed(world.inboxes.tenant_id(tenant), limit=limit + 1)
    for row in rows:
        row["differing"] = row["report"]["differing"] if row["report"] else None
    columns = {
        "no": "id",
        "state": "state",
        "inbox": "inbox",
        "ticket": "ticket_number",
        "mail": "inbound_id",
        "since": "since",
        "differing": "differing",
        "applied": "groups",
        "by": "asked_by",
        "when": "asked_at",
        "problem": "problem",
    }
    listing("Replays", columns, rows, limit=limit, json=json)


@app.command()
def show(tenant: Tenant, number: Number, json: Json = False) -> None:
    """Show one with its report, and what it changed."""
    with opened() as world:
        row = world.replays.one(number, tenant_id=world.inboxes.tenant_id(tenant))
    _show(row, json=json)


@app.command()
def apply(
    tenant: Tenant,
    number: Number,
    group: Annotated[
        list[str] | None,
        typer.Option(help="verdict, mail_rules, customer, ticket, attachments, text; repeat it. All without it."),
    ] = None,
    here: Here = False,
) -> None:
    """Renew what differs. What people put right stays, nothing is sent, and no closed ticket opens."""
    from inboxops.composition import replaying

    with opened() as world:
        tenant_id = world.inboxes.tenant_id(tenant)
        row = replaying.apply(world, tenant_id, number, replaying.groups(group or ()), here=here)
    _say_how_far(tenant, row)


@app.command()
def undo(tenant: Tenant, number: Number, here: Here = False) -> None:
    """Take back what a replay changed, but for what was changed or answered since."""
    from inboxops.composition import replaying

    with opened() as world:
        row = replaying.undo(world, world.inboxes.tenant_id(tenant), number, here=here)
    _say_how_far(tenant, row)


@upgrade.command()
def check(
    days: Annotated[int, typer.Option(min=1, max=MOST_DAYS, help="Mail of so many last days.")] = 7,
    json: Annotated[bool, typer.Option("--json", help="One JSON object for each tenant.")] = False,
) -> None:
    """Say what the last days' mail of all tenants would be today; changes nothing. Ends with 1 if any would be otherwise."""
    from inboxops.composition import replaying

    with opened() as world:
        reports = replaying.check(world, days=days)
    for tenant, report in reports.items():
        if json:
            json_lines([{"tenant": tenant, "report": report}])
        else:
            say(f"{tenant}: {report.differing} of {report.read} mails of {days} days would be otherwise")
            report_tables(report)
    if any(report.differing for report in reports.values()):
        if not json:
            say("`inboxops replay preview --tenant NAME --days N` makes a replay of it, which can be applied by groups")
        raise typer.Exit(1)


def report_tables(report: Report) -> None:
    """A report as a person reads it."""
    import msgspec

    counts: dict[str, Any] = msgspec.to_builtins(report)
    _tables(counts, counts["examples"])


def _show(row: Row, *, json: bool) -> None:
    if json:
        json_lines([row])
        return
    _say_how_far("", row)
    report = row["report"]
    if report is not None:
        say(f"{report['differing']} of {report['read']} mails would be otherwise")
        _tables(report, row["examples"] or {})
    if row["done"]:
        rows = ((group, one["changed"], one["undone"], one["yielded"]) for group, one in row["done"].items())
        table("Changed", ["group", "mails", "taken back", "left: changed or answered since"], rows)


def _tables(report: Mapping[str, Any], examples: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    if report["groups"]:
        table("By group", ["group", "mails"], report["groups"].items())
    if report["verdicts"]:
        table("Verdicts", ["was -> now", "mails"], report["verdicts"].items())
    if report["left_out"]:
        table("Left out", ["why", "mails"], report["left_out"].items())
    rows = [
        (
            group,
            one["inbound_id"],
            f"#{one['ticket_number']}" if one["ticket_number"] else "",
            one["message_id"],
            one["was"],
            one["now"],
        )
        for group, each in examples.items()
        for one in each
    ]
    if rows:
        table("The newest of each group", ["group", "inbound", "ticket", "message id", "is", "would be"], rows)


def _say_how_far(tenant: str, row: Row) -> None:
    see = f"; `inboxops replay show --tenant {tenant} {row['id']}` says how far it is" if tenant else ""
    under_way = row["state"] in ("asked", "applying", "undoing")
    say(f"replay {row['id']} is {row['state']}{see if under_way else ''}")
    if row["problem"]:
        say(f"the last try ended: {row['problem']}")


def _utc(moment: datetime | None) -> datetime | None:
    from datetime import UTC

    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
