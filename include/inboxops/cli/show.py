"""How commands show what they found: one table style for people, JSON lines for machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

console = Console()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, to: Console = console) -> None:
    """Cells are data: nothing in them is read as markup."""
    shown = Table(title=title, title_justify="left", title_style="bold", header_style="bold", expand=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(_cell(cell)) for cell in row))
    to.print(shown)


def json_lines(rows: Iterable[Any]) -> None:
    for row in rows:
        console.file.write(msgspec.json.encode(row).decode() + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if hasattr(value, "astimezone"):
        return str(value.astimezone().strftime("%Y-%m-%d %H:%M"))
    return "".join(char for char in str(value) if char.isprintable())
