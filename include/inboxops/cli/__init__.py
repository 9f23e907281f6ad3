"""The command line: `inboxops`."""

from __future__ import annotations

import sys

import typer

from inboxops.cli import stack
from inboxops.errors import InboxOpsError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
stack.register(app)


def main() -> None:
    try:
        app()
    except InboxOpsError as exc:
        print(f"error: {exc}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


