"""`make starts`: the README's first command where newcomers are: as root at home, as an ordinary user, in odd folders.

`starts.py [NAME ...]` runs the named situations, or all. Each is a fresh clone with a fresh environment: start, wait for the
demonstration's tickets, stop, and see that nothing is left. What a situation needs and this machine has not is said, and fails.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TICKETS = 29
SECONDS = 240.0


@dataclass(frozen=True)
class Situation:
    """folder: the clone's name, below a parent of `mode`. user: to be, where we are root. python: to make the environment with,
    a program or a version."""

    folder: str = "inboxops"
    mode: int = 0o755
    user: str = ""
    python: str = sys.executable
    umask: int = 0o022
    environment: Mapping[str, str] = field(default_factory=dict)
    files: int = 0  # `ulimit -n`, 0 leaves it
    before: Callable[[ExitStack], None] | None = None


def usual_ports(stack: ExitStack) -> None:
    """Somebody else's PostgreSQL and Redis answer on their usual ports: two installations of ours, with secrets of their own."""
    for base in (5432 - 2, 6379 - 3):
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="starts-others-"))) / "home"
        others = {**os.environ, "INBOXOPS_HOME": str(home), "INBOXOPS_PORT_BASE": str(base)}

        def inboxops(*arguments: str, others: Mapping[str, str] = others) -> None:
            subprocess.run(
                [sys.executable, "-m", "inboxops.cli", *arguments], env=others, check=True, capture_output=True
            )

        inboxops("up", "--detach", "--no-demo", "--only=services")
        stack.callback(inboxops, "down")


PROXY = {name: "http://127.0.0.1:9" for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")}
SITUATIONS = {
    "root-at-home": Situation(mode=0o700),
    "root-elsewhere": Situation(),
    "ordinary-user": Situation(user="nobody", python="/usr/bin/python3"),
    "odd-folder": Situation(folder="my süpport desk"),
    "empty-home": Situation(environment={"INBOXOPS_HOME": ""}),
    "few-files": Situation(files=256),
    "usual-ports-taken": Situation(before=usual_ports),
    "behind-a-proxy": Situation(environment=PROXY),
    "umask-077": Situation(umask=0o077),
    "python-3.12": Situation(python="3.12"),
    "python-3.13": Situation(python="3.13"),
}
BASE, PORTS = 27_080, 16
OURS = ("INBOXOPS_", "VIRTUAL_ENV", "MAKE", "MFLAGS")
"""How variables begin that a newcomer has not: of an installation, an environment, a `make` that runs us."""


def found(python: str) -> str:
    """The program; "" where this machine has none of that version. A shim of pyenv may stand for one that is not switched on."""
    if Path(python).exists():
        return python
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for program in (shutil.which(f"python{python}"), *versions.glob(f"{python}.*/bin/python")):
        if program and subprocess.run([program, "-c", ""], capture_output=True).returncode == 0:
            return str(program)
    return ""


def run(name: str) -> str:
    """ "" when it went well, else what was wrong."""
    wanted = SITUATIONS[name]
    python = found(wanted.python)
    if not python:
        return f"no Python {wanted.python} here"
    if name.startswith("root-") and os.geteuid() != 0:
        return "not root"
    with ExitStack() as stack:
        parent = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"starts-{name}-")))
        clone = parent / wanted.folder
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        user = pwd.getpwnam(wanted.user) if wanted.user and os.geteuid() == 0 else None
        if user:
            for path in (parent, *parent.rglob("*")):
                os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
        parent.chmod(wanted.mode)
        if wanted.before:
            wanted.before(stack)
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(OURS)},
            **wanted.environment,
            "INBOXOPS_PORT_BASE": str(BASE),
            **({"HOME": str(parent)} if user else {}),
        }
        quiet = {
            key: value for key, value in environment.items() if key not in PROXY
        }  # what installs needs its registry

        def shell(command: str, *, env: Mapping[str, str] = environment) -> subprocess.CompletedProcess[str]:
            limits = f"umask {wanted.umask:04o}; " + (f"ulimit -n {wanted.files}; " if wanted.files else "")
            return subprocess.run(
                ["bash", "-c", limits + command],
                cwd=clone,
                env=dict(env),
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
                capture_output=True,
                text=True,
            )

        stack.callback(lambda: shell("make -s clean"))
        installed = shell(f"make -s install PYTHON={python}", env=quiet)
        if installed.returncode:
            return f"make install: {installed.stderr[-500:]}"
        return started(shell, clone)


def started(shell: Callable[[str], subprocess.CompletedProcess[str]], clone: Path) -> str:
    # As make does it, of which `make run` stays in front; an INBOXOPS_HOME that is set but empty stays so.
    command = ".venv/bin/inboxops"
    begun = shell(f"{command} up --detach")
    if begun.returncode:
        return f"up: {begun.stderr[-500:]}{begun.stdout[-500:]}"
    deadline, seen = time.monotonic() + SECONDS, 0
    while time.monotonic() < deadline and seen < TICKETS:
        time.sleep(1)
        listed = shell(f"{command} tickets --json").stdout
        seen = sum("ticket_number" in json.loads(line) for line in listed.splitlines() if line.startswith("{"))
    wrong = "" if seen >= TICKETS else f"{seen} of {TICKETS} tickets after {SECONDS:.0f} s"
    stopped = shell(f"{command} down")
    if stopped.returncode:
        wrong = wrong or f"down: {stopped.stderr[-300:]}"
    left = subprocess.run(["pgrep", "-fa", str(clone)], capture_output=True, text=True).stdout.strip()
    listening = [
        port for port in range(BASE, BASE + PORTS) if listens(port)
    ]  # a server may have another folder and title
    return wrong or (f"left running: {left[:300]} {listening or ''}" if left or listening else "")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> int:
    names = sys.argv[1:] or list(SITUATIONS)
    failed = 0
    for name in names:
        began = time.monotonic()
        wrong = run(name)
        failed += bool(wrong)
        print(f"{name}: {wrong or 'fine'} ({time.monotonic() - began:.0f} s)", flush=True)  # noqa: T201
    return bool(failed)


if __name__ == "__main__":
    shutil.which("git") or sys.exit("git is needed")
    sys.exit(main())
