"""Another tenant's thing answers like one that does not exist, on every route there is, whoever asks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from api import sessions
from inboxops.composition.world import World
from inboxops.core.signing import Replaced, SigningKey
from tests.api.conftest import Api
from tests.intruders.conftest import SECRET, Victim
from tests.intruders.routes import STREAMS, WITHOUT_A_KEY, Operation, operations

OPERATIONS = operations()
NOWHERE: Mapping[str, Any] = {
    **dict.fromkeys(
        ("ticket_id", "message_id", "attachment_id", "inbox_id", "inbound_id", "correction_id", "replay_id"), 2**62
    ),
    "name": "rule-nowhere",
}


def named(found: list[Operation]) -> Any:
    return pytest.mark.parametrize("operation", found, ids=[each.name for each in found])


def said(answer: httpx.Response, things: Mapping[str, Any], path: str) -> tuple[object, ...]:
    """An answer without what was asked for, and without the moment."""
    text = answer.text.replace(path, "PATH") if len(path) > 1 else answer.text
    for value in things.values():
        text = re.sub(rf"(?<![\w.-]){re.escape(str(value))}(?![\w-])", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", "MOMENT", text)
    text = re.sub(r'"pulse_seconds":[\d.]+', "SECONDS", text)
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name not in {"content-length", "date", "etag", "last-modified"}
    }
    return answer.status_code, text, headers


@pytest.mark.parametrize("role", ["agent", "admin"])
@named([each for each in OPERATIONS if each.name not in STREAMS])
def test_another_tenants_thing_is_none(
    operation: Operation, role: str, victim: Victim, stranger: Callable[[], Api], http_client: TestClient
) -> None:
    before = victim.rows()
    theirs, nowhere = (list(operation.calls(things)) for things in (victim.ids, NOWHERE))
    for (path, call), (other_path, other_call) in zip(theirs, nowhere, strict=True):
        answers = []
        for where, arguments, things in ((path, call, victim.ids), (other_path, other_call, NOWHERE)):
            headers = getattr(stranger(), role)
            answer = http_client.request(operation.method, where, headers=headers, follow_redirects=False, **arguments)
            if things is victim.ids:
                assert SECRET not in answer.text.replace(str(victim.ids["name"]), ""), (where, arguments)
            answers.append(said(answer, {name: things[name] for name in operation.names()}, where))
        assert answers[0] == answers[1], (path, call)
        assert answers[0][0] != 500, (path, call)
    assert victim.rows() == before


def forged(
    world: World, payload: object, *, key: bytes | None = None, salt: str = "inboxops.page", age: int = 0
) -> str:
    class Then(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time()) - age

    return str(URLSafeTimedSerializer(key or world.signing_key.current, salt=salt, signer=Then).dumps(payload))


def session_of(world: World, authorization: str) -> str:
    """What a cookie of that key's would name."""
    caller = world.api_keys.caller(authorization.removeprefix("Bearer "))
    assert caller is not None
    return world.api_keys.begin_session(caller, seconds=sessions.SECONDS)


def no_keys(world: World, victim: Victim) -> dict[str, dict[str, str]]:
    """What opens nothing."""
    key = world.api_keys.add(victim.api.tenant_id, name="Gone", role="admin")
    gone = session_of(world, key)
    world.api_keys.revoke(key.split("_")[1])
    alive = victim.api.admin["Authorization"].split("_")[1]
    session = session_of(world, victim.api.admin["Authorization"])
    good = forged(world, session)
    cookies = {
        "a revoked key's session": forged(world, gone),
        "an expired session": forged(world, session, age=12 * 3600 + 60),
        "a session signed by somebody else": forged(world, session, key=b"x" * 32),
        "a session signed for another purpose": forged(world, session, salt="inboxops.connect"),
        "a session that is a key's prefix": forged(world, alive),
        "a session without a signature": session,
        "a changed session": good[:-9] + ("A" if good[-9] != "A" else "B") + good[-8:],
        "a session of no text": forged(world, {"session": session}),
        "a session of everybody": forged(world, "%"),
        "nonsense": "../../etc/passwd",
    }
    bearers = {
        "a revoked key": key,
        "a known key with another secret": f"io_{alive}_{'x' * 43}",
        "a known key without its secret": f"io_{alive}_",
        "two keys in one": f"{key}, {victim.api.admin['Authorization'].removeprefix('Bearer ')}",
        "a pattern": "io_%_%",
    }
    return {
        "nothing": {},
        **{name: {"Cookie": f"{sessions.COOKIE}={value}"} for name, value in cookies.items()},
        **{name: {"Authorization": f"Bearer {value}"} for name, value in bearers.items()},
    }


