"""The API tells whoever runs the installation that mail stands still, though the database is away."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
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
from inboxops.core.standing import Word
from inboxops.errors import OperatorError
from inboxops.events.webhook import new_secret
from inboxops.settings import Settings
from inboxops_lab.testing.proxy import Proxy
from tests.intruders.liar import http_that, lying, saying
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


@pytest.mark.usefixtures("nothing_beat_before")
def test_an_outage_is_told_once_and_its_end_once_whatever_the_receiver_says_at_first(
    services: Settings,
    world: World,
    way_to_postgres: Proxy,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(watch, "EVERY_SECONDS", 0.05)
    monkeypatch.setattr(standing, "PATIENCE", timedelta(seconds=0.5))
    monkeypatch.setattr(standing, "STARTING", timedelta(0))
    monkeypatch.setenv("INBOXOPS_HOME", str(tmp_path))
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


@pytest.mark.usefixtures("nothing_beat_before")
def test_a_process_that_is_started_anew_in_an_outage_tells_its_end(
    services: Settings,
    world: World,
    way_to_postgres: Proxy,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("INBOXOPS_HOME", str(tmp_path))
    monkeypatch.setattr(watch, "EVERY_SECONDS", 0.05)
    monkeypatch.setattr(standing, "PATIENCE", timedelta(seconds=0.5))
    monkeypatch.setattr(standing, "STARTING", timedelta(0))
    upkeep.pulse(world, datetime.now(UTC))
    kept = tmp_path / "standing.json"
    with serving(services, way_to_postgres, receiver.url, SECRET):
        way_to_postgres.is_silent = True
        way_to_postgres.drop_all()
        eventually("it is told, and kept", kept.exists)
    way_to_postgres.is_silent = False
    way_to_postgres.drop_all()
    upkeep.pulse(world, datetime.now(UTC))
    with serving(services, way_to_postgres, receiver.url, SECRET):
        eventually("its end is told", lambda: len(receiver.taken) > 1)
    assert [json.loads(body)["data"]["well"] for _, body in receiver.taken] == [False, True]


def test_a_file_that_was_cut_off_tells_nothing_and_one_that_can_not_be_written_ends_nothing(tmp_path: Path) -> None:
    kept = tmp_path / "standing.json"
    for text in ("", "{", "[]", '{"well": false}'):
        kept.write_text(text)
        assert watch._last(kept) is None
    word = Word(False, datetime.now(UTC), "Redis: TimeoutError")
    watch._keep(kept, word)
    assert watch._last(kept) == word
    watch._keep(tmp_path / "gone" / "standing.json", word)


@pytest.mark.parametrize(("url", "secret"), [("mail.example", ""), ("https://mail.example/", "whsec_not base64")])
def test_what_can_not_be_told_to_anybody_is_said_at_the_start(
    services: Settings, way_to_postgres: Proxy, url: str, secret: str
) -> None:
    with (
        pytest.raises(OperatorError, match="INBOXOPS_OPERATOR_WEBHOOK"),
        serving(services, way_to_postgres, url, secret),
    ):
        pass


def test_a_receiver_that_drips_is_given_up_and_the_installation_looked_at_again(
    services: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(watch, "EVERY_SECONDS", 0.05)
    monkeypatch.setattr(watch, "POST_SECONDS", 0.3)
    monkeypatch.setattr(standing, "PATIENCE", timedelta(0))
    monkeypatch.setattr(standing, "STARTING", timedelta(0))

    async def stands_still() -> str:
        return "everything"

    async def looked() -> None:
        known = services.model_copy(update={"operator_webhook_url": url})
        async with watch.watched(known, stands_still, tmp_path / "standing.json"):
            deadline = time.monotonic() + 30
            while dripping.callers < 2:
                assert time.monotonic() < deadline, "the first try is still listened to"
                await asyncio.sleep(0.02)

    with lying(None, talk=http_that(b"HTTP/1.1 200 ok\r\n", saying(b"X", 0.01))) as dripping:
        url = f"http://127.0.0.1:{dripping.port}/"
        asyncio.run(looked())
