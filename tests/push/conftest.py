"""The API on a port, with Google, Microsoft and Airflow stood in for, and inboxes of both kinds."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from api.app import create_app
from inboxops.composition import pushing
from inboxops.composition.world import World
from inboxops.core.inbox import Inbox, asset_uri
from inboxops.core.push import Channel
from inboxops.settings import Settings
from inboxops_local.standins.http import Call, Fault, Reply, Serving, StandIn
from inboxops_local.standins.pubsub import SERVICE_ACCOUNT, PubSub
from tests.connecting.conftest import pointed_at
from tests.e2e.conftest import eventually
from tests.providers.cloud_kits import GmailServer, GraphServer, consented

AUDIENCE = "https://push.example/gmail"
TOPIC = "projects/acme/topics/mail"
GAP_SECONDS = 0.5
_numbers = itertools.count(1)


class StandInAirflow(StandIn):
    """As much of Airflow's REST API as wakes inboxes and starts runs.

    It has an asset of every inbox that a pattern can mean: of the one whose number ends it, and of those whose number goes on for
    two digits more. The lower an inbox's number, the later its asset was made, as if its tenant had moved here: by id, a page of
    what a pattern fits does not begin with the inbox that was meant.
    """

    LAST = 10**16

    def __init__(self, cell: str = "main") -> None:
        super().__init__()
        self.cell = cell
        self.wakes: list[int] = []
        self.runs: dict[str, tuple[str, Any]] = {}
        self.parsed = 0
        self.routes.add("POST", "/auth/token", lambda call: Reply.json({"access_token": "t"}, 201))
        self.routes.add("GET", "/api/v2/version", lambda call: Reply.json({"version": "3"}))
        self.routes.add("GET", "/api/v2/monitor/health", lambda call: Reply.json({}))
        self.routes.add("GET", "/api/v2/assets", self._assets)
        self.routes.add("POST", "/api/v2/assets/events", self._event)
        self.routes.add("POST", "/api/v2/dags/{dag}/dagRuns", self._run)
        self.routes.add("PUT", "/inboxops-roster/{dag}", self._parse)

    def _assets(self, call: Call) -> Reply:
        pattern, key = call.query["uri_pattern"], call.query.get("order_by", "id")
        number = int(pattern.rpartition("/")[2])
        meant = [number * 10**more + rest for more in range(3) for rest in range(10**more)]
        found: list[dict[str, Any]] = [{"id": self.LAST - one, "uri": asset_uri(one)} for one in meant]
        found.sort(key=lambda asset: asset[key.lstrip("-")], reverse=key.startswith("-"))
        first = int(call.query.get("offset", 0))
        page = found[first : first + min(int(call.query.get("limit", 50)), 100)]
        return Reply.json({"assets": page, "total_entries": len(found)})

    def _event(self, call: Call) -> Reply:
        self.wakes.append(self.LAST - call.json()["asset_id"])
        return Reply.json({})

    def _run(self, call: Call, dag: str) -> Reply:
        wanted = call.json()
        known = wanted["dag_run_id"] in self.runs
        self.runs.setdefault(wanted["dag_run_id"], (dag, wanted["conf"]))
        return Reply.json({}, 409 if known else 200)

    def _parse(self, call: Call, dag: str) -> Reply:
        self.parsed += 1
        return Reply.json({"cell": self.cell}, 201)

    def away(self) -> None:
        self.fail(Fault("assets/events|dagRuns|inboxops-roster", status=503, times=10_000))

    def runs_for(self, inbox_id: int) -> list[str]:
        return [dag for dag, conf in self.runs.values() if conf == {"inbox_id": inbox_id}]


@dataclass
class Listening:
    """Our API on a port of its own."""

    settings: Settings
    url: str


@dataclass
class Office:
    """Everything around the webhooks, and a tenant."""

    http: httpx.Client
    settings: Settings
    world: World
    tenant: str
    airflow: StandInAirflow
    gmail: GmailServer
    graph: GraphServer
    inboxes: list[int] = field(default_factory=list)

    @property
    def pubsub(self) -> PubSub:
        return self.gmail.stand_in.pubsub

    def inbox(self, kind: str, *, address: str = "", tenant: str = "") -> Inbox:
        """A connected inbox, as consent leaves it; nothing is registered yet."""
        server = self.gmail if kind == "gmail" else self.graph
        number = next(_numbers)
        address = address or f"u{number}.{self.tenant}@example.org"
        server.stand_in.mailbox(address)
        consent = consented(server.consent(), address, server.ca_file)
        inbox_id = self.world.inboxes.add(
            tenant_id=self.world.inboxes.tenant_id(tenant or self.tenant),
            name=f"box{number}",
            email_address=address,
            display_name="",
            connection_type=kind,
            connection=consent.connection,
            credentials=self.world.vault.seal(consent.secrets),
            first_sync_days=7,
            first_sync_messages=500,
        )
        assert inbox_id is not None
        self.inboxes.append(inbox_id)
        return self.world.inboxes.get(inbox_id)

    def watched(self, kind: str, **about: str) -> Inbox:
        inbox = self.inbox(kind, **about)
        assert pushing.register(self.world, inbox.id).made
        return inbox

    def push_gmail(self, body: Any, *, token: str | None = None, **more: Any) -> httpx.Response:
        """token: by default a genuine one; "" sends none."""
        bearer = self.pubsub.token() if token is None else token
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return self.http.post("/api/webhooks/gmail-push", json=body, headers=headers, **more)

    def notice(self, inbox: Inbox, **changed: Any) -> dict[str, Any]:
        """A notification as Graph sends it to the inbox's subscription; one that is changed to None is left out."""
        id_ = self.world.push.subscription_id(inbox.id)
        assert id_ is not None
        known = self.graph.stand_in.subscriptions.known[id_]
        notice = {"subscriptionId": id_, "clientState": known["clientState"], "changeType": "created"} | changed
        return {name: value for name, value in notice.items() if value is not None}

    def push_graph(self, *notices: dict[str, Any], lifecycle: bool = False) -> httpx.Response:
        path = "graph-lifecycle" if lifecycle else "graph-push"
        content = json.dumps({"value": notices})  # in ASCII, whatever a notice holds
        headers = {"Content-Type": "application/json"}
        return self.http.post(f"/api/webhooks/{path}", content=content, headers=headers)

    def channel(self, inbox: Inbox) -> Channel:
        return self.world.push.channels([inbox.id])[inbox.id]

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self.world.database.transaction() as t:
            return [tuple(row.values()) for row in t.connection.execute(sql.encode(), parameters).fetchall()]

    def run(self, sql: str, *parameters: object) -> None:
        with self.world.database.transaction() as t:
            t.connection.execute(sql.encode(), parameters)

    def errands(self, inbox: Inbox, kind: str = "wake") -> int:
        """How many were ever stored."""
        [(count,)] = self.query("SELECT count(*) FROM outbox WHERE kind = %s AND name = %s", kind, str(inbox.id))
        return int(count)

    def open_errands(self, inbox: Inbox, kind: str = "wake") -> int:
        [(count,)] = self.query(
            "SELECT count(*) FROM outbox WHERE kind = %s AND name = %s AND done_at IS NULL", kind, str(inbox.id)
        )
        return int(count)

    def wakes(self, inbox: Inbox) -> int:
        return self.airflow.wakes.count(inbox.id)

    def woken(self, inbox: Inbox, times: int = 1) -> None:
        eventually(
            f"{inbox.name} is woken {times} times, and no wake-up is open",
            lambda: self.wakes(inbox) == times and self.open_errands(inbox) == 0,
            seconds=20,
        )

    def untouched(self, inbox: Inbox) -> bool:
        """Whether nothing at all followed for the inbox."""
        return self.errands(inbox) == 0 and self.wakes(inbox) == 0 and self.channel(inbox).last_push_at is None


