"""What several commands are told in the same way."""

from __future__ import annotations

from typing import Annotated

import typer

Tenant = Annotated[str, typer.Option(help="The tenant's short name.")]
Slug = Annotated[str, typer.Argument(help="The tenant's short name.")]
InboxName = Annotated[str, typer.Argument(help="The inbox's name or e-mail address.")]
TenantOfName = Annotated[
    str | None, typer.Option("--tenant", help="The tenant's short name; needed only when a name is not unique.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]

BY = "the command line"
"""Who did what a command did, where nobody says more."""
