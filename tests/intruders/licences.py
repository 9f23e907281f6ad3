"""The licences of what a lock installs, as each package says itself, a line for each: part of `make sbom`."""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path


def licences(lock: Path) -> list[str]:
    """`name version: licence`, sorted. What says none says `unknown`; what belongs to another platform says so."""
    return sorted(
        f"{name} {version}: {_licence(name)}"
        for name, version in re.findall(r"^([\w.-]+)(?:\[.*?\])?==(\S+)", lock.read_text(), re.M)
    )


def _licence(name: str) -> str:
    try:
        said = metadata(name)
    except PackageNotFoundError:
        return "not installed on this platform"
    trove = [one.rpartition(" :: ")[2] for one in said.get_all("Classifier", []) if one.startswith("License ::")]
    text = (said.get("License") or "").strip().partition("\n")[0]
    return said.get("License-Expression") or ", ".join(trove) or text[:80] or "unknown"


if __name__ == "__main__":
    sys.stdout.write("\n".join(licences(Path(sys.argv[1]))) + "\n")
