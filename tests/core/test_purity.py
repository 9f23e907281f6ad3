"""The core is pure: importing it brings in no framework, driver or client, and it touches neither clock nor environment."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import inboxops.core

CORE = Path(inboxops.core.__file__).parent
FORBIDDEN = [
    "airflow",
    "fastapi",
    "psycopg",
    "boto3",
    "redis",
    "imapclient",
    "googleapiclient",
    "msal",
    "httpx",
    "structlog",
    "sqlalchemy",
    "rich",
]
MODULES = ["mime", "classify", "thread", "ids", "attachments", "keys"]


def test_importing_the_core_brings_in_no_outside_world() -> None:
    code = f"import sys, importlib\nfor name in {MODULES}: importlib.import_module('inboxops.core.' + name)\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name.partition(".")[0] for name in loaded} & set(FORBIDDEN) == set()


@pytest.mark.parametrize("file", sorted(CORE.rglob("*.py")), ids=lambda file: str(file.relative_to(CORE)))
def test_no_module_asks_the_clock_or_the_environment(file: Path) -> None:
    asked = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    ]
    assert {"datetime.now", "datetime.utcnow", "time.time", "os.environ", "os.getenv"} & set(asked) == set()
