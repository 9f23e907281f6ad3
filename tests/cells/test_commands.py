"""Cells on the command line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cells.conftest import Cells
from tests.cli.test_inbox_commands import Shell


def test_a_tenant_is_moved_and_shown_where_it_is(two: Cells, tmp_path: Path) -> None:
    shell = Shell(two.main.world.settings, tmp_path)
    two.mailbox()
    listed = {row["cell"]: row for row in map(json.loads, shell("cell", "list", "--json").stdout.splitlines())}
    assert listed["main"]["inboxes"] >= 1
    assert "a task ran" in listed["b"]["pulse"]
    assert listed["b"]["airflow"] == two.b.serving.url

    moved = shell("tenant", "move", two.tenant, "--to", "b")
    assert moved.returncode == 0, moved.stderr
    assert f"tenant {two.tenant} is in cell b, it was in main" in moved.stdout
    assert "the Airflow of cell main could not be told" in moved.stdout, "the shell knows that one by a dead address"
    tenants = {
        row["slug"]: row["cell"] for row in map(json.loads, shell("tenant", "list", "--json").stdout.splitlines())
    }
    assert tenants[two.tenant] == "b"
    assert "already" in shell("tenant", "move", two.tenant, "--to", "b").stdout

    refused = shell("tenant", "move", two.tenant, "--to", "nowhere")
    assert refused.returncode == 1
    assert "no Airflow works in cell 'nowhere'" in refused.stderr
    assert "INBOXOPS_CELL=nowhere" in refused.stderr


def test_doctor_says_whose_airflow_an_address_is(two: Cells, tmp_path: Path) -> None:
    shell = Shell(two.main.world.settings, tmp_path)
    wrong = "is that of cell main, and taken for that of b"
    assert wrong not in " ".join(shell("doctor").stdout.split())
    two.b.airflow.cell = "main"
    assert wrong in " ".join(shell("doctor").stdout.split())


def test_a_tenant_is_made_in_a_cell(two: Cells, tmp_path: Path) -> None:
    shell = Shell(two.b.world.settings, tmp_path)
    assert shell("tenant", "add", f"{two.tenant}-b").returncode == 0
    assert shell("tenant", "add", f"{two.tenant}-m", "--cell", "main").returncode == 0
    assert "there is no cell" in shell("tenant", "add", f"{two.tenant}-x", "--cell", "typo").stderr
    tenants = {
        row["slug"]: row["cell"] for row in map(json.loads, shell("tenant", "list", "--json").stdout.splitlines())
    }
    assert (tenants[f"{two.tenant}-b"], tenants[f"{two.tenant}-m"]) == ("b", "main")
