"""What DAG files cost to parse, and what they say when the database is away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    "inboxops.wiring",
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
