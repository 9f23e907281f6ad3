"""inboxops erase, inboxops tenant erase: what goes for good."""

from __future__ import annotations

from typing import Annotated

import typer

from inboxops.cli.arguments import Slug, Tenant, Yes
from inboxops.cli.show import say, table
from inboxops.cli.world import opened


def register(app: typer.Typer) -> None:
    app.command()(erase)


def erase(
    address: Annotated[str, typer.Argument(help="The customer's e-mail address.")],
    tenant: Tenant,
    name: Annotated[str, typer.Option("--by", help="Who erases; kept with the record of it.")] = "operator",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what there is.")] = False,
    yes: Yes = False,
) -> None:
    """Erase for good what a customer wrote and what was written to nobody else: rows, raw mail, files. Not in the mailbox."""
    from inboxops.composition import erasing

    with opened() as world:
        tenant_id = world.inboxes.tenant_id(tenant)
        found = erasing.found(world, tenant_id, address)
        there = {
            "messages": found.messages,
            "raw mails": found.frames,
            "files": found.files,
            "whole tickets": found.tickets,
        }
        table("Found", ["", ""], ((name, len(each)) for name, each in there.items()))
        if not dry_run:
            if not yes and not typer.confirm(f"Erase all of it for good? {address}"):
                raise typer.Exit(1)
            done = erasing.erase(world, tenant_id, address, by=name)
            counted = (
                (name, getattr(done, name)) for name in ("messages", "mails", "files", "tickets", "tickets_kept")
            )
            table("Erased", ["", ""], counted)
    if found.mentioned_in:
        say(
            f"Others name {address} in ticket {', '.join(f'#{number}' for number in found.mentioned_in)}: look there yourself."
        )
    if found.rules:
        say(f"Mail rules name {address}: {', '.join(found.rules)}. Change or remove them, then run this again.")
    if found.being_read:
        say(f"{found.being_read} mails of the tenant are being read just now: run this again when they are filed.")
    if found.unreadable:
        say(
            f"{found.unreadable} parked mails of the tenant could not be read, so nobody knows whose they are: look at them"
            f" (`inboxops inbound list --tenant {tenant} --state parked`), then run this again."
        )
    if not dry_run:
        say("The mailbox itself, backups and S3 versions still have it: docs/operations.md says what to do there.")


def erase_tenant(slug: Slug, yes: Yes = False) -> None:
    """Erase a tenant for good: inboxes, tickets, keys, raw mail, files. Consents are taken back; mailboxes are not touched."""
    from inboxops.cli.add import appear
    from inboxops.composition import erasing

    with opened() as world:
        cell = world.inboxes.cell_of(world.inboxes.tenant_id(slug))
        if not yes and typer.prompt("This can't be undone. Type the tenant's short name") != slug:
            raise typer.Exit(1)
        table("Erased", ["", ""], erasing.erase_tenant(world, slug).items())
        appear(world, cell)
