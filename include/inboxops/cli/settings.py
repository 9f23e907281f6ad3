"""inboxops settings"""

from __future__ import annotations

from typing import Annotated

import typer

from inboxops.cli.show import json_lines, table


def register(app: typer.Typer) -> None:
    app.command()(settings)


def settings(json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False) -> None:
    """Show every setting: its value (secrets cut), where it came from, and what it is for."""
    from dataclasses import asdict

    from inboxops.settings import load, told

    found = told(load())
    if json:
        json_lines(asdict(one) for one in found)
        return
    table("Settings", ["name", "value", "from", "what for"], ([o.name, o.value, o.source, o.meaning] for o in found))
