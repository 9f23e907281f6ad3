"""What Prometheus is told of canaries: what admins are told of, and how long a canary takes."""

from __future__ import annotations

import pytest

from inboxops.composition import canaries
from inboxops.composition.world import World
from inboxops.errors import InboxOpsError
from tests.sending.conftest import Desk, desk
from tests.stories.test_canary import arrive, figures, let_it_be_late, wish

__all__ = ["desk"]


@pytest.mark.parametrize("away", ["paused", "disconnected", "not read", "not polled"])
def test_a_canary_under_way_to_an_inbox_that_nobody_reads_is_not_late(desk: Desk, world: World, away: str) -> None:
    before = figures(world)["canary_late_inboxes"]
    wish(desk)
    lost = canaries.send(world, desk.box.inbox_id)
    let_it_be_late(desk, lost)
    assert figures(world)["canary_late_inboxes"] == before, "nobody has read the inbox since"
    desk.box.run()
    assert figures(world)["canary_late_inboxes"] == before + 1
    change = {
        "paused": "paused_at = now()",
        "disconnected": "connected_at = NULL, last_error = 'the login is refused'",
        "not read": "last_error = 'the server is away'",
        "not polled": "last_fetch_at = now() - interval '2 hours'",
    }[away]
    desk.box.query(f"UPDATE inboxes SET {change} WHERE id = %s RETURNING 1", desk.box.inbox_id)
    assert figures(world)["canary_late_inboxes"] == before


def test_a_paused_inbox_has_none_that_could_not_be_sent(desk: Desk, world: World) -> None:
    before = figures(world)["canary_not_sent_inboxes"]
    wish(desk)
    desk.submission.answer = "550 no"
    with pytest.raises(InboxOpsError):
        canaries.send(world, desk.box.inbox_id)
    assert figures(world)["canary_not_sent_inboxes"] == before + 1
    world.inboxes.pause(desk.box.inbox_id, paused=True)
    assert figures(world)["canary_not_sent_inboxes"] == before, "no other is sent that could end it"


def test_how_long_they_take_is_told(desk: Desk, world: World) -> None:
    number = canaries.send(world, desk.box.inbox_id)
    arrive(desk)
    desk.box.query("UPDATE canaries SET sent_at = back_at - interval '90 seconds' WHERE id = %s RETURNING 1", number)
    with world.database.transaction() as t:
        rows = t.connection.execute(
            b"SELECT labels ->> 'quantile' AS quantile, value FROM canary_metrics() WHERE name = 'canary_back_seconds'"
        ).fetchall()
    told = {row["quantile"]: row["value"] for row in rows}
    assert told.keys() == {"0.5", "0.95"}
    assert 0 <= told["0.5"] <= told["0.95"] and told["0.95"] > 0
