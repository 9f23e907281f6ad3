"""inboxops notify ...: who is told what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from inboxops.cli.arguments import OnlyTenant, Tenant
from inboxops.cli.show import Json, Limit, listing, say
from inboxops.cli.world import opened
from inboxops.core.notices import KINDS, Notice
from inboxops.errors import InvalidInput

app = typer.Typer(help="Who is told of trouble: by mail or by webhook, for each tenant.", no_args_is_help=True)
Id = Annotated[int, typer.Argument(help="The number that `notify list` shows.")]


@app.command()
def add(
    tenant: Tenant,
    mail: Annotated[str, typer.Option(help="An e-mail address to tell.")] = "",
    webhook: Annotated[str, typer.Option(help="A URL to tell. Its secret is shown this once.")] = "",
    kind: Annotated[list[str] | None, typer.Option(help=f"Only these: {', '.join(KINDS)}. By default all.")] = None,
) -> None:
    """Tell somebody when something begins to be wrong, and when it is over."""
    from inboxops.composition import upkeep

    if bool(mail) == bool(webhook):
        raise InvalidInput("give one of --mail and --webhook")
    with opened() as world:
        tenant_id = world.inboxes.tenant_id(tenant)
        channel, secret = upkeep.tell(world, tenant_id, mail=mail, url=webhook, kinds=kind or list(KINDS))
    say(f"channel {channel} tells {mail or webhook}; try it with `inboxops notify test {channel}`")
    if secret:
        typer.echo(f"secret: {secret}")


@app.command("list")
def list_(
    tenant: OnlyTenant = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Show who is told of what, and what does not get through."""
    with opened(asked_for=tenant) as world:
        rows = world.notices.channels(tenant)
    columns = ["id", "tenant", "way", "target", "kinds", "last_error"]
    listing("Told of trouble", {name: name for name in columns}, rows, limit=limit, json=json)


@app.command()
def remove(channel: Id) -> None:
    """Tell somebody no longer."""
    with opened() as world:
        world.notices.remove_channel(channel)
    say(f"channel {channel} removed")


@app.command("renew-secret")
def renew_secret(
    channel: Id,
    forget: Annotated[bool, typer.Option("--forget", help="Sign with the old one no more: it leaked.")] = False,
) -> None:
    """Give a webhook a new secret. Until the next time the old one signs, too, so that the receiver may change over."""
    from inboxops.composition import upkeep

    with opened() as world:
        secret = upkeep.renew_secret(world, channel, keep_old=not forget)
    typer.echo(f"secret: {secret}")


@app.command()
def test(channel: Id) -> None:
    """Send a notice of nothing by this channel, now."""
    from inboxops.composition import upkeep

    with opened() as world:
        now = datetime.now(UTC)
        world.notices.rehearse(
            channel,
            Notice("inbox_disconnected", True, "example", "example@inboxops.example", "A test of the channel.", now),
        )
        done = upkeep.notify(world)
    say(f"delivered {done.delivered}, kept for later {done.kept} (`inboxops notify list` says why)")
