"""The pulse on real servers: what it leaves, and what is said when a part is away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from inboxops.composition import upkeep
from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops_lab.testing.processes import free_ports


@pytest.fixture
def alone(services: Settings) -> World:
    return World(services)


def test_a_beat_goes_through_database_object_store_and_event_bus(alone: World) -> None:
    told = upkeep.pulse(alone, datetime.now(UTC))
    assert (told.objects, told.events) == ("", "")
    found = upkeep.pulse_state(alone)
    assert found.well
    assert found.seconds is not None
    assert found.seconds < 60


def test_what_is_away_is_named_and_the_beat_is_kept(services: Settings) -> None:
    (port,) = free_ports(1)
    away = World(services.model_copy(update={"s3_endpoint": f"http://127.0.0.1:{port}"}))
    upkeep.pulse(away, datetime.now(UTC))
    found = upkeep.pulse_state(away)
    assert not found.well
    assert "object store" in found.said
    upkeep.pulse(World(services), datetime.now(UTC))
    assert upkeep.pulse_state(away).well


def test_a_pulse_that_stands_still_is_late(alone: World) -> None:
    upkeep.pulse(alone, datetime.now(UTC))
    with alone.database.transaction() as t:
        t.connection.execute(b"UPDATE pulse SET beat_at = now() - interval '5 minutes'")
    found = upkeep.pulse_state(alone)
    assert (found.well, found.stalled) == (False, True)
    upkeep.pulse(alone, datetime.now(UTC) - timedelta(minutes=5))
    assert upkeep.pulse_state(alone).well
