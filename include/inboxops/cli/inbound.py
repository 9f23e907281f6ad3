"""inboxops inbound ...: mail that became no ticket, and how to make it one."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from inboxops.cli.arguments import OnlyTenant
from inboxops.cli.show import Json, Limit, listing, say, table
from inboxops.cli.world import opened

app = typer.Typer(help="Mail that became no ticket: parked, spam, unlinked bounces, conflicts.", no_args_is_help=True)
Id = Annotated[int, typer.Argument(help="The number that `inbound list` shows.")]


class State(StrEnum):
    parked = "parked"
    refused = "refused"
    listed = "listed"
    conflict = "conflict"
    dropped = "dropped"
    duplicate = "duplicate"


@app.command("list")
def list_(
    tenant: OnlyTenant = None,
    state: Annotated[list[State] | None, typer.Option(help="Only these; may be given more than once.")] = None,
    inbox: Annotated[str | None, typer.Option(help="Only this inbox's, by name or e-mail address.")] = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Show what is set aside, and why."""
    from inboxops.db.inbound import LISTS

    with opened(asked_for=tenant) as world:
        inbox_id = world.inboxes.named(inbox, tenant).id if inbox else None
        rows = world.inbound.listed(tenant=tenant, states=state or LISTS, inbox_id=inbox_id, limit=limit + 1)
    columns = {
        "no": "id",
        "inbox": "inbox",
        "state": "state",
        "verdict": "verdict",
        "from": "from_address",
        "subject": "subject",
        "why": "reason",
    }
    listing("Set aside", columns, rows, limit=limit, json=json)


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
