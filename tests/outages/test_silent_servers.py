"""A mail server that takes connections and says nothing holds up its own inboxes, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TriggerEvent

from inboxops.core.looking import FEW_AT_ONCE
from inboxops_airflow import connections
from inboxops_airflow.triggers import PROBES_AT_ONCE, ProbeTrigger
from inboxops_lab.testing.processes import wait_until
from inboxops_lab.testing.proxy import Proxy
from tests.outages.conftest import Post

MANY = 4 * PROBES_AT_ONCE


@pytest.fixture
def server() -> Iterator[Proxy]:
    proxy = Proxy(1)
    proxy.is_silent = True
    yield proxy
    proxy.stop()


@pytest.fixture
def waiting(post: Post, server: Proxy) -> Iterator[list[int]]:
    """More inboxes on it than a triggerer has threads for probes."""
    world, ids = post.world, []
    connection = {"host": "127.0.0.1", "port": server.port, "security": "plain", "folder": "INBOX"}
    for number in range(MANY):
        id_ = world.inboxes.add(
            tenant_id=post.box.inbox.tenant_id, name=f"n{number}", email_address=f"n{number}@silent.example",
            display_name="", connection_type="imap", connection=connection,
            credentials=world.vault.seal({"username": "u", "password": "p"}), first_sync_days=7, first_sync_messages=500,
        )  # fmt: skip
        assert id_ is not None
        ids.append(id_)
    yield ids
    for id_ in ids:
        world.inboxes.remove(id_)


async def probed(inbox_id: int) -> TriggerEvent:
    return await anext(ProbeTrigger(inbox_id).run())


def test_other_inboxes_are_probed_meanwhile_and_its_own_say_what_they_wait_for(
    post: Post, server: Proxy, waiting: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "world", lambda: post.world)

    async def all_at_once() -> tuple[TriggerEvent, bool, list[TriggerEvent]]:
        probes = [asyncio.create_task(probed(id_)) for id_ in waiting]
        await asyncio.to_thread(wait_until, "some ask the server", lambda: server.connections >= FEW_AT_ONCE)
        other = await probed(post.box.inbox_id)
        before_them = not any(probe.done() for probe in probes)
        while not all(probe.done() for probe in probes):
            server.drop_all()
            await asyncio.sleep(0.05)
        return other, before_them, [probe.result() for probe in probes]

    other, before_them, theirs = asyncio.run(all_at_once())
    assert (type(other), before_them) == (TaskSkippedEvent, True)
    assert {type(event) for event in theirs} == {TaskFailedEvent}
    assert server.connections < 3 * FEW_AT_ONCE, "once it is known to be silent, nobody asks it"
    assert all(post.world.inboxes.get(id_).last_error for id_ in waiting)
