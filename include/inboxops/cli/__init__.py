"""The command line. Each file is one group of commands; heavy imports stand inside them, so that help comes at once.

Packages beside the product add commands of theirs by an entry point in the group `inboxops.commands`: a function that is
given the application and registers them.
"""

from __future__ import annotations

import io
import logging
import sys
from importlib.metadata import entry_points

import typer

from inboxops.cli import (
    add,
    canary,
    cells,
    certificate,
    connect,
    corrections,
    erase,
    explain,
    inbound,
    inboxes,
    keys,
    notify,
    prepare,
    pulse,
    push,
    replay,
    rules,
    secrets,
    settings,
    tenants,
    tickets,
    trace,
)
from inboxops.cores import leave_no_core
from inboxops.errors import InboxOpsError

app = typer.Typer(
    name="inboxops",
    help="Mailboxes in, tickets in PostgreSQL, replies out, run by Apache Airflow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help by Rich takes a quarter of a second more
    context_settings={"help_option_names": ["-h", "--help"]},
)
for joined in entry_points(group="inboxops.commands"):
    joined.load()(app)
for group in (prepare, pulse, settings, tickets, explain, erase, trace):
    group.register(app)
add.register(inboxes.app)
connect.register(inboxes.app)
push.register(inboxes.app)
tenants.app.command("erase")(erase.erase_tenant)
app.add_typer(tenants.app, name="tenant")
app.add_typer(cells.app, name="cell")
app.add_typer(inboxes.app, name="inbox")
app.add_typer(inbound.app, name="inbound")
app.add_typer(corrections.app, name="corrections")
app.add_typer(canary.app, name="canary")
app.add_typer(certificate.app, name="certificate")
app.add_typer(rules.app, name="rules")
app.add_typer(replay.app, name="replay")
app.add_typer(replay.upgrade, name="upgrade")
app.add_typer(keys.app, name="key")
app.add_typer(notify.app, name="notify")
app.command()(keys.login_link)
app.add_typer(secrets.app, name="secrets")


def main() -> None:
    """Run a command. An error of ours is one line on stderr that says what to do, and exit code 1."""
    leave_no_core()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # mail is in every script, and a terminal may know one
    logging.getLogger("psycopg.pool").addHandler(
        logging.NullHandler()
    )  # each try in vain; what it came to is our error
    try:
        app()
    except InboxOpsError as exc:
        typer.secho(f"error: {exc}", err=True, fg=typer.colors.RED)
        sys.exit(1)
