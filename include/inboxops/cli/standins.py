"""inboxops stand-in gmail|graph"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from inboxops.cli.show import console


class Kind(StrEnum):
    gmail = "gmail"
    graph = "graph"


def register(app: typer.Typer) -> None:
    app.command("stand-in")(stand_in)


def stand_in(
    kind: Annotated[Kind, typer.Argument(help="Whose servers to stand in for.")],
    port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1; 0 takes a free one.")] = 0,
    user: Annotated[list[str] | None, typer.Option(help="Address of an account; may be given more than once.")] = None,
    ask: Annotated[bool, typer.Option("--ask", help="Show the consent page instead of answering it.")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Where the certificate is kept; by default in INBOXOPS_HOME.")
    ] = None,
) -> None:
    """Serve a Gmail or Microsoft 365 of our own, with mailboxes in memory, until interrupted.

    Prints the settings that make this installation use it. `POST /_admin/messages?to=ADDRESS` delivers a mail to it.
    """
    from inboxops.settings import home
    from inboxops.standins.client import settings_for
    from inboxops.standins.running import run

    serving = run(kind.value, port=port, users=user or [], ask=ask, folder=folder or home() / "standins")
    console.print(f"listening on {serving.url}; these settings use it:", markup=False)
    for name, value in settings_for(kind.value, serving.url, serving.ca_file).items():
        typer.echo(f"{name}={value}")
    try:
        serving.wait()
    except KeyboardInterrupt:
        serving.stop()
