"""Through real Airflow: connecting registers, pushed mail becomes a ticket, and renewals go on where one inbox fails."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from inboxops.core.inbox import Inbox
from inboxops.core.push import Health
from inboxops_lab.bench.clouds import Clouds, clouds, until
from inboxops_local.standins.http import Call, Reply, Serving, StandIn
from tests.push.conftest import TOPIC
from tests.stories.conftest import mail

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


class Front(StandIn):
    """The public address of the API, known before the API has a port."""

    def __init__(self) -> None:
        super().__init__()
        self.api_url = ""
        self.routes.add("POST", "/api/webhooks/{name}", self._forward)

    def _forward(self, call: Call, name: str) -> Reply:
        kept = {key: call.headers[key] for key in ("authorization", "content-type") if key in call.headers}
        answer = httpx.post(self.api_url + call.path, params=dict(call.query), content=call.body, headers=kept)
        return Reply(answer.status_code, answer.content, {"Content-Type": answer.headers.get("content-type", "")})


@pytest.fixture(scope="module")
def scene() -> Iterator[Clouds]:
    front = Front()
    with Serving(front) as serving:
        url = f"{serving.url}/api/webhooks"
        with clouds(google_pubsub_topic=TOPIC, graph_push_notification_url=f"{url}/graph-push") as made:
            front.api_url = made.world.settings.api_url
            made.gmail.pubsub.url = f"{url}/gmail-push"
            yield made


def health(scene: Clouds, inbox: Inbox) -> str:
    channel = scene.world.push.channels([inbox.id])[inbox.id]
    with scene.world.database.transaction() as t:
        row = t.connection.execute("SELECT now()").fetchone()
    assert row is not None
    return channel.health(row["now"]).value


@pytest.mark.parametrize("kind", ["gmail", "microsoft"])
def test_a_connected_inbox_is_registered_and_what_is_pushed_becomes_a_ticket(scene: Clouds, kind: str) -> None:
    inbox = scene.connect(kind, f"box-{kind}")
    until("it is registered", lambda: health(scene, inbox) == Health.PROBING)
    until("it was read once", lambda: not scene.world.inboxes.get(inbox.id).cursor.is_start)
    stand_in = scene.gmail if kind == "gmail" else scene.graph
    stand_in.deliver(inbox.email_address, mail("Pushed"))
    until("it is a ticket", lambda: "Pushed" in scene.tickets(inbox))
    assert health(scene, inbox) == Health.PUSH


@pytest.mark.parametrize(
    ("kind", "dag"), [("gmail", "renew_gmail_watches"), ("microsoft", "renew_graph_subscriptions")]
)
def test_a_renewal_that_fails_stops_no_other(scene: Clouds, kind: str, dag: str) -> None:
    broken, sound = (scene.connect(kind, f"{name}-{kind}") for name in ("broken", "sound"))
    for inbox in (broken, sound):
        until("it is registered", lambda inbox=inbox: health(scene, inbox) == Health.PROBING)  # type: ignore[misc]
    until("the run that Airflow makes up for at its start is over", lambda: _all_over(scene, dag))
    with scene.world.database.transaction() as t:
        t.connection.execute(
            "UPDATE inboxes SET gmail_watch_expires_at = now() + interval '1 hour',"
            " graph_subscription_expires_at = now() + interval '1 hour' WHERE id = ANY (%s)",
            ([broken.id, sound.id],),
        )
        t.connection.execute("UPDATE inboxes SET credentials_encrypted = 'unreadable' WHERE id = %s", (broken.id,))
    run = f"test-{uuid.uuid4().hex}"
    assert scene.airflow.start(dag, run)

    def states() -> dict[str, str]:
        answer = scene.airflow.get(f"/dags/{dag}/dagRuns/{run}/taskInstances")
        return {one["rendered_map_index"]: one["state"] for one in answer["task_instances"] if one["map_index"] >= 0}

    wanted = {f"inbox {broken.id}": "failed", f"inbox {sound.id}": "success"}
    until("both are done", lambda: wanted.items() <= states().items())
    channels = scene.world.push.channels([broken.id, sound.id])
    assert channels[broken.id].error
    assert channels[sound.id].error is None
    ends = {id_: channel.expires_at for id_, channel in channels.items()}
    assert ends[sound.id] > ends[broken.id] + timedelta(days=2)  # type: ignore[operator]


def _all_over(scene: Clouds, dag: str) -> bool:
    runs = scene.airflow.get(f"/dags/{dag}/dagRuns")["dag_runs"]
    return bool(runs) and all(run["state"] in {"success", "failed"} for run in runs)
