"""The pulse on real servers: what it leaves, and what is said when a part is away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from inboxops.composition import upkeep
from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops.stories import pulse as story
from inboxops_lab.testing.processes import free_ports
from inboxops_lab.testing.proxy import Proxy


def beat(world: World, due_at: datetime) -> None:
    """With its drain, as each minute has both."""
    upkeep.pulse(world, due_at)
    world.heart.drained()


@pytest.fixture
def alone(services: Settings) -> World:
    return World(services)


def test_a_beat_goes_through_database_object_store_and_event_bus(alone: World) -> None:
    told = upkeep.pulse(alone, datetime.now(UTC))
    assert (told.objects, told.events) == ("", "")
    alone.heart.drained()
    found = upkeep.pulse_state(alone)
    assert found.well
    assert found.seconds is not None
    assert found.seconds < 60


def test_what_is_away_is_named_and_the_beat_is_kept(services: Settings) -> None:
    (port,) = free_ports(1)
    away = World(services.model_copy(update={"s3_endpoint": f"http://127.0.0.1:{port}"}))
    beat(away, datetime.now(UTC))
    found = upkeep.pulse_state(away)
    assert not found.well
    assert "object store" in found.said
    beat(World(services), datetime.now(UTC))
    assert upkeep.pulse_state(away).well


@pytest.mark.parametrize(("setting", "words"), [("s3_endpoint", "object store"), ("redis_url", "event bus")])
def test_what_takes_a_question_and_is_silent_is_named_before_the_task_runs_out_of_time(
    services: Settings, monkeypatch: pytest.MonkeyPatch, setting: str, words: str
) -> None:
    """No beat would be the scheduler's fault, which was started anew every 90 s."""
    monkeypatch.setattr(story, "ANSWER_SECONDS", 0.5)
    hangs = Proxy(1)
    hangs.is_silent = True
    url = f"http://127.0.0.1:{hangs.port}" if setting == "s3_endpoint" else SecretStr(f"redis://127.0.0.1:{hangs.port}")
    silent = World(services.model_copy(update={setting: url}))
    beat(silent, datetime.now(UTC))
    found = upkeep.pulse_state(silent)
    assert (found.well, found.stalled) == (False, False)
    assert f"the {words} does not answer: no answer" in found.said
    hangs.stop()
    upkeep.pulse(World(services), datetime.now(UTC))


def test_a_pulse_that_stands_still_is_late(alone: World) -> None:
    upkeep.pulse(alone, datetime.now(UTC))
    with alone.database.transaction() as t:
        t.connection.execute(b"UPDATE pulse SET beat_at = now() - interval '5 minutes'")
    found = upkeep.pulse_state(alone)
    assert (found.well, found.stalled) == (False, True)
    beat(alone, datetime.now(UTC) - timedelta(minutes=5))
    assert upkeep.pulse_state(alone).well


def test_a_drain_that_never_ends_is_late_and_begins_anew_with_the_pulse(alone: World) -> None:
    """`dags/inboxes.py` can't be read: the pulse stands in another file."""

    def minutes_pass(beat: int, drain: int) -> None:
        with alone.database.transaction() as t:
            t.connection.execute(
                b"UPDATE pulse SET beat_at = now() - make_interval(mins => %s), drained_at = now() - make_interval(mins => %s)",
                (beat, drain),
            )

    beat(alone, datetime.now(UTC))
    minutes_pass(1, 6)
    upkeep.pulse(alone, datetime.now(UTC))
    found = upkeep.pulse_state(alone)
    assert (found.well, found.stalled) == (False, False)
    assert "drain_outbox" in found.said
    alone.heart.drained()
    assert upkeep.pulse_state(alone).well
    minutes_pass(60, 60)
    upkeep.pulse(alone, datetime.now(UTC))
    assert upkeep.pulse_state(alone).well, "after a night in which nothing ran the first drain has its time"


def test_a_version_that_does_not_tell_of_its_drain_is_not_taken_for_late(alone: World) -> None:
    beat(alone, datetime.now(UTC))
    with alone.database.transaction() as t:
        t.connection.execute(b"UPDATE pulse SET drained_at = NULL")
    assert upkeep.pulse_state(alone).well


def test_a_triggerer_that_stands_still_is_late_and_tasks_are_not(alone: World) -> None:
    beat(alone, datetime.now(UTC))
    upkeep.triggered(alone)
    assert upkeep.pulse_state(alone).well
    with alone.database.transaction() as t:
        t.connection.execute(b"UPDATE pulse SET triggered_at = now() - interval '5 minutes'")
    found = upkeep.pulse_state(alone)
    assert (found.well, found.stalled, found.triggerer_late) == (False, False, True)
    upkeep.triggered(alone)
    assert upkeep.pulse_state(alone).well
