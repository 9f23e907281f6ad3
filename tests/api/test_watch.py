"""The API tells whoever runs the installation that mail stands still, though the database is away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from api import watch
from api.app import create_app
from inboxops.composition import upkeep
from inboxops.composition.world import World
from inboxops.core import standing
from inboxops.errors import OperatorError
from inboxops.events.webhook import new_secret
from inboxops.settings import Settings
from inboxops_lab.testing.proxy import Proxy
from tests.receiver import Receiver

SECRET = new_secret()


@pytest.fixture
def way_to_postgres(services: Settings) -> Iterator[Proxy]:
    assert services.api_database_url is not None
    proxy = Proxy(urlsplit(services.api_database_url.get_secret_value()).port or 5432)
    yield proxy
    proxy.stop()


@contextmanager
def serving(services: Settings, proxy: Proxy, url: str, secret: str) -> Iterator[None]:
    assert services.api_database_url is not None
    there = urlsplit(services.api_database_url.get_secret_value())
    here = there._replace(netloc=there.netloc.replace(f":{there.port}", f":{proxy.port}")).geturl()
    changed = {
        "api_database_url": SecretStr(here),
        "operator_webhook_url": url,
        "operator_webhook_secret": SecretStr(secret),
    }
    with TestClient(create_app(services.model_copy(update=changed))):
        yield


def eventually(what: str, look: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_an_outage_is_told_once_and_its_end_once_whatever_the_receiver_says_at_first(
    services: Settings, world: World, way_to_postgres: Proxy, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "EVERY_SECONDS", 0.05)
    monkeypatch.setattr(standing, "PATIENCE", timedelta(seconds=0.5))
    monkeypatch.setattr(standing, "STARTING", timedelta(0))
    receiver.status = 500
    upkeep.pulse(world, datetime.now(UTC))
    with serving(services, way_to_postgres, receiver.url, SECRET):
        way_to_postgres.is_silent = True
        way_to_postgres.drop_all()
        eventually("it is tried", lambda: receiver.taken)
        receiver.taken.clear()
        receiver.status = 204
        eventually("it is told", lambda: receiver.taken)
        way_to_postgres.is_silent = False
        way_to_postgres.drop_all()
        upkeep.pulse(world, datetime.now(UTC))
        eventually("its end is told", lambda: any(json.loads(body)["data"]["well"] for _, body in receiver.taken))
    begun, over = (Webhook(SECRET).verify(body, headers) for headers, body in receiver.taken[-2:])
    assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == 2, "each once, but for tries"
    assert "the database: " in begun["text"]
    assert "moves no mail" in begun["text"]
    assert (over["type"], over["data"]["well"]) == ("inboxops.standing", True)


@pytest.mark.parametrize(("url", "secret"), [("mail.example", ""), ("https://mail.example/", "whsec_not base64")])
def test_what_can_not_be_told_to_anybody_is_said_at_the_start(
    services: Settings, way_to_postgres: Proxy, url: str, secret: str
) -> None:
    with (
        pytest.raises(OperatorError, match="INBOXOPS_OPERATOR_WEBHOOK"),
        serving(services, way_to_postgres, url, secret),
    ):
        pass
