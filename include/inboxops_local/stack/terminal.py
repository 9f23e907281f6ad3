"""`inboxops up`, `down`, `status`, `doctor`, `backup` and `restore` at work: what they do and show on a terminal."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text

from inboxops import settings
from inboxops.errors import InvalidInput, OperatorError
from inboxops_local.stack import launch
from inboxops_local.stack.airflow import ADMIN
from inboxops_local.stack.home import GENERATED, Home, read_env
from inboxops_local.stack.layout import Layout, command
from inboxops_local.stack.lock import held
from inboxops_local.stack.ports import Ports
from inboxops_local.stack.record import Record
from inboxops_local.stack.show import SETTLED, Progress, mail_moves, status_table
from inboxops_local.stack.spawn import open_log
from inboxops_local.stack.watch import LOG

console = Console(markup=False)
"""Paths and what servers say are data: nothing in them is read as markup."""


def up(*, detach: bool, demo: bool, celery: bool, services_only: bool, missed: str | None) -> None:
    """Start everything and stay in front until Ctrl-C, or go to the background once it is ready.

    missed: None for who has a terminal; else when the supervisor of a stack in the background was killed, "" for never.
    """
    home = Home(settings.home())
    shape = ("--demo" if demo else "--no-demo", f"--only={'services' if services_only else 'all'}")
    in_background = command("up", *shape, *(["--celery"] if celery else []), "--missed")
    if detach:
        _in_background(home, *in_background, "")
        return

    async def then(layout: Layout) -> None:
        with suppress(OSError):  # a terminal that was closed, or a log on a full disk: what runs goes on
            progress.finish()
            if not services_only:
                if demo:
                    await _demonstrate(layout)
                _print_addresses(layout.home)
            console.print("Ctrl-C stops everything.", style="dim")

    with Progress(console) as progress:
        choose = launch.services if services_only else partial(launch.whole, demo=demo, celery=celery)
        again = () if missed is None else in_background
        asyncio.run(
            launch.run(home, Ports(), progress.heard, choose=choose, then=then, again=again, missed=missed or "")
        )
    console.print("Stopped.")


async def _demonstrate(layout: Layout) -> None:
    """The demonstration is a process of its own, so that what it imports goes away with it."""
    child = await asyncio.create_subprocess_exec(*layout.python("inboxops_local.demo"), env=layout.environment())
    try:
        if await child.wait() != 0:
            console.print("The demonstration did not work; the stack runs on.", style="yellow")
    finally:
        if child.returncode is None:
            child.terminate()
            await child.wait()


def _in_background(home: Home, *arguments: str) -> None:
    launch.tidy(home)
    home.make()
    log = home.path / LOG
    with os.fdopen(open_log(log), "ab") as file:
        before = log.stat().st_size
        child = subprocess.Popen(
            arguments,
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
    said = log.read_bytes()[before:].decode(errors="replace").strip().splitlines() or [f"it said nothing (log: {log})"]
    raise OperatorError(said[-1].removeprefix("error: "))


def down() -> None:
    with console.status("stopping"):
        stopped = launch.down(Home(settings.home()))
    console.print("Stopped." if stopped else "Nothing was running.")


def status() -> bool:
    """Show how the parts are, and the pulse where there is one; whether mail goes its way."""
    home = Home(settings.home())
    record = Record.read(home.record)
    if record is None or not held(home.lock):
        raise OperatorError(f"nothing is running in {home.path}", fix="Start it with `inboxops up`")
    console.print(status_table(record))
    if record.missed:
        console.print(f"The supervisor was killed at {record.missed}; all of it was started again.")
    if record.trouble:
        console.print(record.trouble, highlight=False, soft_wrap=True)
    for name, part in record.parts.items():
        if part.state not in SETTLED:
            console.print(f"{name}: {part.state} {part.detail}", highlight=False, soft_wrap=True)
        if part.why:
            console.print(f"{name} was restarted at {part.why}", highlight=False, soft_wrap=True)
    if "api" not in record.parts:
        return True
    well, said = mail_moves(Ports(base=record.port_base))
    for line in said:
        console.print(line, highlight=False, soft_wrap=True)
    return well


def doctor() -> bool:
    """Show how every part is; whether all is well."""
    from inboxops_local.stack.doctor import examine  # clients of everything: only this command shall carry them

    findings = examine(Home(settings.home()))
    for finding in findings:
        sign = ("✓", "green") if finding.well else ("✗", "red")
        console.print(Text.assemble(sign, f" {finding.part}: {finding.said}"), soft_wrap=True)
        if not finding.well:
            console.print(f"    {finding.fix}", highlight=False, soft_wrap=True)
    return all(finding.well for finding in findings)


def backup(path: Path) -> None:
    from inboxops_local.stack.backup import backup  # clients of everything

    saved = backup(Home(settings.home()), path.absolute())
    console.print(
        f"{path}: {saved.size_bytes / 1e6:.1f} MB with {saved.objects} objects. It holds every secret.", highlight=False
    )


def restore(path: Path) -> None:
    from inboxops_local.stack.backup import restore

    home = Home(settings.home())
    with Progress(console) as progress:
        count = restore(home, Ports(), path.absolute(), progress.heard)
    console.print(f"{home.path} is made, with {count} objects. `inboxops up` goes on.", highlight=False, soft_wrap=True)


def rotate(
    names: Sequence[str], *, all_: bool, forget: bool, reload: bool, env_file: Path | None, finish: bool
) -> None:
    from inboxops_local.stack import rotation  # clients of everything

    if not (names or all_ or reload or finish):
        for name in rotation.KNOWN:
            console.print(name, highlight=False)
        return
    if env_file is not None:
        chosen = (set(GENERATED) & set(read_env(env_file))) - {"STACK_POSTGRES_PASSWORD"} if all_ else names
        done = rotation.rotate_file(env_file, chosen, forget=forget, finish=finish)
    elif finish:
        raise InvalidInput("--finish goes with --env-file", fix="The local stack does that by itself")
    else:
        with console.status("renewing"):
            done = rotation.rotate(Home(settings.home()), GENERATED if all_ else names, forget=forget)
    console.print(f"new: {', '.join(done.names)}" if done.names else "Read again.", highlight=False, soft_wrap=True)


def _print_addresses(home: Home) -> None:
    kept = read_env(home.env_file)
    login = f"user {ADMIN}, password {kept['STACK_AIRFLOW_ADMIN_PASSWORD']}"
    console.print()
    for line in (
        f"Airflow  {kept['INBOXOPS_AIRFLOW_URL']}   {login}",
        f"Tickets  {kept['INBOXOPS_API_URL']}/   log in by a link: `inboxops login-link --tenant NAME`",
        f"API      {kept['INBOXOPS_API_URL']}/openapi.json",
        f"Folder   {home.path}   (data and logs; all secrets in {home.env_file.name})",
    ):
        console.print(line, highlight=False, soft_wrap=True)
