"""What several commands are told in the same way."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from inboxops.errors import InvalidInput

MOST_DAYS = 36_500
"""As the API has it: a hundred years, so that every day that is counted back is one."""

Tenant = Annotated[str, typer.Option(help="The tenant's short name.")]
Slug = Annotated[str, typer.Argument(help="The tenant's short name.")]
InboxName = Annotated[str, typer.Argument(help="The inbox's name or e-mail address.")]
OnlyTenant = Annotated[str | None, typer.Option("--tenant", help="Only this tenant's.")]
TenantOfName = Annotated[
    str | None, typer.Option("--tenant", help="The tenant's short name; needed only when a name is not unique.")
]
FirstSyncDays = Annotated[int, typer.Option(min=0, max=MOST_DAYS, help="Take in mail that is at most so old ...")]
FirstSyncMessages = Annotated[int, typer.Option(min=0, max=1_000_000, help="... and at most so many of the newest.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]

BY = "the command line"
"""Who did what a command did, where nobody says more."""


def one_line(text: str | None) -> str | None:
    """A name, as the API takes one. Raises BadParameter for line ends and other control characters."""
    if text and re.search(r"[\x00-\x1f\x7f]", text):
        raise typer.BadParameter("it holds a line end or another control character")
    return text


def text_in(file: Path) -> str:
    """What a file that was named holds. Raises InvalidInput."""
    try:
        return file.read_text("utf-8")
    except (OSError, ValueError) as exc:
        raise InvalidInput(f"{file} can't be read: {exc}", fix="Give a file of text in UTF-8") from exc
