"""inboxops pulse"""

from __future__ import annotations

import typer

from inboxops.cli.show import say
from inboxops.cli.world import opened


def register(app: typer.Typer) -> None:
    app.command()(pulse)


def pulse() -> None:
    """Say whether a mail can go its whole way now, and what keeps it if not. Ends with 1 when the pulse is late."""
    from inboxops.composition import upkeep

    with opened() as world:
        found = upkeep.pulse_state(world)
    say(found.said)
    if not found.well:
        raise typer.Exit(1)
