"""What every part is built from: the folder, the ports, the secrets, and where the code is."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import inboxops
from inboxops.errors import OperatorError
from inboxops_local.stack.home import OURS, Home, Secrets
from inboxops_local.stack.ports import Ports


@dataclass(frozen=True, slots=True)
class Layout:
    home: Home
    ports: Ports
    secrets: Secrets

    def environment(self, **more: str) -> dict[str, str]:
        """Our environment for a child, with this home. What it says of InboxOps goes on: it wins over the file.

        The secrets stay in the file, where `settings.load` finds them; a child's environment is easier to look into.
        """
        ours = {
            name: value
            for name, value in os.environ.items()
            if name not in OURS and not name.startswith(("AIRFLOW_", "STACK_"))
        }
        ours.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled once, imported by a dozen processes
        ours["PYTHONNODEBUGRANGES"] = "1"  # column positions in tracebacks: 25 MB over all processes
        direct = ",".join(filter(None, (ours.get("no_proxy") or ours.get("NO_PROXY"), "127.0.0.1", "localhost")))
        ours |= {"NO_PROXY": direct, "no_proxy": direct}  # a proxy knows nothing of our loopback
        return {**ours, "INBOXOPS_HOME": str(self.home.path), "INBOXOPS_PORT_BASE": str(self.ports.base), **more}

    def made_of(self, *prefixes: str) -> str:
        """A digest of the secrets and settings whose names begin so."""
        chosen = sorted((name, value) for name, value in self.secrets.values.items() if name.startswith(prefixes))
        return hashlib.sha256(repr(chosen).encode()).hexdigest()

    def python(self, module: str, *arguments: str) -> tuple[str, ...]:
        return (sys.executable, "-m", module, *arguments)


def command(*arguments: str) -> list[str]:
    """The argument list that runs our own command line."""
    return [sys.executable, "-m", "inboxops.cli", *arguments]


def checkout() -> Path:
    """The folder that holds `dags/`, `plugins/` and `api/`.

    Raises OperatorError when the project is not installed from a checkout (`pip install -e .`).
    """
    root = Path(inboxops.__file__).resolve().parents[2]
    missing = [name for name in ("dags", "plugins", "api") if not (root / name).is_dir()]
    if missing:
        raise OperatorError(
            f"no folder {', '.join(missing)} beside the installed package in {root}",
            fix="The local stack runs from a checkout: install it there with `pip install --no-deps -e .`",
        )
    return root
