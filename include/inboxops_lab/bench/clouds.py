"""A whole stack of its own, with Google and Microsoft stood in for in this process. Also for end-to-end tests."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.errors import OperatorError
from inboxops.oauth.clients import settings_of
from inboxops.oauth.http import trust
from inboxops.orchestrator.airflow import Airflow
from inboxops_lab.bench.place import without_ours
from inboxops_lab.testing.processes import free_ports
from inboxops_local.demo import certificates
from inboxops_local.stack.ports import Ports
from inboxops_local.stack.testing import free_base, person, running
from inboxops_local.standins.client import settings_for
from inboxops_local.standins.demo import Account, consent
from inboxops_local.standins.gmail import Gmail
from inboxops_local.standins.graph import Graph
from inboxops_local.standins.http import Serving
from inboxops_local.standins.pubsub import SERVICE_ACCOUNT
from inboxops_local.standins.running import CA_FILE, CHAIN_FILE, run

TENANT, AUDIENCE = "bench", "bench-push"
PATIENCE_SECONDS = 120.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Clouds:
    home: Path
    world: World
    airflow: Airflow  # as a person sees it
    gmail: Gmail
    graph: Graph

    def connect(self, kind: str, name: str) -> Inbox:
        """An account at a stand-in, and the inbox connected to it."""
        account = Account(kind, name, f"{name}@bench.example", name)
        (self.gmail if kind == "gmail" else self.graph).mailbox(account.address)
        with httpx.Client(verify=trust(self.world.settings.provider_ca_file)) as http:
            return consent(self.world, account, TENANT, None, http)

    def google_pushes(self, http: httpx.Client, address: str, number: int) -> None:
        """As Pub/Sub does: tell the API that something came. Raises httpx.HTTPError when nobody takes it."""
        headers = {"Authorization": f"Bearer {self.gmail.pubsub.token()}"}
        body = self.gmail.pubsub.envelope(address, number)
        http.post("/api/webhooks/gmail-push", json=body, headers=headers).raise_for_status()

    def tickets(self, inbox: Inbox) -> set[str]:
        """Their subjects."""
        with self.world.database.transaction() as t:
            rows = t.connection.execute("SELECT subject FROM tickets WHERE inbox_id = %s", (inbox.id,)).fetchall()
        return {row["subject"] for row in rows}


@contextmanager
def clouds(**more: str) -> Iterator[Clouds]:
    """more: settings of the stack, beyond those that open the webhooks.

    Raises OperatorError when it does not start.
    """
    base = free_base()
    url = f"http://127.0.0.1:{Ports(base=base).api}/api/webhooks/graph-push"
    more = {"graph_push_notification_url": url} | more
    more |= {"google_pubsub_audience": AUDIENCE, "google_pubsub_service_account": SERVICE_ACCOUNT}
    named = {f"INBOXOPS_{name.upper()}": value for name, value in more.items()}
    gmail_port, graph_port = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="inboxops-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        (home / "standins").mkdir(parents=True)  # the API reads the authority's certificate when it starts
        ca_file = home / "standins" / CA_FILE
        certificates.make(ca_file, home / "standins" / CHAIN_FILE)
        clients = {  # nothing else lives here: the whole installation takes the stand-ins for the providers
            **settings_for("gmail", f"https://localhost:{gmail_port}", ca_file),
            **settings_for("graph", f"https://localhost:{graph_port}", ca_file),
        }
        environment = {**without_ours(), **clients, **named}
        with (
            running(home, base=base, environment=environment, seconds=300) as settings,
            _serving("gmail", gmail_port, home) as google,
            _serving("graph", graph_port, home) as microsoft,
        ):
            gmail, graph = google.stand_in, microsoft.stand_in
            assert isinstance(gmail, Gmail)
            assert isinstance(graph, Graph)
            gmail.pubsub.audience = AUDIENCE
            own = {name.removeprefix("INBOXOPS_").lower(): value for name, value in (clients | named).items()}
            world = World(settings_of(settings, {"endpoints": own}))
            try:
                world.inboxes.add_tenant(TENANT, "Bench Ltd")
                yield Clouds(home, world, person(home), gmail, graph)
            finally:
                world.close()


def until(what: str, look: Callable[[], T], *, every: float = 0.1, seconds: float = PATIENCE_SECONDS) -> T:
    """The first truthy answer. Raises OperatorError, saying what was waited for, at the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(every)
    raise OperatorError(f"not within {seconds:.0f} s: {what}")


def _serving(kind: str, port: int, home: Path) -> Serving:
    """Where the stack's settings look for it."""
    return run(kind, port=port, users=[], ask=False, folder=home / "standins")
