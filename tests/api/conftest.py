"""The API on real servers, under row-level security, with one key of each role."""

from __future__ import annotations

import http.server
import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops_lab.testing.mailserver import MailServer
from tests.sending.conftest import Desk
from tests.sending.smtpserver import Submission
from tests.stories.conftest import connect


class StandInAirflow:
    """The two calls of Airflow's REST API that start a run; a run that is there already is a 409."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, object]] = {}
        runs = self.runs

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/auth/token":
                    return self._say(201, {"access_token": "t"})
                known = body["dag_run_id"] in runs
                runs.setdefault(body["dag_run_id"], body["conf"])
                return self._say(409 if known else 200, {})

            def _say(self, status: int, content: object) -> None:
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Api:
    """A client with a tenant's keys."""

    http: TestClient
    tenant_id: int
    agent: dict[str, str]
    admin: dict[str, str]
    airflow: StandInAirflow

    def get(self, path: str, **more: object) -> httpx.Response:
        return self.http.get(f"/v1{path}", headers=self.agent, **more)  # type: ignore[arg-type]

    def post(self, path: str, json: object = None, key: str = "", **more: object) -> httpx.Response:
        headers = {**self.agent, **({"Idempotency-Key": key} if key else {})}
        return self.http.post(f"/v1{path}", json=json, headers=headers, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def airflow() -> Iterator[StandInAirflow]:
    server = StandInAirflow()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def http_client(services: Settings, airflow: StandInAirflow) -> Iterator[TestClient]:
    app = create_app(services.model_copy(update={"airflow_url": airflow.url, "private_hosts": "localhost"}))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def keys(http: TestClient, world: World, tenant: str, airflow: StandInAirflow) -> Api:
    tenant_id = world.inboxes.tenant_id(tenant)
    made = [world.api_keys.add(tenant_id, name=f"Ann the {role}", role=role) for role in ("agent", "admin")]
    agent, admin = ({"Authorization": f"Bearer {key}"} for key in made)
    return Api(http, tenant_id, agent, admin, airflow)


@pytest.fixture
def api(http_client: TestClient, world: World, tenant: str, airflow: StandInAirflow) -> Api:
    return keys(http_client, world, tenant, airflow)


@pytest.fixture
def stranger(http_client: TestClient, world: World, airflow: StandInAirflow) -> Api:
    """Another tenant's keys."""
    slug = f"s{uuid.uuid4().hex[:12]}"
    world.inboxes.add_tenant(slug, "Stranger Ltd")
    return keys(http_client, world, slug, airflow)


@pytest.fixture
def desk(world: World, tenant: str, mail_server: MailServer) -> Iterator[Desk]:
    box = connect(world, tenant, mail_server)
    submission = Submission(users={box.user: "secret password"})
    made = Desk(box, submission)
    made.through(submission.port, smtp_security="plain")
    yield made
    submission.stop()
