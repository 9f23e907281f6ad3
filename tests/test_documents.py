"""The documents name what is there: files of the architecture's drawings, links between pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = (ROOT, ROOT / "include", ROOT / "include" / "inboxops")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DRAWING = re.compile(r"^```\n(.*?)^```", re.DOTALL | re.MULTILINE)
PATH = re.compile(r"\b[\w/]+\.py\b")
LINK = re.compile(r"\]\(([^)#:]+)[^)]*\)")


def test_the_three_ways_name_files_that_are_there() -> None:
    ways = (ROOT / "docs" / "architecture.md").read_text("utf-8").split("## Three ways")[1].split("\n## ")[0]
    (drawing,) = DRAWING.findall(ways)
    missing, folder = [], ""
    named = PATH.findall(drawing)
    for name in named:
        full = name if "/" in name else f"{folder}/{name}"  # one in brackets stands beside the one before it
        folder = full.rpartition("/")[0]
        if not any((room / full).is_file() for room in ROOMS):
            missing.append(full)
    assert len(named) > 30
    assert missing == []


def test_every_file_of_the_composition_room_is_named_and_small() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    room = ROOT / "include" / "inboxops" / "composition"
    names = [path.stem for path in room.glob("*.py") if path.stem not in {"__init__", "forks"}]
    assert [name for name in names if name not in page] == []
    assert [path.name for path in room.glob("*.py") if len(path.read_text("utf-8").splitlines()) > 250] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text("utf-8")) if not link.startswith("http")]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_make_alone_says_what_there_is_to_make_and_does_nothing() -> None:
    # Not as a child of `make test`, whose flags have it say more.
    by_itself = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    said = subprocess.run(
        ["make"], cwd=ROOT, capture_output=True, text=True, check=True, env=by_itself
    ).stdout.splitlines()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert [line.split()[0] for line in said] == sorted(phony.split())
    assert [line for line in said if len(line.split()) < 3] == []


def test_the_site_is_built_without_a_warning_and_its_references_name_what_there_is(tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    built = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert (built.returncode, built.stderr) == (0, "")
    pages = {
        name: (site / "reference" / name / "index.html").read_text("utf-8")
        for name in ("settings", "commands", "api", "metrics")
    }
    assert "INBOXOPS_POLL_MINUTES" in pages["settings"]
    assert "inboxops inbox add" in pages["commands"]
    assert "/v1/tickets/{ticket_id}/replies" in pages["api"]
    assert "inboxops_pulse_age_seconds" in pages["metrics"]
