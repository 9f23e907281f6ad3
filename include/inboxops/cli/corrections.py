"""inboxops corrections ...: what people put right, taken back, and written out as labelled examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inboxops.cli.show import json_lines, say, table
from inboxops.cli.world import opened

app = typer.Typer(help="What people put right: list, take back, write out as examples.", no_args_is_help=True)
Tenant = Annotated[str, typer.Option(help="The tenant's short name.")]


@app.command("list")
def list_(
    tenant: Tenant,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show what was put right, by whom and when."""
    with opened() as world:
        rows = world.corrections.listed(world.inboxes.tenant_id(tenant), limit=limit)
    if json:
        json_lines(rows)
        return
    columns = [
        "id",
        "kind",
        "ticket_number",
        "to_ticket_number",
        "message_id",
        "inbound_id",
        "made_by",
        "made_at",
        "undone_by",
    ]
    titles = ["no", "what", "ticket", "to", "message", "inbound", "by", "when", "taken back by"]
    table("Corrections", titles, ([row[c] for c in columns] for row in rows))


@app.command()
def undo(
    number: Annotated[int, typer.Argument(help="The number that `corrections list` shows.")],
    tenant: Tenant,
    name: Annotated[str, typer.Option("--by", help="Who takes it back.")] = "operator",
) -> None:
    """Take a correction back."""
    from inboxops.composition import correcting

    with opened() as world:
        done = correcting.undo(world, world.inboxes.tenant_id(tenant), number, by=name)
    say(f"correction {number} ({done['kind']}) is taken back")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where `labels.jsonl` is written; made when it isn't there.")],
    tenant: Tenant,
    personal: Annotated[
        bool, typer.Option("--personal", help="With the mails themselves (.eml) and the customers' addresses.")
    ] = False,
) -> None:
    """Write what stands as labelled mails, one JSON object a line: examples of what a rule got wrong."""
    import msgspec

    from inboxops.composition import correcting, intake
    from inboxops.core.corrections import example

    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with opened() as world, (folder / "labels.jsonl").open("wb") as labels:
        for row in correcting.examples(world, world.inboxes.tenant_id(tenant)):
            if row["inbound_state"] is None:  # deleted for good meanwhile
                continue
            label = example(row, personal=personal)
            if personal:
                (folder / label["path"]).write_bytes(intake.raw_mail(world, row["inbound_id"]))
            labels.write(msgspec.json.encode(label) + b"\n")
            count += 1
    say(f"{count} labelled mails in {folder}{'' if personal else ', without the mails: --personal adds them'}")
