"""inboxops explain"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(explain)


def explain(
    paths: Annotated[list[Path], typer.Argument(help="Mail files, or folders that hold some.", exists=True)],
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object a message.")] = False,
) -> None:
    """Say what mail files are and why, offline: parse, verdict, rule and evidence."""
    from inboxops.stories.explain import run

    raise typer.Exit(run(paths, jsonl=jsonl))
