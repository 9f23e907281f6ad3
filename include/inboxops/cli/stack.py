"""`inboxops up`, `down`, `status`, `doctor`: the local stack from the command line."""

from __future__ import annotations

import asyncio
import subprocess
import time
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer
from rich.console import Console

from inboxops import settings
from inboxops.errors import OperatorError
from inboxops.settings import Ports
from inboxops.stack import launch
from inboxops.stack.home import Home, read_env
from inboxops.stack.layout import Layout, command
from inboxops.stack.record import Record, held
from inboxops.stack.show import SETTLED, Progress, status_table

console = Console()


class Only(StrEnum):
    ALL = "all"
    SERVICES = "services"


def register(app: typer.Typer) -> None:
    for each in (up, down, status, doctor):
        app.command()(each)


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background; `inboxops down` stops it.")] = False,
    demo: Annotated[bool, typer.Option(help="Import the demonstration mailbox and show what became of it.")] = True,
    only: Annotated[Only, typer.Option(help="services: PostgreSQL, Valkey and the S3 server alone.")] = Only.ALL,
) -> None:
    """Start everything on this machine, wait until it is ready, and stay in front until Ctrl-C.

    Data, logs and generated secrets are in $INBOXOPS_HOME (.inboxops by default). The ports are 16 in a row from
    $INBOXOPS_PORT_BASE on (8080).
    """
    home = Home(settings.home())
    if detach:
        _in_background(home, "--demo" if demo else "--no-demo", f"--only={only}")
        return

    async def then(layout: Layout) -> None:
        progress.finish()
        if only is Only.ALL:
            if demo:
                await _demonstrate(layout)
            _print_addresses(layout.home)
        console.print("Ctrl-C stops everything.", style="dim")

    with Progress(console) as progress:
        choose = launch.services if only is Only.SERVICES else partial(launch.whole, demo=demo)
        asyncio.run(launch.run(home, Ports(), progress.heard, choose=choose, then=then))
    console.print("Stopped.")


async def _demonstrate(layout: Layout) -> None:
    """The demonstration is a process of its own, so that what it imports goes away with it."""
    child = await asyncio.create_subprocess_exec(*layout.python("inboxops.demo"), env=layout.environment())
    try:
        if await child.wait() != 0:
            console.print("The demonstration did not work; the stack runs on.", style="yellow")
    finally:
        if child.returncode is None:
            child.terminate()
            await child.wait()


def _in_background(home: Home, *options: str) -> None:
    launch.tidy(home)
    home.make()
    log = home.path / "up.log"
    with log.open("w") as file:
        child = subprocess.Popen(
            command("up", *options),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    with console.status("starting"):
        while child.poll() is None:
            record = Record.read(home.record)
            if record and record.supervisor.pid == child.pid and record.all_in(SETTLED):
                _print_addresses(home)
                return
            time.sleep(0.2)
    said = log.read_text().strip().splitlines() or [f"it said nothing (log: {log})"]
    raise OperatorError(said[-1].removeprefix("error: "))


def down() -> None:
    """Stop everything that `up` started, in the background or in front."""
    with console.status("stopping"):
        stopped = launch.down(Home(settings.home()))
    console.print("Stopped." if stopped else "Nothing was running.")


def status() -> None:
    """Show the parts, their processes, ports and memory."""
    home = Home(settings.home())
    record = Record.read(home.record)
    if record is None or not held(home.lock):
        raise OperatorError(f"nothing is running in {home.path}", fix="Start it with `inboxops up`")
    console.print(status_table(record))
    for name, part in record.parts.items():
        if part.state not in SETTLED:
            console.print(f"{name}: {part.state} {part.detail}", markup=False, highlight=False, soft_wrap=True)


def doctor() -> None:
    """Look at every part: is it reachable, which version, what to do if not. Ends with 1 when something is wrong."""
    from inboxops.stack.doctor import examine  # clients of everything: only this command shall carry them

    findings = examine(Home(settings.home()))
    for finding in findings:
        sign = "[green]✓[/]" if finding.well else "[red]✗[/]"
        console.print(f"{sign} {finding.part}: {finding.said}", highlight=False, soft_wrap=True)
        if not finding.well:
            console.print(f"    {finding.fix}", highlight=False, soft_wrap=True)
    if not all(finding.well for finding in findings):
        raise typer.Exit(1)


def _print_addresses(home: Home) -> None:
    kept = read_env(home.env_file)
    login = f"user {kept['INBOXOPS_AIRFLOW_USERNAME']}, password {kept['INBOXOPS_AIRFLOW_PASSWORD']}"
    console.print()
    for line in (
        f"Airflow  {kept['INBOXOPS_AIRFLOW_URL']}   {login}",
        f"Tickets  {kept['INBOXOPS_API_URL']}/   log in by a link: `inboxops login-link --tenant NAME`",
        f"API      {kept['INBOXOPS_API_URL']}/docs",
        f"Folder   {home.path}   (data and logs; all secrets in {home.env_file.name})",
    ):
        console.print(line, highlight=False, soft_wrap=True)
