"""Stored mail read again from Airflow's console: what an operator names, of the inbox that he may act on alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from inboxops.composition import console
from inboxops.errors import InvalidInput
from tests.replay.conftest import Replays
from tests.stories.conftest import mail


def previewed(desk: Replays, **asked: Any) -> dict[str, Any]:
    """The replay that the console asks for."""
    said = console.act(desk.world, desk.box.inbox_id, "replay", by="Ann", **asked)
    assert said.startswith("replay ")
    return desk.world.replays.one(int(said.split()[1]), tenant_id=desk.tenant_id)


def test_a_ticket_a_mail_or_days_are_named_as_elsewhere(desk: Replays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inboxops.composition.runs.ask_for_replay", lambda *given: True)
    desk.box.deliver(mail("Help", id="help"))
    desk.box.run()
    inbound, box = desk.message("Help")["inbound_id"], desk.box.inbox_id
    row = previewed(desk, about="#1")
    assert (row["ticket_number"], row["inbound_id"], row["inbox_id"]) == (1, None, box)
    row = previewed(desk, about=f"mail {inbound}")
    assert (row["ticket_number"], row["inbound_id"], row["inbox_id"]) == (None, inbound, box)
    today = datetime.now(UTC).date()
    row = previewed(desk, since=today - timedelta(days=3), until=today)
    assert row["until"] - row["since"] == timedelta(days=4), "the last day counts"
    for wrong in ({}, {"about": "#2"}, {"about": "help@customer.example"}, {"until": today}, {"about": "mail 4811"}):
        with pytest.raises(InvalidInput):
            previewed(desk, **wrong)
