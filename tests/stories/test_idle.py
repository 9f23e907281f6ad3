"""Which mailboxes are held in IDLE, and whether anything holds them."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest

from inboxops.composition import mailboxes
from inboxops.composition.world import World
from inboxops.core.pulse import Pulse
from inboxops.settings import Settings
from inboxops_airflow import connections
from inboxops_airflow.triggers import IdleTrigger
from inboxops_lab.testing.mailserver import MailServer
from inboxops_lab.testing.processes import wait_until
from tests.stories.conftest import Mailbox, connect


@pytest.fixture
def world(services: Settings) -> Iterator[World]:
    """In a cell of its own: in the common one other tests have more inboxes than are held at once."""
    world = World(services.model_copy(update={"cell": f"c{uuid.uuid4().hex[:12]}"}))
    yield world
    world.close()


@pytest.fixture
def tenant(world: World) -> str:
    world.inboxes.add_tenant(f"t{world.cell}", "Test Ltd", cell=world.cell)
    return f"t{world.cell}"


def to_hold(world: World) -> tuple[set[int], set[int]]:
    found, locked = mailboxes.to_hold(world)
    return {account.inbox_id for account, _ in found}, set(locked)


def test_an_inbox_whose_credentials_do_not_open_is_left_out_and_the_others_are_held(
    world: World, tenant: str, mail_server: MailServer, mailbox: Mailbox
) -> None:
    other = connect(world, tenant, mail_server, "sales")
    for box in (mailbox, other):
        box.run()
    mailbox.query(
        "UPDATE inboxes SET credentials_encrypted = %s WHERE id = %s RETURNING 1", os.urandom(100), mailbox.inbox_id
    )
    held, locked = to_hold(world)
    assert mailbox.inbox_id in locked - held
    assert other.inbox_id in held - locked


def test_a_hub_that_is_gone_is_told(world: World, mailbox: Mailbox) -> None:
    mailbox.run()
    world.heart.beat(Pulse(due_at=datetime.now(UTC), began_at=datetime.now(UTC)))
    world.inboxes.note_held([mailbox.inbox_id], cell=world.cell)
    state = mailboxes.idle_state(world)
    assert state.well
    assert "1 of " in state.said
    mailbox.query("UPDATE pulse SET idle_at = now() - interval '4 minutes' WHERE cell = %s RETURNING 1", world.cell)
    mailbox.query(
        "UPDATE inboxes SET first_read_at = now() - interval '1 hour' WHERE id = %s RETURNING 1", mailbox.inbox_id
    )
    state = mailboxes.idle_state(world)
    assert not state.well
    assert "nothing holds mailboxes in IDLE for 240 s" in state.said


def test_an_inbox_that_was_just_read_for_the_first_time_is_no_reason_to_call_anybody(
    world: World, mailbox: Mailbox
) -> None:
    """Nor is a start of everything: the triggerer comes after the demonstration's mail."""
    mailbox.run()
    assert mailboxes.idle_state(world).well
    mailbox.query(
        "UPDATE inboxes SET first_read_at = now() - interval '1 hour' WHERE id = %s RETURNING 1", mailbox.inbox_id
    )
    assert "nothing holds mailboxes in IDLE for 3600 s" in mailboxes.idle_state(world).said


def test_a_stream_whose_hub_ended_ends_so_that_airflow_opens_another(
    world: World, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox.run()
    made: list[mailboxes.IdleHub] = []
    open_hub = mailboxes.idle_hub
    monkeypatch.setattr(connections, "world", lambda: world)
    monkeypatch.setattr(mailboxes, "idle_hub", lambda of: made.append(open_hub(of)) or made[-1])

    async def ends_with_its_hub() -> list[int]:
        arrived = asyncio.ensure_future(_all(IdleTrigger.open_shared_stream({})))
        await asyncio.to_thread(wait_until, "IDLE", lambda: made and mailbox.inbox_id in made[0].healthy())
        await asyncio.to_thread(made[0].close)
        return await asyncio.wait_for(arrived, 30)

    assert mailbox.inbox_id not in asyncio.run(ends_with_its_hub()), "to which no mail came"


async def _all(stream: AsyncIterator[int]) -> list[int]:
    return [inbox_id async for inbox_id in stream]
