"""inboxops prepare"""

from __future__ import annotations

from typing import Annotated

import typer

from inboxops.cli.show import say
from inboxops.cli.world import opened
from inboxops.core.installations import RANGES


def register(app: typer.Typer) -> None:
    app.command()(prepare)


def prepare(
    log_bucket: Annotated[str, typer.Option(help="Make this bucket, too: for Airflow's task logs.")] = "",
    id_range: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=RANGES,
            help="Give out ids of this range: one for each database between which tenants move, 0 unless it is said.",
        ),
    ] = None,
) -> None:
    """Make or bring up to date the application's tables, and make the bucket. May run again at any time."""
    from inboxops.db.migrate import migrate

    with opened() as world:
        migrate(world.settings.owner_dsn, id_range=id_range)
        world.objects.ensure_bucket()
        if log_bucket:
            world.new_objects(log_bucket).ensure_bucket()
    say("the tables and the bucket are there")