@named([each for each in OPERATIONS if each.name not in WITHOUT_A_KEY])
def test_without_a_key_that_works_every_route_is_closed(
    operation: Operation, owner: World, victim: Victim, http_client: TestClient
) -> None:
    keys, before = no_keys(owner, victim), victim.rows()
    for path, call in operation.calls(victim.ids):
        for what, headers in keys.items():
            answer = http_client.request(operation.method, path, headers=headers, **call)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), (what, path)
            assert SECRET not in answer.text.replace(path, "")
    assert victim.rows() == before


def test_a_session_outlives_a_new_signing_key_and_the_old_one_makes_no_more_of_them(
    owner: World, victim: Victim, http_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, hour = session_of(owner, victim.api.admin["Authorization"]), 3600
    world = http_client.app.state.world  # type: ignore[attr-defined]
    ended = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setattr(world, "signing_key", SigningKey(b"n" * 32, (Replaced(b"o" * 32, ended),)))

    def status(age: int, key: bytes) -> int:
        cookie = forged(owner, alive, key=key, age=age)
        return int(http_client.get("/v1/session", headers={"Cookie": f"{sessions.COOKIE}={cookie}"}).status_code)

    assert [status(age, b"o" * 32) for age in (0, hour // 2, 2 * hour, 13 * hour)] == [401, 401, 200, 401]
    assert status(0, b"n" * 32) == 200


@named([each for each in OPERATIONS if each.changes and "/webhooks/" not in each.name])
@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "https://evil.example",
        "http://testserver.evil.example",
        "http://testserver:81",
        "https://evil.example/?http://testserver",
        "ftp://testserver",
        "x://testserver",
    ],
)
def test_another_origin_changes_nothing_in_a_session(
    operation: Operation, origin: str, owner: World, victim: Victim, http_client: TestClient
) -> None:
    cookie = forged(owner, session_of(owner, victim.api.admin["Authorization"]))
    before = victim.rows()
    headers = {"Cookie": f"{sessions.COOKIE}={cookie}", **({"Origin": origin} if origin else {})}
    for path, call in operation.calls(victim.ids):
        assert http_client.request(operation.method, path, headers=headers, **call).status_code == 403
    assert victim.rows() == before


def test_another_origin_logs_nobody_in(owner: World, victim: Victim, http_client: TestClient) -> None:
    """Whoever is logged in by somebody else works, unknowing, in that one's tenant."""
    link = owner.api_keys.add_link(victim.api.tenant_id, name="Ann", role="agent", minutes=5)
    for origin in ({}, {"Origin": "https://evil.example"}):
        answer = http_client.post("/v1/session", json={"link": link}, headers=origin)
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    answer = http_client.post("/v1/session", json={"link": link}, headers={"Origin": "http://testserver"})
    assert answer.status_code == 200, "the refused tries did not use the link up"
    http_client.cookies.clear()


def test_agents_change_no_inbox_and_no_rule_of_their_own_tenant(victim: Victim, http_client: TestClient) -> None:
    """Each route that asks for an admin, found by what it depends on."""
    from api.access import admin_visit

    admins = [each for each in OPERATIONS if admin_visit in [part.call for part in each.route.dependant.dependencies]]
    assert len(admins) >= 7
    before = victim.rows()
    for operation in admins:
        for path, call in operation.calls(victim.ids):
            answer = http_client.request(operation.method, path, headers=victim.api.agent, **call)
            assert answer.status_code == 403, operation.name
    assert victim.rows() == before
