"""What DAG files cost to parse, and what they say when the database is away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inboxops.composition.world import World

ROOT = Path(__file__).parents[1]
ADAPTERS = (
    "imapclient",
    "boto3",
    "botocore",
    "googleapiclient",
    "msal",
    "mailparser",
    "fastapi",
    "redis",
    "inboxops.composition.world",
)
DAGS = sorted(path.name for path in (ROOT / "dags").glob("*.py"))


def parse(name: str, tmp_path: Path, dsn: str = "postgresql://nobody@127.0.0.1:1/nothing") -> dict[str, object]:
    """The DAG ids that a file makes and the modules that it loads beyond those of `airflow.sdk` itself."""
    script = (
        "import json, runpy, sys; from airflow.sdk import DAG; before = set(sys.modules);"
        f"made = runpy.run_path({str(ROOT / 'dags' / name)!r});"
        "dags = sorted(d.dag_id for d in made.values() if isinstance(d, DAG));"
        "print(json.dumps({'dags': dags, 'modules': sorted(set(sys.modules) - before)}))"
    )
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW_CONN_INBOXOPS_DB": dsn,
    }
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", DAGS)
def test_parsing_loads_no_adapter(name: str, tmp_path: Path) -> None:
    modules = parse(name, tmp_path)["modules"]
    assert isinstance(modules, list)
    loaded = [m for m in modules if any(m == adapter or m.startswith(f"{adapter}.") for adapter in ADAPTERS)]
    assert not loaded


def test_when_the_database_is_away_the_dags_do_not_vanish(tmp_path: Path) -> None:
    known = {
        "inbox_id": 7,
        "dag_id": "inbox_7__acme__support",
        "tenant": "acme",
        "connection_type": "imap",
        "live": True,
    }
    (tmp_path / "inboxops_roster.json").write_text(json.dumps([known]))
    assert parse("inboxes.py", tmp_path)["dags"] == ["drain_outbox", "inbox_7__acme__support"]


def test_every_inbox_that_is_held_in_idle_is_watched(world: World) -> None:
    """Else its arrivals would reach nobody, while it is polled seldom because it is held."""
    world.inboxes.add_tenant("watched", "Watched")
    tenant_id = world.inboxes.tenant_id("watched")

    def add(name: str, kind: str, *, was_read: bool) -> int:
        id_ = world.inboxes.add(
            tenant_id=tenant_id, name=name, email_address=f"{name}@watched.example", display_name="", connection_type=kind,
            connection={}, credentials=world.vault.seal({}), first_sync_days=7, first_sync_messages=500,
        )  # fmt: skip
        assert id_ is not None
        if was_read:
            with world.database.transaction() as t:
                t.connection.execute(
                    "UPDATE inboxes SET imap_last_uid = 1, imap_uid_validity = 1 WHERE id = %s", (id_,)
                )
        return id_

    def watched(limit: int) -> set[int]:
        with world.database.transaction() as t:
            return {row["id"] for row in t.rows("roster", idle_inboxes=limit, cell="main") if row["watched"]}

    before = len(watched(100_000))
    unread = add("unread", "imap", was_read=False)
    add("cloud", "gmail", was_read=False)
    read, beyond = add("read", "imap", was_read=True), add("beyond", "imap", was_read=True)
    held = {row["id"] for row in world.inboxes.to_hold(cell="main", limit=before + 2)}
    assert held & {unread, read, beyond} == {read}
    assert watched(before + 2) & {unread, read, beyond} == {unread, read}
    assert held <= watched(before + 2)
    assert not watched(0)
