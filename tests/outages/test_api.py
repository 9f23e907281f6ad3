"""What the API says while a service is away: try again, and never that something unforeseen went wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from inboxops_lab.testing.processes import wait_until
from inboxops_local.standins.http import Serving
from tests.outages.conftest import Post, Services


@dataclass
class Desk:
    """A client with an admin's key, a ticket with one message, and a file that waits for a reply."""

    http: TestClient
    key: dict[str, str]
    ticket: int
    message: int
    inbox: int
    file: int

    def ask(self, method: str, path: str, **more: object) -> httpx.Response:
        return self.http.request(method, f"/v1{path}", headers=self.key, **more)  # type: ignore[arg-type]

    def everything(self, *, at_once: int = 1) -> dict[str, httpx.Response]:
        """What an agent does all day, as the API answers it now."""
        file = {"file_name": "a.txt", "content_type": "text/plain", "size_bytes": 1}
        calls: list[tuple[str, str, object]] = [
            ("GET", "/session", None),
            ("GET", "/tickets", None),
            ("GET", "/tickets?q=help", None),
            ("GET", f"/tickets/{self.ticket}", None),
            ("PATCH", f"/tickets/{self.ticket}", {"priority": "high"}),
            ("POST", f"/tickets/{self.ticket}/replies", {"body_text": "Hello"}),
            ("POST", f"/tickets/{self.ticket}/replies", {"body_text": "See file.", "attachment_ids": [self.file]}),
            ("GET", f"/messages/{self.message}/html", None),
            ("GET", f"/messages/{self.message}/view", None),
            ("POST", "/attachments", file),
            ("GET", f"/attachments/{self.file}", None),
            ("GET", f"/attachments/{self.file}/content", None),
            ("GET", "/inbound", None),
            ("GET", "/corrections", None),
            ("POST", "/corrections", {"kind": "spam", "message_id": self.message}),
            ("GET", "/inboxes", None),
            ("POST", f"/inboxes/{self.inbox}/fetch", None),
            ("GET", "/mail-rules", None),
            ("GET", "/replays", None),
            ("GET", "/certificates", None),
        ]
        with ThreadPoolExecutor(at_once) as agents:
            asked = {
                f"{method} {path} {body or ''}": agents.submit(self.ask, method, path, json=body)
                for method, path, body in calls
            }
        form = self.ask("POST", "/attachments", files={"file": ("a.txt", b"x", "text/plain")})
        return {**{what: answer.result() for what, answer in asked.items()}, "POST /attachments form": form}


@pytest.fixture
def desk(post: Post, own: Services, airflow: Serving) -> Iterator[Desk]:
    world, tenant_id = post.world, post.box.inbox.tenant_id
    post.deliver("Help")
    post.poll()
    key = {"Authorization": f"Bearer {world.api_keys.add(tenant_id, name='Ann', role='admin')}"}
    known = {"airflow_url": airflow.url, "private_hosts": "localhost", "metrics_token": SecretStr("the token")}
    app = create_app(own.settings.model_copy(update=known))
    with TestClient(app, raise_server_exceptions=False) as http:
        ticket = http.get("/v1/tickets", headers=key).json()["items"][0]["id"]
        message = http.get(f"/v1/tickets/{ticket}", headers=key).json()["messages"][0]["id"]
        made = http.post("/v1/attachments", files={"file": ("a", b"x" * 100, "text/plain")}, headers=key)
        yield Desk(http, key, ticket, message, post.box.inbox_id, made.json()["id"])


def refused(answers: dict[str, httpx.Response]) -> set[str]:
    """What had to be put off; each says so, and when to come back."""
    for asked, answer in answers.items():
        assert answer.status_code < 300 or answer.status_code == 503, (asked, answer.text)
        assert answer.status_code < 300 or ("retry-after" in answer.headers and answer.json()["detail"]), asked
    return {asked for asked, answer in answers.items() if answer.status_code == 503}


def test_without_the_database_everything_is_put_off(desk: Desk, own: Services) -> None:
    with own.away("postgres"):
        answers = desk.everything(at_once=20)  # each waits for it a while
    assert refused(answers) == set(answers)
    said = {answer.json()["detail"] for answer in answers.values()}
    assert said == {"the application database is away"}, "where it is and who asked for it, the log says alone"
    assert refused(desk.everything()) == set()


def test_probes_and_figures_say_at_once_that_the_database_is_away_and_within_seconds_that_it_is_back(
    desk: Desk, own: Services
) -> None:
    token = {"Authorization": "Bearer the token"}
    assert desk.http.get("/metrics", headers=token).status_code == desk.http.get("/healthz").status_code == 200
    with own.away("postgres"):
        began = time.monotonic()
        figures = desk.http.get("/metrics", headers=token)
        assert time.monotonic() - began < 5, "Prometheus waits for ten seconds"
        assert refused({"GET /metrics": figures}) == {"GET /metrics"}
        while time.monotonic() - began < 20:  # a pool that tries ever more seldom would wait for as long again
            health = desk.http.get("/healthz")
            assert (health.status_code, health.json()["database"]) == (503, "no answer in time")
    wait_until("the probe finds it", lambda: desk.http.get("/healthz").status_code == 200, seconds=5)
    assert desk.http.get("/metrics", headers=token).status_code == 200


def test_without_the_object_store_all_goes_on_but_files(desk: Desk, own: Services) -> None:
    with own.away("s3"):
        put_off = refused(desk.everything())
    file = f"/attachments/{desk.file}"
    reply = {"body_text": "See file.", "attachment_ids": [desk.file]}
    assert put_off == {
        f"POST /tickets/{desk.ticket}/replies {reply}",
        f"GET {file} ",
        f"GET {file}/content ",
        "POST /attachments form",
    }


def test_without_redis_all_goes_on(desk: Desk, own: Services) -> None:
    with own.away("redis"):
        assert refused(desk.everything()) == set()
