"""Nothing that goes wrong is told with a secret in it: not in an answer, and not in the API's log."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from inboxops.composition.world import World
from inboxops.settings import Settings
from tests.intruders.routes import STREAMS, operations
from tests.intruders.test_tenants import NOWHERE

PASSWORD = f"password-{uuid.uuid4().hex}"
AWAY: dict[str, dict[str, Any]] = {
    "Redis is away": {"redis_url": SecretStr(f"redis://:{PASSWORD}@127.0.0.1:1/0")},
    "the object store is away": {"s3_endpoint": "http://127.0.0.1:1", "s3_secret_key": SecretStr(PASSWORD)},
    "the object store refuses": {"s3_secret_key": SecretStr(PASSWORD)},
    "Airflow is away": {"airflow_url": "http://127.0.0.1:1", "airflow_password": SecretStr(PASSWORD)},
    "no key opens anything": {"credential_keys": SecretStr(PASSWORD)},
}


def secrets(settings: Settings) -> Iterator[str]:
    """Every value that is one, and the password in an address."""
    yield PASSWORD
    for field in Settings.model_fields:
        if isinstance(value := getattr(settings, field), SecretStr) and (text := value.get_secret_value()):
            yield text.rpartition("@")[0].rpartition(":")[2] if "://" in text else text


@pytest.mark.parametrize("what", AWAY)
def test_no_answer_and_no_line_says_a_secret(
    what: str, owner: World, services: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    slug = f"w{uuid.uuid4().hex[:12]}"
    owner.inboxes.add_tenant(slug, "Wronged Ltd")
    key = owner.api_keys.add(owner.inboxes.tenant_id(slug), name="Ann", role="admin")
    broken = services.model_copy(update=AWAY[what])
    known = sorted(set(secrets(broken)))
    assert all(len(secret) >= 20 for secret in known)
    failed = 0
    with TestClient(create_app(broken), raise_server_exceptions=False) as http:
        headers = {"Authorization": f"Bearer {key}"}
        calls = [
            (operation.method, path, call)
            for operation in operations()
            if operation.name not in STREAMS
            for path, call in operation.calls(NOWHERE)
        ]
        calls += [("POST", "/v1/attachments", {"files": {"file": ("a.txt", b"x")}}), ("GET", "/readyz", {})]
        for method, path, call in calls:
            answer = http.request(method, path, headers=headers, follow_redirects=False, **call)
            failed += answer.status_code >= 500
            said = f"{answer.headers}{answer.text}"
            assert [secret for secret in known if secret in said] == [], (method, path)
    assert failed or what in ("Airflow is away", "no key opens anything")
    told = capsys.readouterr()
    assert [secret for secret in known if secret in told.out + told.err] == []
