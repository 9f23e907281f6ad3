"""inboxops secrets ...: the keys that seal credentials, wherever the installation runs."""

from __future__ import annotations

import typer

from inboxops.cli.show import say
from inboxops.cli.world import opened

app = typer.Typer(help="Keys that seal the inboxes' credentials.", no_args_is_help=True)


@app.command()
def generate() -> None:
    """Print a new key, to be put in front of INBOXOPS_CREDENTIAL_KEYS."""
    from cryptography.fernet import Fernet

    say(Fernet.generate_key().decode())


@app.command()
def rotate() -> None:
    """Seal all credentials again with the first key of INBOXOPS_CREDENTIAL_KEYS; the others can be dropped then."""
    from inboxops.composition import upkeep

    with opened() as world:
        done = upkeep.reseal(world)
    say(f"{done.inboxes} inboxes' credentials and {done.webhooks} webhooks' secrets sealed with the first key")
