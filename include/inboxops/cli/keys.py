"""inboxops key ...: keys for the API."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from inboxops.cli.arguments import OnlyTenant, Tenant, one_line
from inboxops.cli.show import Json, Limit, listing, say
from inboxops.cli.world import opened

app = typer.Typer(help="Keys for the API: make, list, revoke.", no_args_is_help=True)


class Role(StrEnum):
    agent = "agent"
    admin = "admin"


@app.command()
def add(
    tenant: Tenant,
    name: Annotated[str, typer.Option(callback=one_line, help="Who uses the key; replies show it as their author.")],
    role: Annotated[Role, typer.Option(help="agent answers tickets; admin also changes inboxes.")] = Role.agent,
) -> None:
    """Make a key. It is shown this once and can't be read again."""
    with opened() as world:
        key = world.api_keys.add(world.inboxes.tenant_id(tenant), name=name, role=role.value)
    typer.echo(key)


def login_link(
    tenant: Tenant,
    name: Annotated[
        str, typer.Option(callback=one_line, help="Who logs in; replies show it as their author.")
    ] = "Agent",
    role: Annotated[Role, typer.Option(help="agent answers tickets; admin also changes inboxes.")] = Role.agent,
    minutes: Annotated[int, typer.Option(min=1, max=7 * 24 * 60, help="How long the link waits to be used.")] = 60,
) -> None:
    """Print a link to the tickets page that logs in once."""
    from inboxops.composition import access

    with opened() as world:
        link = access.login_link(world, world.inboxes.tenant_id(tenant), name=name, role=role.value, minutes=minutes)
    typer.echo(link)


@app.command("list")
def list_(
    tenant: OnlyTenant = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Show the keys by their prefixes, and when each was used last."""
    with opened(asked_for=tenant) as world:
        rows = world.api_keys.all(tenant)
    columns = ["tenant", "prefix", "name", "role", "created_at", "last_used_at", "revoked_at"]
    listing("API keys", {name: name for name in columns}, rows, limit=limit, json=json)


@app.command()
def revoke(prefix: Annotated[str, typer.Argument(help="The prefix that `key list` shows.")]) -> None:
    """Stop a key at once, for good."""
    with opened() as world:
        world.api_keys.revoke(prefix)
    say(f"key {prefix} is revoked")
