"""How commands show what they found: one table style for people, JSON lines for machines.

Rich and msgspec are imported where they are used: help and short answers come without them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inboxops.core.text import printable

if TYPE_CHECKING:
    from rich.console import Console

Limit = Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, with every field.")]


def say(text: object) -> None:
    """A line for a person. What mail brought along stays text: control characters never reach the terminal."""
    typer.echo(printable(text))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, to: Console | None = None) -> None:
    """Cells are data: nothing in them is read as markup."""
    import rich
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=title, title_justify="left", title_style="bold", header_style="bold", expand=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(_cell(cell)) for cell in row))
    (to or rich.get_console()).print(shown)


def listing(
    title: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], *, limit: int, json: bool
) -> None:
    """A command's list, the newest first. columns: title -> key of the row. rows: one more than `limit` when there are more."""
    shown = rows[:limit]
    if json:
        json_lines(shown)
        return
    table(title, list(columns), ([row[key] for key in columns.values()] for row in shown))
    if len(rows) > limit:
        say(f"The newest {limit} are shown; --limit shows more.")


def json_lines(rows: Iterable[Any]) -> None:
    import msgspec

    for row in rows:
        sys.stdout.write(msgspec.json.encode(row).decode() + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if hasattr(value, "astimezone"):
        return str(value.astimezone().strftime("%Y-%m-%d %H:%M"))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(each)}" for name, each in value.items())
    return ", ".join(map(_cell, value)) if isinstance(value, list) else printable(value)
