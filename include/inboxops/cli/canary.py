"""inboxops canary ...: mails of our own that must come back, sent, listed and looked at."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from inboxops.cli.arguments import InboxName, TenantOfName
from inboxops.cli.show import Json, Limit, json_lines, listing, say, table
from inboxops.cli.world import opened
from inboxops.core.canary import helps, means

app = typer.Typer(help="Canaries: mails that must come back, so that lost mail shows.", no_args_is_help=True)


@app.command()
def send(name: InboxName, tenant: TenantOfName = None) -> None:
    """Send an inbox a canary now, due or not; `inbox set --canary-minutes` has the DAG `canaries` do it by itself."""
    from inboxops.composition import canaries

    with opened() as world:
        inbox = world.inboxes.named(name, tenant)
        number = canaries.send(world, inbox.id)
    say(
        f"canary {number} is on its way to {inbox.email_address}: `inboxops canary show {number}` tells when it is back"
    )


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(help="Only this inbox's: its name or e-mail address.")] = None,
    tenant: TenantOfName = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Show the canaries and whether they came back, the newest first."""
    with opened(asked_for=tenant) as world:
        inbox_id = world.inboxes.named(name, tenant).id if name else None
        rows = [_told(row) for row in world.canaries.listed(tenant=tenant, inbox_id=inbox_id, limit=limit + 1)]
    columns = {
        "no": "id",
        "inbox": "inbox",
        "from": "sender",
        "sent": "sent_at",
        "back": "back_at",
        "state": "state",
        "means": "means",
    }
    listing("Canaries", columns, rows, limit=limit, json=json)


@app.command()
def show(number: Annotated[int, typer.Argument(help="The canary's number.")], json: Json = False) -> None:
    """Show one canary: when it was sent, when it came back and as which mail, or why not; and what to do."""
    with opened() as world:
        row = _told(world.canaries.one(number))
    if json:
        json_lines([row])
    else:
        table(f"Canary {number}", ["", ""], row.items())


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "means": means(row), "helps": helps(row)}
