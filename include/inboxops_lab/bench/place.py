"""Where measurements happen: real servers on free ports in a folder of their own, gone afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from inboxops.composition import runs
from inboxops.composition.world import World
from inboxops.db.migrate import migrate
from inboxops.errors import OperatorError, TransientError
from inboxops_lab.testing.mailserver import Dovecot, dovecot_binary
from inboxops_lab.testing.processes import free_ports
from inboxops_lab.testing.quietimap import LAST_UID, UID_VALIDITY, QuietImap
from inboxops_local.stack import checks
from inboxops_local.stack.record import Record
from inboxops_local.stack.testing import running

TENANT, PASSWORD = "bench", "bench password"
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Place:
    """A running stack, and a Dovecot beside it that is no part of it."""

    home: Path
    world: World
    dovecot: Dovecot

    def part(self, *names: str) -> list[int]:
        """The process ids of these parts of the stack, or of all."""
        return processes(self.home, *names)

    def environment(self) -> dict[str, str]:
        """Of a process that shall find this stack and no other."""
        return {**without_ours(), "INBOXOPS_HOME": str(self.home)}

    def add_user(self, user: str) -> None:
        """A mailbox on the Dovecot."""
        self.dovecot.add_user(user, PASSWORD)

    def add_mailbox(
        self, user: str, *, first_sync_messages: int = 500, plain: bool = False, tenant: str = TENANT
    ) -> int:
        """A mailbox on the Dovecot and the inbox connected to it: the inbox's id. plain: without TLS, as on a trusted network."""
        self.add_user(user)
        return self.add_inbox(user, user, first_sync_messages=first_sync_messages, plain=plain, tenant=tenant)

    def add_inbox(
        self, name: str, user: str, *, first_sync_messages: int = 500, plain: bool = False, tenant: str = TENANT
    ) -> int:
        """An inbox connected to a mailbox that is there: its id."""
        connection = {
            "host": self.dovecot.host,
            "port": self.dovecot.port_imap if plain else self.dovecot.port_imaps,
            "security": "plain" if plain else "tls",
            "ca_file": self.dovecot.ca_file,
        }
        inbox_id = self.world.inboxes.add(
            tenant_id=self.world.inboxes.tenant_id(tenant),
            name=name,
            email_address=f"{name}@bench.example",
            display_name="",
            connection_type="imap",
            connection=connection,
            credentials=self.world.vault.seal({"username": user, "password": PASSWORD}),
            first_sync_days=7,
            first_sync_messages=first_sync_messages,
        )
        assert inbox_id is not None
        return inbox_id


def processes(home: Path, *names: str) -> list[int]:
    """The process ids of these parts of the stack at `home`, or of all."""
    record = Record.read(home / "stack.json")
    if record is None:
        raise OperatorError("the stack of the bench ended", fix=f"Logs: {home / 'logs'}")
    return [part.process.pid for name, part in record.parts.items() if part.process and (not names or name in names)]


@contextmanager
def place(*options: str, more: Mapping[str, str] | None = None, clients_per_process: int = 1) -> Iterator[Place]:
    """Start `inboxops up` with `options` and a Dovecot; `more` is added to the stack's environment.

    Raises OperatorError when Dovecot is not installed.
    """
    if dovecot_binary() is None:
        raise OperatorError("the bench needs Dovecot, which is not installed", fix="apt-get install dovecot-imapd")
    with stack(*options, more=more) as (home, world):
        dovecot = Dovecot(clients_per_process=clients_per_process)
        try:
            yield Place(home, world, dovecot)
        finally:
            dovecot.stop()


@contextmanager
def stack(*options: str, more: Mapping[str, str] | None = None) -> Iterator[tuple[Path, World]]:
    """Start `inboxops up` with `options`, in a folder of its own, with one tenant; `more` is added to its environment."""
    with tempfile.TemporaryDirectory(prefix="inboxops-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        with running(home, *options, environment={**without_ours(), **(more or {})}, seconds=300) as settings:
            migrate(settings.owner_dsn)
            world = World(settings)
            try:
                world.inboxes.add_tenant(TENANT, "Bench Ltd")
                yield home, world
            finally:
                world.close()


@contextmanager
def api(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """One process of the API beside the services of the stack at `home`: its address, and the process."""
    (port,) = free_ports(1)
    url = f"http://{checks.HOST}:{port}"
    environment = {**without_ours(), "INBOXOPS_HOME": str(home), "INBOXOPS_API_URL": url}
    command = [sys.executable, "-m", "uvicorn", "api.app:app", "--port", str(port), "--no-access-log"]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                httpx.get(f"{url}/healthz", trust_env=False).raise_for_status()
                break
            except httpx.HTTPError as exc:
                if time.monotonic() > deadline or child.poll() is not None:
                    raise OperatorError(f"the API does not start: {exc}") from exc
                time.sleep(0.1)
        yield url, psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait(timeout=30)


_QUIET = b"""
INSERT INTO inboxes (tenant_id, name, email_address, connection_type, connection, credentials_encrypted, connected_at,
                     imap_uid_validity, imap_last_uid, first_read_at)
SELECT t.id, 'quiet-' || n, 'quiet-' || n || '@' || t.slug || '.example', 'imap', %s, %s, now(), %s, %s, now()
FROM tenants t, generate_series(1, %s) n WHERE t.slug = %s"""


def add_quiet(world: World, quiet: QuietImap, count: int, *, tenant: str = TENANT) -> None:
    """So many inboxes on the simulated server, to which no mail comes, as they are once they were read."""
    connection = {"host": quiet.host, "port": quiet.port, "security": "tls", "ca_file": quiet.ca_file}
    sealed = world.vault.seal({"password": PASSWORD})
    with world.database.transaction() as t:
        parameters = (json.dumps(connection), sealed, UID_VALIDITY, LAST_UID, count, tenant)
        t.connection.execute(_QUIET, parameters)


def plain_inbox(world: World) -> tuple[int, int]:
    """An inbox that nothing fetches: (tenant id, inbox id)."""
    tenant_id = world.inboxes.tenant_id(TENANT)
    inbox_id = world.inboxes.add(
        tenant_id=tenant_id, name="support", email_address="support@bench.example", display_name="", connection_type="imap",
        connection={}, credentials=world.vault.seal({}), first_sync_days=7, first_sync_messages=500,
    )  # fmt: skip
    assert inbox_id is not None
    return tenant_id, inbox_id


def without_ours() -> dict[str, str]:
    """The environment without a setting that could lead to another installation."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("INBOXOPS_", "AIRFLOW_"))}


def appears(here: Place, inbox_id: int, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Have Airflow read the list of inboxes, and wait until it knows the inbox's DAG."""
    runs.show_inboxes(here.world)
    deadline = time.monotonic() + seconds
    while True:
        try:
            here.world.airflow.wake(inbox_id)
            return
        except TransientError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
