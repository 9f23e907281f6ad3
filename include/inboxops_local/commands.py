"""The commands of this package, which join the product's command line: the local stack and the stand-ins.

What they do stands in `stack/` and `standins/` and is imported when one of them runs, so that help comes at once.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Only(StrEnum):
    all = "all"
    services = "services"


class Kind(StrEnum):
    gmail = "gmail"
    graph = "graph"


def register(app: typer.Typer) -> None:
    """The entry point in the group `inboxops.commands`."""
    for each in (up, down, status, doctor, backup, restore, rotate):
        app.command()(each)
    app.command("stand-in")(stand_in)


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background; `inboxops down` stops it.")] = False,
    demo: Annotated[bool, typer.Option(help="Import the demonstration mailbox and show what became of it.")] = True,
    celery: Annotated[
        bool, typer.Option("--celery", help="Run tasks in two Celery workers, with two schedulers and two triggerers.")
    ] = False,
    only: Annotated[Only, typer.Option(help="services: PostgreSQL, Valkey and the S3 server alone.")] = Only.all,
    missed: Annotated[
        str | None, typer.Option(hidden=True, help="In the background: when the supervisor before was killed.")
    ] = None,
) -> None:
    """Start everything on this machine, wait until it is ready, and stay in front until Ctrl-C.

    Data, logs and generated secrets are in $INBOXOPS_HOME (.inboxops by default). The ports are 16 in a row from
    $INBOXOPS_PORT_BASE on (8080).
    """
    from inboxops_local.stack import terminal

    terminal.up(detach=detach, demo=demo, celery=celery, services_only=only is Only.services, missed=missed)


def down() -> None:
    """Stop everything that `up` started, in the background or in front."""
    from inboxops_local.stack import terminal

    terminal.down()


def status() -> None:
    """Show the parts, their processes, ports and memory, and the pulse. Ends with 1 when mail stands still or that is not known."""
    from inboxops_local.stack import terminal

    if not terminal.status():
        raise typer.Exit(1)


def doctor() -> None:
    """Look at every part: is it reachable, which version, what to do if not. Ends with 1 when something is wrong."""
    from inboxops_local.stack import terminal

    if not terminal.doctor():
        raise typer.Exit(1)


def backup(file: Annotated[Path, typer.Argument(help="Where to; it holds every secret, keep it like one.")]) -> None:
    """Write database, objects and keys of the running local stack into one file."""
    from inboxops_local.stack import terminal

    terminal.backup(file)


def restore(file: Annotated[Path, typer.Argument(help="What `inboxops backup FILE` wrote.")]) -> None:
    """Make a new $INBOXOPS_HOME from a backup; `inboxops up` goes on from there."""
    from inboxops_local.stack import terminal

    terminal.restore(file)


def rotate(
    name: Annotated[list[str] | None, typer.Argument(help="Secrets as inboxops.env names them.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every secret that this installation made.")] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="The old ones leaked: what they signed counts no more.")
    ] = False,
    reload: Annotated[bool, typer.Option("--reload", help="Only have the stack read inboxops.env again.")] = False,
    env_file: Annotated[
        Path | None, typer.Option(help="Renew them in this file, as Compose reads one, and restart nothing.")
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="With --env-file: drop old keys once everything was sealed anew.")
    ] = False,
) -> None:
    """Give the running local stack new secrets; without a name list those there are. docs/operations.md says what each costs."""
    from inboxops_local.stack import terminal

    terminal.rotate(name or [], all_=all_, forget=forget, reload=reload, env_file=env_file, finish=finish)


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
    from inboxops_local.ending import end_in_order
    from inboxops_local.standins.client import settings_for
    from inboxops_local.standins.running import run

    end_in_order()
    serving = run(kind.value, port=port, users=user or [], ask=ask, folder=folder or home() / "standins")
    with serving:
        typer.echo(f"listening on {serving.url}; these settings use it:")
        for name, value in settings_for(kind.value, serving.url, serving.ca_file).items():
            typer.echo(f"{name}={value}")
        serving.wait()
