"""inboxops tickets"""

from __future__ import annotations

from typing import Annotated

import typer

from inboxops.cli.show import json_lines, table
from inboxops.cli.world import opened


def register(app: typer.Typer) -> None:
    app.command()(tickets)


def tickets(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the first by number.")] = 200,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show the tickets."""
    with opened() as world:
        rows = world.tickets.listed(tenant=tenant, limit=limit)
    if json:
        json_lines(rows)
        return
    columns = [
        "ticket_number",
        "status",
        "subject",
        "requester_address",
        "inbox",
        "messages",
        "attachments",
        "updated_at",
    ]
    titles = ["no", "status", "subject", "from", "inbox", "msgs", "files", "updated"]
    table("Tickets", titles, ([row[c] for c in columns] for row in rows))
