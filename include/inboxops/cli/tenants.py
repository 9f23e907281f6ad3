"""inboxops tenant ..."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inboxops.cli.arguments import MOST_DAYS, Slug, one_line
from inboxops.cli.show import Json, Limit, listing, say
from inboxops.cli.world import opened
from inboxops.errors import InvalidInput

app = typer.Typer(help="Tenants: who the inboxes and tickets belong to.", no_args_is_help=True)


@app.command()
def add(
    slug: Annotated[str, typer.Argument(help="Short name in lower case, e.g. acme. It never changes.")],
    name: Annotated[str, typer.Option(callback=one_line, help="Name shown to people; by default the short name.")] = "",
    cell: Annotated[str, typer.Option(help="The cell that works for it; by default the one of these settings.")] = "",
) -> None:
    """Make a tenant."""
    from inboxops.core.inbox import valid_slug

    if not valid_slug(slug):
        raise InvalidInput(f"{slug!r} is no short name", fix="Use lower-case letters, digits and dashes, at most 63")
    with opened() as world:
        if cell and cell not in {*world.airflows, *(each.name for each in world.heart.cells())}:
            raise InvalidInput(f"there is no cell {cell!r}", fix="`inboxops cell list` shows those there are")
        if world.inboxes.add_tenant(slug, name or slug, cell=cell or world.cell) is None:
            raise InvalidInput(f"there is a tenant {slug!r} already", fix="Choose another short name")
    say(f"tenant {slug} made")


@app.command("set")
def set_(
    slug: Slug,
    name: Annotated[str | None, typer.Option(callback=one_line, help="Name shown to people.")] = None,
    reopen_days: Annotated[
        int | None,
        typer.Option(
            min=0, max=MOST_DAYS, help="How long an answer reopens a closed ticket; later ones open a new one."
        ),
    ] = None,
) -> None:
    """Change a tenant's settings."""
    with opened() as world:
        world.inboxes.set_tenant(slug, name=name, reopen_days=reopen_days)
    say(f"tenant {slug} changed")


@app.command()
def move(
    slug: Slug,
    to: Annotated[str, typer.Option("--to", help="The cell, whose Airflow has to run: `inboxops cell list`.")] = "",
    installation: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Settings (INBOXOPS_...) of another installation, with a database and a bucket of its own, whose cell that is.",
        ),
    ] = None,
    back: Annotated[
        bool, typer.Option("--back", help="Have it stay, if it has not arrived in the other installation.")
    ] = False,
) -> None:
    """Have another cell work for a tenant: nothing is lost, nothing taken in twice. Done again, it hands over what waits anew.

    To another installation all it has is copied, compared, and deleted here. Ended in between, the same command goes on.
    """
    if installation is None and (back or not to):
        raise InvalidInput(
            "--back is about a move to another installation" if back else "the cell is missing",
            fix="Name its settings with --installation" if back else "Name it with --to",
        )
    if installation is None:
        _to_cell(slug, to)
    elif back:
        _stay(slug, installation)
    else:
        _to_installation(slug, to, installation)


def _to_cell(slug: str, to: str) -> None:
    from inboxops.composition import moving

    with opened() as world:
        moved = moving.move(world, slug, to)
    say(f"tenant {slug} is in cell {to}" + (f", it was in {moved.was}" if moved.was != to else " already"))
    if moved.sends or moved.replays:
        say(f"handed over: {moved.sends} mails that are to leave, {moved.replays} replays")
    for cell in dict.fromkeys((moved.was, to)):
        if cell not in moved.shown:
            say(f"the Airflow of cell {cell} could not be told: it reads its list of inboxes within five minutes")


def _to_installation(slug: str, to: str, installation: Path) -> None:
    from inboxops.composition import departing

    with opened() as world, opened(installation) as other:
        left = departing.leave(world, other, slug, to or other.cell, tell=say)
        say(f"tenant {slug} is in cell {left.cell} there: its people find it at {other.settings.api_url}")
    if not left.shown:
        say("the Airflow there could not be told: it reads its list of inboxes within five minutes")


def _stay(slug: str, installation: Path) -> None:
    from inboxops.composition import departing

    with opened() as world, opened(installation) as other:
        say(f"tenant {slug} stays in cell {departing.stay(world, other, slug)}")


@app.command("agents")
def agents(
    slug: Slug,
    agent: Annotated[list[str], typer.Argument(help="Addresses, or domains for everybody in them, e.g. acme.example.")],
) -> None:
    """Say who the tenant's people are, in place of whom was named before: of what they forward, the customer is who wrote first."""
    from inboxops.core.customer import agent_names

    with opened() as world:
        world.inboxes.set_agents(slug, agent_names(agent))
    say(f"tenant {slug}: {len(agent)} named")


@app.command("list")
def list_(limit: Limit = 50, json: Json = False) -> None:
    """Show all tenants."""
    with opened() as world:
        rows = world.inboxes.tenants()
    columns = ["slug", "name", "cell", "inboxes", "last_ticket_number"]
    listing("Tenants", {name: name for name in columns}, rows, limit=limit, json=json)
