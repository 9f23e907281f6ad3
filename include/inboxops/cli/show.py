"""How commands show what they found: one table style for people, JSON lines for machines.

Rich and msgspec are imported where they are used: help and short answers come without them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from inboxops.core.text import printable

if TYPE_CHECKING:
    from rich.console import Console


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


def json_lines(rows: Iterable[Any]) -> None:
    import msgspec

    for row in rows:
        sys.stdout.write(msgspec.json.encode(row).decode() + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if hasattr(value, "astimezone"):
        return str(value.astimezone().strftime("%Y-%m-%d %H:%M"))
    return printable(value)
