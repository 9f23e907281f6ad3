"""The product's wheel stands alone: installed in an empty environment it works without what runs it here or measures it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
OTHERS = ("inboxops_local", "inboxops_lab")


def run(*argv: str | Path, cwd: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("INBOXOPS_", "VIRTUAL_ENV"))}
    done = subprocess.run(list(map(str, argv)), cwd=cwd, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel and what it depends on, at the versions of the lock."""
    folder = tmp_path_factory.mktemp("wheel")
    run(UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("inboxops-*.whl")
    run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    run(
        *(UV, "pip", "install", "--quiet", "--python", python, "--constraint", ROOT / "requirements.txt", wheel),
        cwd=folder,
    )
    return python.parent


def test_its_help_names_the_products_commands_and_no_others(installed: Path, tmp_path: Path) -> None:
    shown = run(installed / "inboxops", "--help", cwd=tmp_path).partition("Commands:")[2]
    commands = {line.split()[0] for line in shown.splitlines() if line.strip()}
    assert {"explain", "inbox", "tickets", "prepare"} <= commands
    assert not {"up", "down", "bench", "stand-in"} & commands


def test_it_says_what_a_mail_is(installed: Path, tmp_path: Path) -> None:
    mail = ROOT / "tests" / "corpus" / "abuse-report.eml"
    assert "complaint" in run(installed / "inboxops", "explain", mail, cwd=tmp_path)


def test_it_brings_no_other_package_and_no_airflow(installed: Path, tmp_path: Path) -> None:
    code = f"from importlib.util import find_spec; print([n for n in {(*OTHERS, 'airflow')} if find_spec(n)])"
    assert run(installed / "python", "-c", code, cwd=tmp_path).strip() == "[]"


def test_the_product_names_the_other_packages_nowhere() -> None:
    """Import-linter holds the imports, these the ones made of strings."""
    files = [path for room in ("include/inboxops", "plugins", "api", "dags") for path in (ROOT / room).rglob("*.py")]
    named = [str(path) for path in files if any(other in path.read_text("utf-8") for other in OTHERS)]
    assert files
    assert named == []
