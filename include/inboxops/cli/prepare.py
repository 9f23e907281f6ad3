"""inboxops prepare"""

from __future__ import annotations

import typer

from inboxops.cli.show import say
from inboxops.cli.world import opened


def register(app: typer.Typer) -> None:
    app.command()(prepare)


def prepare() -> None:
    """Make or bring up to date the application's tables, and make the bucket. May run again at any time."""
    from inboxops.db.migrate import migrate

    with opened() as world:
        migrate(world.database.dsn)
        world.objects.ensure_bucket()
    say("the tables and the bucket are there")
