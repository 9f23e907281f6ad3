"""`/readyz`: whether the whole installation moves mail, as a load balancer or an operator asks it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from inboxops.composition import upkeep
from inboxops.composition.world import World
from tests.sending.conftest import Desk

pytestmark = pytest.mark.usefixtures("nothing_beat_before")


def beat(world: World) -> None:
    """The pulse and the drain, as they come each minute."""
    upkeep.pulse(world, datetime.now(UTC))
    world.heart.drained()


def test_it_is_ready_while_the_pulse_beats_and_says_what_stands_still_when_it_does_not(
    http_client: TestClient, world: World
) -> None:
    answer = http_client.get("/readyz")
    assert (answer.status_code, answer.json()["stalled"]) == (503, False), "no task has ever run"
    beat(world)
    answer = http_client.get("/readyz")
    assert (answer.status_code, answer.json()["stalled"]) == (200, False)
    with world.database.transaction() as t:
        t.connection.execute(b"UPDATE pulse SET beat_at = now() - interval '5 minutes'")
    answer = http_client.get("/readyz")
    assert (answer.status_code, answer.json()["stalled"]) == (503, True)
    assert "scheduler" in answer.json()["pulse"]
    assert http_client.get("/healthz").status_code == 200, "the API itself serves on"
    beat(world)
    assert http_client.get("/readyz").status_code == 200


def test_a_triggerer_in_which_nothing_runs_makes_it_not_ready_and_is_named(
    http_client: TestClient, world: World
) -> None:
    beat(world)
    upkeep.triggered(world)
    assert http_client.get("/readyz").status_code == 200
    with world.database.transaction() as t:
        t.connection.execute(b"UPDATE pulse SET triggered_at = now() - interval '5 minutes'")
    answer = http_client.get("/readyz")
    told = answer.json()
    assert (answer.status_code, told["stalled"], told["triggerer_late"]) == (503, False, True)
    assert "triggerer" in told["pulse"]
    upkeep.triggered(world)
    assert http_client.get("/readyz").status_code == 200


def test_a_drain_that_does_not_come_makes_it_not_ready_and_is_named(http_client: TestClient, world: World) -> None:
    beat(world)
    with world.database.transaction() as t:
        t.connection.execute(b"UPDATE pulse SET drained_at = now() - interval '6 minutes'")
    answer = http_client.get("/readyz")
    assert (answer.status_code, answer.json()["stalled"]) == (503, False), "no scheduler is to be started anew for it"
    assert "drain_outbox" in answer.json()["pulse"]
    upkeep.drain(world)
    assert http_client.get("/readyz").status_code == 200


def test_looks_that_are_late_make_it_not_ready(http_client: TestClient, world: World, desk: Desk) -> None:
    beat(world)
    world.looks.end()
    assert http_client.get("/readyz").json()["looks"] == "off: each look is a run"
    world.looks.follow(timedelta(minutes=5))
    assert "in time" in http_client.get("/readyz").json()["looks"]
    with world.database.transaction() as t:
        t.connection.execute(
            b"UPDATE inbox_looks SET due_at = now() - interval '10 minutes' WHERE inbox_id = %s", (desk.box.inbox_id,)
        )
    answer = http_client.get("/readyz")
    assert (answer.status_code, answer.json()["stalled"]) == (503, False), "a scheduler has no part in it"
    assert "looks are late by 600 s" in answer.json()["looks"]
    world.looks.end()
    assert http_client.get("/readyz").status_code == 200
