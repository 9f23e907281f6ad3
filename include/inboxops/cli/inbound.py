"""inboxops inbound ...: mail that became no ticket, and how to make it one."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from inboxops.cli.show import json_lines, say, table
from inboxops.cli.world import opened

app = typer.Typer(help="Mail that became no ticket: parked, spam, unlinked bounces, conflicts.", no_args_is_help=True)
Id = Annotated[int, typer.Argument(help="The number that `inbound list` shows.")]


@app.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="Only these: parked, refused, listed, conflict, dropped, duplicate.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show what is set aside, and why."""
    from inboxops.db.inbound import LISTS

    with opened() as world:
        rows = world.inbound.listed(tenant=tenant, states=state or LISTS)
    if json:
        json_lines(rows)
        return
    columns = ["id", "inbox", "state", "verdict", "from_address", "subject", "reason"]
    table("Set aside", columns, ([row[c] for c in columns] for row in rows))


@app.command()
def show(number: Id) -> None:
    """Show one message's row: verdict, rule, evidence, where its raw bytes are."""
    with opened() as world:
        row = world.inbound.one(number)
    hidden = {"reading", "body_text", "body_new", "body_html"}
    table(f"Inbound {number}", ["", ""], ((key, value) for key, value in row.items() if key not in hidden))


@app.command()
def raw(number: Id) -> None:
    """Write a message as its provider delivered it to stdout: `inboxops inbound raw 7 > mail.eml`."""
    from inboxops.composition import intake

    with opened() as world:
        sys.stdout.buffer.write(intake.raw_mail(world, number))


@app.command()
def release(number: Id) -> None:
    """Let a message out of its list and into a ticket, through the same stages."""
    _send_back(number, release=True)


@app.command()
def reparse(number: Id) -> None:
    """Have a message read and judged again, e.g. after an update."""
    _send_back(number, release=False)


def _send_back(number: int, *, release: bool) -> None:
    from inboxops.composition import intake

    with opened() as world:
        inbox_id = world.inbound.send_back(number, release=release)
        intake.file(world, inbox_id)
        row = world.inbound.one(number)
    say(f"inbound {number} is {row['state']}{': ' + row['reason'] if row['reason'] else ''}")
