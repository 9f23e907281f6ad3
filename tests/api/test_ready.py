"""`/readyz`: whether the whole installation moves mail, as a load balancer or an operator asks it."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi.testclient import TestClient

from inboxops.composition import upkeep
from inboxops.composition.world import World


def test_it_is_ready_while_the_pulse_beats_and_says_what_stands_still_when_it_does_not(
    http_client: TestClient, world: World
) -> None:
    with world.database.transaction() as t:
        t.connection.execute(b"DELETE FROM pulse")
    answer = http_client.get("/readyz")
    assert (answer.status_code, answer.json()["stalled"]) == (503, False), "no task has ever run"
    upkeep.pulse(world, datetime.now(UTC))
    answer = http_client.get("/readyz")
    assert (answer.status_code, answer.json()["stalled"]) == (200, False)
    with world.database.transaction() as t:
        t.connection.execute(b"UPDATE pulse SET beat_at = now() - interval '5 minutes'")
    answer = http_client.get("/readyz")
    assert (answer.status_code, answer.json()["stalled"]) == (503, True)
    assert "scheduler" in answer.json()["pulse"]
    assert http_client.get("/healthz").status_code == 200, "the API itself serves on"
    upkeep.pulse(world, datetime.now(UTC))
    assert http_client.get("/readyz").status_code == 200
