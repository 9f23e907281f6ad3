"""PostgreSQL, the object store and Redis go away while mail is read, and come back: nothing is lost, nobody lends a hand."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
import structlog
from airflow.triggers.base import TaskSkippedEvent, TriggerEvent

from inboxops.composition import intake, upkeep
from inboxops.errors import TransientError
from inboxops.events.redis_bus import stream
from inboxops.stories.outlast import outlast
from inboxops_airflow import connections
from inboxops_airflow.triggers import ProbeTrigger
from inboxops_lab.testing.processes import wait_until
from tests.outages.conftest import Post, Services


def test_postgres_comes_back_to_the_same_process(post: Post, own: Services) -> None:
    post.deliver("before")
    post.poll()
    with own.away("postgres"):
        post.deliver("meanwhile")
        with pytest.raises(TransientError, match="database"):
            post.poll()
    post.poll()
    post.is_whole("before", "meanwhile")
    assert post.told() == [], "it was over before anybody could be told"


@pytest.mark.parametrize("part", ["postgres", "s3"])
@pytest.mark.parametrize("stage", ["fetch", "classify", "persist"])
def test_a_stage_waits_for_a_service_that_is_started_again(post: Post, own: Services, part: str, stage: str) -> None:
    """Its run would have failed, and mail that is durable have waited for the next poll: 136 s were seen."""
    stages = {"fetch": intake.fetch_woken, "classify": intake.classify, "persist": intake.persist}
    post.deliver("meanwhile")
    for name, before in stages.items():
        if name == stage:
            break
        before(post.world, post.box.inbox_id)
    with ThreadPoolExecutor(1) as worker, structlog.testing.capture_logs() as lines:
        with own.away(part):
            task = worker.submit(outlast, lambda: stages[stage](post.world, post.box.inbox_id))
            wait_until("it waits, or needs no such service", lambda: task.done() or waits(lines), seconds=90)
            assert task.done() is ((stage, part) == ("persist", "s3"))
        task.result(timeout=90)
    intake.file(post.world, post.box.inbox_id)
    post.is_whole("meanwhile")


def test_a_probe_waits_for_the_database_and_holds_no_thread(
    post: Post, own: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "world", lambda: post.world)

    async def probed() -> TriggerEvent:
        return await anext(ProbeTrigger(post.box.inbox_id).run())

    with ThreadPoolExecutor(1) as worker, structlog.testing.capture_logs() as lines:
        with own.away("postgres"):
            probe = worker.submit(asyncio.run, probed())
            wait_until("it waits", lambda: waits(lines), seconds=90)
        assert type(probe.result(timeout=120)) is TaskSkippedEvent


def waits(lines: list[structlog.typing.EventDict]) -> bool:
    return any(line["event"] == "waits_for_a_service" for line in lines)


def test_an_inbox_says_that_it_waits_for_the_object_store(post: Post, own: Services) -> None:
    with own.away("s3"):
        post.deliver("meanwhile")
        for _ in range(2):
            with pytest.raises(TransientError):
                post.poll()
        assert "object store" in str(post.box.inbox.last_error)
        assert post.box.inbox.is_live
        assert post.told() == [], "it may pass"
        post.lasts()
        with pytest.raises(TransientError):
            post.poll()
        assert post.told() == [("inbox_not_read", False)]
    post.poll()
    post.is_whole("meanwhile")
    assert post.told() == [("inbox_not_read", False), ("inbox_not_read", True)]


def test_mail_goes_on_without_redis_and_every_event_is_heard_later(post: Post, own: Services) -> None:
    with own.away("redis"):
        post.deliver("meanwhile")
        post.poll()
        post.is_whole("meanwhile")
    assert upkeep.drain(post.world).events >= 2
    tenant_id = post.box.inbox.tenant_id
    events = post.box.query("SELECT id FROM outbox WHERE kind = 'event' AND tenant_id = %s", tenant_id)
    client = redis.Redis.from_url(own.settings.redis_url.get_secret_value(), decode_responses=True)
    heard = "".join(entry["event"] for _, entry in client.xrange(stream(tenant_id)))
    assert [id_ for (id_,) in events if f'"id":{id_},' not in heard] == []
