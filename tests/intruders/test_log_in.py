"""The way in: what is tried too often is refused and counted, links work once, and nothing private is kept by a cache."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api import limits, sessions
from api.app import create_app
from inboxops.composition.world import World
from inboxops.settings import Settings
from tests.intruders.conftest import Victim

HERE = {"Origin": "http://testserver"}


@pytest.fixture
def door(services: Settings) -> Iterator[TestClient]:
    """A fresh API: nobody has tried yet."""
    with TestClient(create_app(services.model_copy(update={"metrics_token": SecretStr("m")}))) as client:
        yield client


def test_guessing_is_slowed_down_and_counted(door: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [door.post("/v1/session", json={"key": f"io_000000000000_{n}"}, headers=HERE) for n in range(40)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert [answer.status_code for answer in answers[:30]] == [401] * 30
    assert len(refused) >= 5
    assert int(refused[0].headers["retry-after"]) >= 1
    told = door.get("/metrics", headers={"Authorization": "Bearer m"}).text
    assert f"inboxops_log_ins_refused_total {float(len(refused))}" in told


def test_guessing_from_many_addresses_is_slowed_down_in_all(
    monkeypatch: pytest.MonkeyPatch, services: Settings
) -> None:
    monkeypatch.setattr(limits, "ALL_TRIES_AT_ONCE", 10.0)
    monkeypatch.setattr(limits, "ALL_TRIES_PER_SECOND", 0.01)
    app = create_app(services)
    statuses = []
    with TestClient(app):
        for number in range(15):
            client = TestClient(app, client=(f"192.0.2.{number}", 50_000))
            statuses.append(client.post("/v1/session", json={"link": "guessed"}, headers=HERE).status_code)
    assert statuses == [401] * 10 + [429] * 5


def test_who_has_a_key_or_a_link_comes_in_however_many_others_guess(
    monkeypatch: pytest.MonkeyPatch, services: Settings, owner: World, victim: Victim
) -> None:
    """From one /48 come as many addresses as there are; and some sit behind the same address as the guesser."""
    monkeypatch.setattr(limits, "ALL_TRIES_AT_ONCE", 3.0)
    monkeypatch.setattr(limits, "ALL_TRIES_PER_SECOND", 0.001)
    key = owner.api_keys.add(victim.api.tenant_id, name="Besieged", role="agent")
    link = owner.api_keys.add_link(victim.api.tenant_id, name="Besieged", role="agent", minutes=5)
    app = create_app(services)
    with TestClient(app):
        guesser = [TestClient(app, client=(f"2001:db8:0:{number:x}::1", 1)) for number in range(8)]
        guessed = [one.post("/v1/session", json={"key": "io_0_x"}, headers=HERE).status_code for one in guesser]
        assert guessed == [401] * 3 + [429] * 5
        for client in (TestClient(app, client=("192.0.2.1", 1)), guesser[0]):
            assert client.post("/v1/session", json={"key": key}, headers=HERE).status_code == 200
        assert guesser[1].post("/v1/session", json={"link": link}, headers=HERE).status_code == 200
        assert guesser[2].post("/v1/session", json={"key": "io_0_x"}, headers=HERE).status_code == 429


def test_one_site_is_one_guesser_however_many_addresses_it_has(
    monkeypatch: pytest.MonkeyPatch, services: Settings
) -> None:
    """A /48 of IPv6 is what one customer of a provider gets: 65,536 times a /64."""
    monkeypatch.setattr(limits, "SITE", 0.1)
    app = create_app(services)
    with TestClient(app):
        statuses = [
            TestClient(app, client=(f"2001:db8:7:{number:x}::1", 1)).post(
                "/v1/session", json={"link": "x"}, headers=HERE
            )
            for number in range(6)
        ]
        other = TestClient(app, client=("2001:db8:8::1", 1)).post("/v1/session", json={"link": "x"}, headers=HERE)
    assert [one.status_code for one in statuses] == [401] * 3 + [429] * 3
    assert other.status_code == 401


def test_a_header_that_names_another_address_makes_nobody_another(door: TestClient) -> None:
    """Only a proxy that the operator trusts says who calls; uvicorn takes its word, the API none."""
    statuses = set()
    for number in range(40):
        claimed = {"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}"}
        statuses.add(door.post("/v1/session", json={"link": "guessed"}, headers=HERE | claimed).status_code)
    assert 429 in statuses


def test_a_link_logs_in_once_however_many_come_at_the_same_time(door: TestClient, owner: World, victim: Victim) -> None:
    link = owner.api_keys.add_link(victim.api.tenant_id, name="Once", role="agent", minutes=5)
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: door.post("/v1/session", json={"link": link}, headers=HERE).status_code, range(8))
        )
    assert sorted(answers) == [200] + [401] * 7


def test_a_link_that_is_too_old_or_of_a_revoked_key_opens_nothing(
    door: TestClient, owner: World, victim: Victim
) -> None:
    late = owner.api_keys.add_link(victim.api.tenant_id, name="Late", role="agent", minutes=0)
    gone = owner.api_keys.add_link(victim.api.tenant_id, name="Gone soon", role="agent", minutes=5)
    with owner.database.transaction() as t:
        t.connection.execute(b"UPDATE api_keys SET revoked_at = now() WHERE name = 'Gone soon'")
    for link in (late, gone, gone[:-1], gone.upper(), "", "%", "\u0000"):
        assert door.post("/v1/session", json={"link": link}, headers=HERE).status_code in {401, 422}


def test_a_session_is_made_here_and_dies_with_its_key(door: TestClient, owner: World, victim: Victim) -> None:
    """One that somebody put into the browser beforehand is not taken over: the log-in sets another."""
    key = owner.api_keys.add(victim.api.tenant_id, name="Fixed", role="agent")
    planted = {"Cookie": f"{sessions.COOKIE}=planted"}
    answer = door.post("/v1/session", json={"key": key}, headers={**HERE, **planted})
    cookie = answer.headers["set-cookie"]
    assert "planted" not in cookie
    assert {"httponly", "samesite=strict"} <= {part.strip().lower() for part in cookie.split(";")}
    assert door.get("/v1/session").status_code == 200
    owner.api_keys.revoke(key.split("_")[1])
    assert door.get("/v1/session").status_code == 401
    door.cookies.clear()


def test_logging_out_ends_every_copy_of_the_session(door: TestClient, owner: World, victim: Victim) -> None:
    key = owner.api_keys.add(victim.api.tenant_id, name="Leaving", role="agent")
    cookies = []
    for _ in range(2):
        door.post("/v1/session", json={"key": key}, headers=HERE)
        cookies.append({"Cookie": f"{sessions.COOKIE}={door.cookies[sessions.COOKIE]}"})
        door.cookies.clear()
    copied, other = cookies
    assert [door.get("/v1/session", headers=one).status_code for one in cookies] == [200, 200]
    assert door.delete("/v1/session", headers=HERE | copied).status_code == 204
    assert door.get("/v1/session", headers=copied).status_code == 401
    assert door.get("/v1/tickets", headers=copied).status_code == 401
    assert door.get("/v1/session", headers=other).status_code == 200, "another browser's goes on"
    assert door.delete("/v1/session", headers=HERE | copied).status_code == 204
    owner.api_keys.revoke(key.split("_")[1])
    assert door.get("/v1/session", headers=other).status_code == 401
    door.cookies.clear()


def test_a_session_that_is_over_is_over_and_its_row_goes(door: TestClient, owner: World, victim: Victim) -> None:
    key = owner.api_keys.add(victim.api.tenant_id, name="Asleep", role="agent")
    door.post("/v1/session", json={"key": key}, headers=HERE)
    with owner.database.transaction() as t:
        t.connection.execute(
            b"UPDATE page_sessions SET expires_at = now() WHERE tenant_id = %s", (victim.api.tenant_id,)
        )
    assert door.get("/v1/session").status_code == 401
    assert owner.leftovers.forget_sessions() >= 1
    assert owner.leftovers.forget_sessions() == 0
    door.cookies.clear()


def test_behind_tls_the_cookie_never_goes_without(services: Settings, owner: World, victim: Victim) -> None:
    link = owner.api_keys.add_link(victim.api.tenant_id, name="Secure", role="agent", minutes=5)
    with TestClient(create_app(services.model_copy(update={"api_url": "https://inboxops.example"}))) as client:
        without = client.post("/v1/session", json={"link": link}, headers={"Origin": "http://testserver"})
        assert without.status_code == 403, "a page that came without TLS is anybody's"
        answer = client.post("/v1/session", json={"link": link}, headers={"Origin": "https://testserver"})
    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tickets", "/v1/tickets/{ticket_id}", "/v1/messages/{message_id}/html", "/v1/messages/{message_id}/view",
        "/v1/attachments/{attachment_id}", "/v1/attachments/{attachment_id}/content", "/v1/inbound", "/v1/inboxes",
        "/v1/session", "/v1/corrections", "/v1/mail-rules", "/v1/tickets/999999999999", "/v1/nowhere",
    ],
)  # fmt: skip
def test_no_cache_keeps_what_is_private_and_no_other_page_frames_it(victim: Victim, path: str) -> None:
    answer = victim.api.http.get(path.format(**victim.ids), headers=victim.api.agent)
    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy or "frame-ancestors 'self'" in policy or "sandbox" in policy


def test_the_page_itself_is_framed_by_nobody(victim: Victim) -> None:
    for path in ("/", "/login", "/tickets/1", "/aside/listed", "/certificates"):
        assert "frame-ancestors 'none'" in victim.api.http.get(path).headers["content-security-policy"]


def test_scripts_come_from_here_alone(victim: Victim) -> None:
    """A documentation page with another host's scripts would run them where the session belongs."""
    for path in ("/docs", "/redoc"):
        assert victim.api.http.get(path).status_code == 404
