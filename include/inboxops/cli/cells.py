"""inboxops cell ..."""

from __future__ import annotations

import typer

from inboxops.cli.show import Json, Limit, listing
from inboxops.cli.world import opened

app = typer.Typer(help="Cells: the Airflows that share the tenants of this installation.", no_args_is_help=True)


@app.command("list")
def list_(limit: Limit = 50, json: Json = False) -> None:
    """Show each cell: its tenants and inboxes, whether its tasks run, and which Airflow it is."""
    with opened() as world:
        rows = [
            {
                "cell": each.name,
                "tenants": each.tenants,
                "inboxes": each.inboxes,
                "pulse": each.beats.said,
                "looks": each.looks.said,
                "airflow": world.airflows.address(each.name)["url"]
                if each.name in world.airflows
                else "not known here",
            }
            for each in world.heart.cells()
        ]
    columns = ["cell", "tenants", "inboxes", "pulse", "looks", "airflow"]
    listing("Cells", {name: name for name in columns}, rows, limit=limit, json=json)
