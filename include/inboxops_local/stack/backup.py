"""`inboxops backup` and `restore`: everything of a local stack that can't be had again, in one file.

A tar: `inboxops.env` (the keys without which nothing else is of use), `database` (pg_dump's custom format), and the bucket's
objects under `objects/`. The database comes first: objects are there before the rows that name them, so no row lacks its object.
Airflow's own database is history and left out. Production has tools of its own for each: docs/operations.md.
"""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from inboxops import settings
from inboxops.composition.world import World
from inboxops.errors import ObjectMissing, OperatorError
from inboxops.settings import ENV_FILE
from inboxops_local.stack import checks, launch
from inboxops_local.stack.home import Home, read_env, write_private, writing
from inboxops_local.stack.layout import Layout
from inboxops_local.stack.lock import held
from inboxops_local.stack.ports import Ports
from inboxops_local.stack.postgres import cluster
from inboxops_local.stack.record import PartRecord, Record

OBJECTS = "objects/"


@dataclass(frozen=True, slots=True)
class Saved:
    """objects: how many of the bucket; size_bytes: of the whole file."""

    objects: int
    size_bytes: int


def backup(home: Home, path: Path) -> Saved:
    """Write the file, of mode 0600, in one step; the stack goes on meanwhile.

    Raises OperatorError when the stack of this home does not run, or the file is there already or can't be written.
    """
    record = Record.read(home.record)
    if record is None or not held(home.lock):
        raise OperatorError(
            f"nothing is running in {home.path}", fix="Start it with `inboxops up`: its servers are asked"
        )
    if path.exists():
        raise OperatorError(f"{path} is there already", fix="Name another file")
    draft = path.with_name(f"{path.name}.new")
    with writing(draft, fix="Name a file in a folder of yours with free space"):
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w") as tar:
                tar.add(home.env_file, ENV_FILE)
                with tempfile.NamedTemporaryFile(dir=path.parent) as dump:
                    _postgres(home, Ports(base=record.port_base), "pg_dump", "--format=custom", f"--file={dump.name}")
                    tar.add(dump.name, "database")
                count = _save_objects(tar)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return Saved(count, path.stat().st_size)


def _save_objects(tar: tarfile.TarFile) -> int:
    world = World(settings.load())
    count = 0
    try:
        for key in world.objects.list(""):
            with suppress(ObjectMissing):  # deleted meanwhile, as the retention says
                content = world.objects.get(key)
                member = tarfile.TarInfo(OBJECTS + key)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
                count += 1
    finally:
        world.close()
    return count


def restore(home: Home, ports: Ports, path: Path, notify: Callable[[str, PartRecord], None]) -> int:
    """Make a home from the file; how many objects it held. `inboxops up` goes on from there.

    Raises OperatorError when the home has something in it, or the file is no backup of ours; nothing is left behind then.
    """
    if home.path.exists() and any(home.path.iterdir()):
        raise OperatorError(f"{home.path} is not empty", fix="Set INBOXOPS_HOME to a folder that does not exist yet")
    try:
        tar = tarfile.open(path)  # noqa: SIM115  # closed below
    except (OSError, tarfile.TarError) as exc:
        raise OperatorError(
            f"{path} can't be read: {exc}", fix="Name a file that `inboxops backup FILE` wrote"
        ) from exc
    with tar:
        names = set(tar.getnames())
        if not {ENV_FILE, "database"} <= names:
            raise OperatorError(f"{path} is no backup of ours", fix="Name a file that `inboxops backup FILE` wrote")
        home.make()
        write_private(home.env_file, _read(tar, ENV_FILE).decode())
        stop = asyncio.Event()
        count = 0

        async def fill(layout: Layout) -> None:
            nonlocal count
            try:
                count = await asyncio.to_thread(_fill, layout, tar)
            finally:
                stop.set()

        asyncio.run(launch.supervise(home, ports, notify, stop=stop, choose=launch.services, then=fill))
    return count


def _fill(layout: Layout, tar: tarfile.TarFile) -> int:
    with tempfile.NamedTemporaryFile(dir=layout.home.path) as dump:
        dump.write(_read(tar, "database"))
        dump.flush()
        _postgres(layout.home, layout.ports, "pg_restore", "--exit-on-error", "--single-transaction", dump.name)
    world = World(settings.load())
    count = 0
    try:
        world.outbound.doubt_waiting("brought back from a backup: it may have left since")
        for member in tar:
            if member.isfile() and member.name.startswith(OBJECTS):
                key = member.name.removeprefix(OBJECTS)
                world.objects.put(key, _read(tar, member.name), content_type="application/octet-stream")
                count += 1
    finally:
        world.close()
    return count


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None
    return file.read()


def _postgres(home: Home, ports: Ports, program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL's on the application's database. Raises OperatorError with what it complained about."""
    password = read_env(home.env_file)["STACK_POSTGRES_PASSWORD"]
    where = (f"--host={checks.HOST}", f"--port={ports.postgres}", "--username=postgres", "--dbname=inboxops")
    done = subprocess.run(
        [cluster(home).programs / program, *where, *arguments],
        env={"PGPASSWORD": password, "LC_ALL": "C.UTF-8", "PATH": os.environ.get("PATH", "")},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[:500]
        raise OperatorError(f"{program} failed: {said}", fix=f"See {home.path / 'logs'}")
