"""inboxops tickets"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from inboxops.cli.arguments import OnlyTenant
from inboxops.cli.show import Json, Limit, listing
from inboxops.cli.world import opened


class Status(StrEnum):
    open = "open"
    pending = "pending"
    closed = "closed"


def register(app: typer.Typer) -> None:
    app.command()(tickets)


def tickets(
    tenant: OnlyTenant = None,
    inbox: Annotated[str | None, typer.Option(help="Only this inbox's, by name or e-mail address.")] = None,
    state: Annotated[Status | None, typer.Option(help="Only these.")] = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Show the tickets, the last touched first."""
    with opened(asked_for=tenant) as world:
        inbox_id = world.inboxes.named(inbox, tenant).id if inbox else None
        rows = world.tickets.listed(
            tenant=tenant, inbox_id=inbox_id, status=state.value if state else None, limit=limit + 1
        )
    columns = {
        "no": "ticket_number",
        "status": "status",
        "subject": "subject",
        "from": "requester_address",
        "inbox": "inbox",
        "msgs": "messages",
        "files": "attachments",
        "updated": "updated_at",
    }
    listing("Tickets", columns, rows, limit=limit, json=json)
