"""inboxops corrections ...: what people put right, taken back, and written out as labelled examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from inboxops.cli.arguments import Tenant
from inboxops.cli.show import Json, Limit, listing, say
from inboxops.cli.world import opened
from inboxops.errors import InvalidInput

app = typer.Typer(help="What people put right: list, take back, write out as examples.", no_args_is_help=True)


@app.command("list")
def list_(
    tenant: Tenant,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Show what was put right, by whom and when."""
    with opened() as world:
        rows = world.corrections.listed(world.inboxes.tenant_id(tenant), limit=limit + 1)
    columns = {
        "no": "id",
        "what": "kind",
        "ticket": "ticket_number",
        "to": "to_ticket_number",
        "message": "message_id",
        "inbound": "inbound_id",
        "by": "made_by",
        "when": "made_at",
        "taken back by": "undone_by",
    }
    listing("Corrections", columns, rows, limit=limit, json=json)


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

    count = 0
    with opened(asked_for=tenant) as world, _file_in(folder) as labels:
        for row in correcting.examples(world, world.inboxes.tenant_id(tenant)):
            if row["inbound_state"] is None:  # deleted for good meanwhile
                continue
            label = example(row, personal=personal)
            if personal:
                (folder / label["path"]).write_bytes(intake.raw_mail(world, row["inbound_id"]))
            labels.write(msgspec.json.encode(label) + b"\n")
            count += 1
    say(f"{count} labelled mails in {folder}{'' if personal else ', without the mails: --personal adds them'}")


def _file_in(folder: Path) -> BinaryIO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / "labels.jsonl").open("wb")
    except OSError as exc:
        raise InvalidInput(f"{folder} can't be written to: {exc}", fix="Name another folder") from exc
