"""How commands show what they found."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from inboxops.cli.show import table


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (None, ""),
        (3, "3"),
        (["a", "b"], "a, b"),
        ([{"part": "api", "mb": 90.5}], "part api, mb 90.5"),
        ("one\x1b[31m line\nor two", "one[31m lineor two"),
    ],
)
def test_whatever_a_cell_holds_is_told_in_one_line(cell: object, told: str) -> None:
    to = Console(file=io.StringIO(), width=80)
    table("Found", ["what"], [[cell]], to=to)
    assert isinstance(to.file, io.StringIO)
    shown = [line.strip(" │") for line in to.file.getvalue().splitlines()]
    assert told in shown
