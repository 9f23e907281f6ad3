"""Scenes at each kind of provider, on services and a database of their own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from inboxops.db.migrate import migrate
from inboxops.settings import Settings
from inboxops_local.stack.testing import running
from inboxops_local.standins.http import Call, Reply, Serving
from tests.crash.process import Processes
from tests.crash.scenes import Scene
from tests.crash.servers import SCENES, scene
from tests.push.conftest import TOPIC, StandInAirflow


class Surroundings(StandInAirflow):
    """Airflow, which says what it was told to run, and our public address, as much of it as a subscription asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.routes.add("GET", "/_admin/runs", self._show_runs)
        self.routes.add("POST", "/api/webhooks/{name}", self._echo)

    def _show_runs(self, call: Call) -> Reply:
        return Reply.json([{"dag": dag, "conf": conf} for dag, conf in self.runs.values()])

    def _echo(self, call: Call, name: str) -> Reply:
        return Reply(200, call.query.get("validationToken", "").encode(), {"Content-Type": "text/plain"})


@pytest.fixture(scope="session")
def own_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A database that no other test works in: a drain is everybody's, and so are its leases."""
    with running(tmp_path_factory.mktemp("crash") / "home", "--only=services") as settings:
        migrate(settings.owner_dsn)
        yield settings


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    made = Processes()
    yield made
    made.stop()


@pytest.fixture
def surroundings() -> Iterator[Serving]:
    with Serving(Surroundings()) as serving:
        yield serving


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, own_services: Settings, processes: Processes, surroundings: Serving
) -> Iterator[Callable[[str], Scene]]:
    """Makes a scene at that kind of provider."""
    made: list[Scene] = []

    def set_up(kind: str) -> Scene:
        server = request.getfixturevalue(SCENES[kind][1])
        settings = own_services.model_copy(
            update={
                "airflow_url": surroundings.url,
                "google_pubsub_topic": TOPIC,
                "graph_push_notification_url": f"{surroundings.url}/api/webhooks/graph-push",
            }
        )
        made.append(scene(kind, server, settings, f"t{uuid.uuid4().hex[:12]}", processes))
        return made[-1]

    yield set_up
    for each in made:
        each.close()