@pytest.fixture(scope="session")
def stand_in_airflow() -> Iterator[Serving]:
    with Serving(StandInAirflow()) as serving:
        yield serving


@pytest.fixture(scope="session")
def listening(
    services: Settings,
    stand_in_airflow: Serving,
    gmail_server: GmailServer,
    graph_server: GraphServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Listening]:
    ca_file = tmp_path_factory.mktemp("push") / "both.pem"
    ca_file.write_text("".join(Path(server.ca_file).read_text() for server in (gmail_server, graph_server)))
    taken = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    gmail_server.stand_in.pubsub.audience = AUDIENCE
    settings = pointed_at(pointed_at(services, "gmail", gmail_server.serving), "microsoft", graph_server.serving)
    settings = settings.model_copy(
        update={
            "provider_ca_file": str(ca_file),
            "airflow_url": stand_in_airflow.url,
            "google_pubsub_topic": TOPIC,
            "google_pubsub_audience": AUDIENCE,
            "google_pubsub_service_account": SERVICE_ACCOUNT,
            "graph_push_notification_url": f"{url}/api/webhooks/graph-push",
            "wake_gap_seconds": GAP_SECONDS,
        }
    )
    server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, args=([taken],), daemon=True)
    thread.start()
    eventually("the API listens", lambda: server.started, seconds=30)
    yield Listening(settings, url)
    server.should_exit = True
    thread.join(60)


@pytest.fixture
def office(
    listening: Listening,
    stand_in_airflow: Serving,
    gmail_server: GmailServer,
    graph_server: GraphServer,
    tenant: str,
) -> Iterator[Office]:
    airflow = stand_in_airflow.stand_in
    assert isinstance(airflow, StandInAirflow)
    world = World(listening.settings)
    with httpx.Client(base_url=listening.url, timeout=30) as http:
        made = Office(http, listening.settings, world, tenant, airflow, gmail_server, graph_server)
        yield made
    for server in (airflow, gmail_server.stand_in, graph_server.stand_in):
        server.heal()
    for inbox_id in made.inboxes:
        world.inboxes.remove(inbox_id)
    world.close()
