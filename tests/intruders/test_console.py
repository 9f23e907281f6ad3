"""Who has rights on the DAG of one inbox alone, at the console: no name, number or id leads to another inbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import HTTPException, Request

from inboxops.composition import console
from inboxops.core.inbox import dag_id
from inboxops.errors import InboxOpsError, InvalidInput, NotFound
from inboxops_airflow.console import HEADER, Act, _of, act
from tests.intruders.conftest import Victim
from tests.intruders.test_tasks import desk
from tests.sending.conftest import Desk

__all__ = ["desk"]  # a fixture

FORGED: dict[str, Callable[[int, str, str], str]] = {
    "their number before my name": lambda number, tenant, name: dag_id(number, tenant, name),
    "their number, and nothing": lambda number, *_: f"inbox_{number}__",
    "their number with noughts": lambda number, tenant, name: f"inbox_000{number}__{tenant}__{name}",
    "their number in other digits": lambda number, tenant, name: dag_id(number, tenant, name).translate(
        {ord(str(n)): chr(0x660 + n) for n in range(10)}
    ),
    "no DAG of an inbox": lambda *_: "drain_outbox",
    "nobody's number": lambda number, tenant, name: dag_id(2**62, tenant, name),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_name_that_is_not_the_inboxs_own_opens_none(desk: Desk, victim: Victim, forged: str) -> None:
    """Airflow allows by the name; the number in it is anybody's."""
    mine = desk.box.inbox
    assert _of(desk.world, mine.dag_id).id == mine.id
    with pytest.raises((NotFound, InvalidInput)):
        _of(desk.world, FORGED[forged](int(victim.ids["inbox_id"]), mine.tenant, mine.name))


@pytest.mark.parametrize(
    ("headers", "done"),
    [
        ({}, False),
        ({"Origin": "https://evil.example"}, False),
        ({HEADER: "1", "Sec-Fetch-Site": "cross-site"}, False),
        ({HEADER: "1", "Sec-Fetch-Site": "same-site"}, False),
        ({HEADER: "1", "Sec-Fetch-Site": "same-origin"}, True),
        ({HEADER: "1"}, True),
    ],
)
def test_a_page_of_another_origin_acts_in_nobodys_name(desk: Desk, headers: dict[str, str], done: bool) -> None:
    """As Airflow would call it for who is logged in and may edit the DAG."""
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    request = Request({"type": "http", "method": "POST", "headers": raw})
    user = SimpleAuthManagerUser(username="bob", role="op")
    inbox = desk.box.inbox
    if done:
        told = act(request, user, desk.world, inbox.dag_id, Act(action="test"))
        assert "is fine" in told["said"]
        return
    with pytest.raises(HTTPException) as refused:
        act(request, user, desk.world, inbox.dag_id, Act(action="pause"))
    assert refused.value.status_code == 403
    assert desk.box.inbox.paused_at is None


@pytest.mark.parametrize(
    ("action", "about"),
    [
        ("release", {"inbound_id": "inbound_id"}),
        ("reparse", {"inbound_id": "inbound_id"}),
        ("replay_apply", {"replay_id": "replay_id"}),
        ("replay_undo", {"replay_id": "replay_id"}),
    ],
)
def test_what_is_of_another_inbox_can_not_be_named_at_ones_own(
    desk: Desk, victim: Victim, action: str, about: dict[str, str]
) -> None:
    before = victim.rows()
    named: dict[str, Any] = {parameter: victim.ids[name] for parameter, name in about.items()}
    for ids in (named, dict.fromkeys(named, 2**62), {}):
        with pytest.raises(InboxOpsError):
            console.act(desk.world, desk.box.inbox_id, action, by="eve", **ids)
    assert victim.rows() == before
