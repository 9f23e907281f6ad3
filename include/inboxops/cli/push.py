"""inboxops inbox push"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inboxops.cli.show import json_lines, say, table
from inboxops.cli.world import opened

if TYPE_CHECKING:
    from inboxops.core.push import Channel


def register(app: typer.Typer) -> None:
    app.command()(push)


def push(
    name: Annotated[str | None, typer.Argument(help="One inbox; by default all that can push.")] = None,
    tenant: Annotated[str | None, typer.Option(help="The tenant's short name.")] = None,
    renew: Annotated[bool, typer.Option("--renew", help="Make or renew the channel of the named inbox now.")] = False,
    anew: Annotated[
        bool,
        typer.Option("--anew", help="With --renew: another channel in its place, with a new secret of Microsoft's."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show how inboxes learn of new mail: push, probing (made, unproven), suspect (lets mail pass), or polling."""
    from inboxops.composition import pushing

    if renew and name is None:
        raise typer.BadParameter("--renew needs the name of an inbox")
    if anew and not renew:
        raise typer.BadParameter("--anew goes with --renew")
    with opened(asked_for=tenant) as world:
        inboxes = [world.inboxes.named(name, tenant)] if name else world.inboxes.all(tenant)
        if renew:
            watched = pushing.register(world, inboxes[0].id, anew=anew)
            say(watched.skipped or ("made" if watched.made else "renewed"))
        shown = [inbox for inbox in inboxes if pushing.can_push(inbox.connection_type)]
        channels = world.push.channels([inbox.id for inbox in shown])
    rows = [{"name": inbox.name, "tenant": inbox.tenant, **facts(channels[inbox.id])} for inbox in shown]
    if json:
        json_lines(rows)
    elif rows:
        table("Push", list(rows[0]), ([*row.values()] for row in rows))
    else:
        say("No inbox of Google or Microsoft: mail servers are held in IDLE and polled.")


def facts(channel: Channel) -> dict[str, Any]:
    """A channel as it is shown."""
    return {
        "push": channel.health(datetime.now(UTC)).value,
        "last push": channel.last_push_at,
        "last mail without push": channel.missed_at,
        "ends": channel.expires_at,
        "next renewal": channel.renewal_at(),
        "push error": channel.error,
    }
