"""Events reach whoever listens, stay in the stream for who comes later, and are kept when Redis is away."""

from __future__ import annotations

import json

import pytest
import redis

from inboxops.errors import TransientError
from inboxops.events.redis_bus import TRIED_ON, RedisBus, channel, client, stream
from inboxops.ports import PublishedEvent
from tests.events.conftest import Valkey


@pytest.fixture
def server(valkey: Valkey) -> redis.Redis:
    return client(valkey.url)


def event(number: int, tenant_id: int = 1, **payload: object) -> PublishedEvent:
    return PublishedEvent(id=number, tenant_id=tenant_id, name="ticket.updated", payload=payload)


def replayed(server: redis.Redis, tenant_id: int) -> list[dict[str, object]]:
    return [json.loads(fields[b"event"]) for _, fields in server.xrange(stream(tenant_id))]


def test_a_subscriber_gets_its_tenants_events_and_no_others(server: redis.Redis) -> None:
    with server.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(channel(11))
        listener.get_message(timeout=30)
        RedisBus(server).publish([event(1, 12, ticket_id=5), event(2, 11, ticket_id=6), event(3, 11, subject="Grüße")])
        received = []
        while len(received) < 2 and (message := listener.get_message(timeout=30)) is not None:
            received.append(json.loads(message["data"]))
        assert received == [
            {"id": 2, "event": "ticket.updated", "tenant_id": 11, "ticket_id": 6},
            {"id": 3, "event": "ticket.updated", "tenant_id": 11, "subject": "Grüße"},
        ]
        assert listener.get_message(timeout=0.1) is None


def test_who_comes_later_reads_the_stream_in_order(server: redis.Redis) -> None:
    RedisBus(server).publish([event(number, 21) for number in range(1, 6)])
    assert [entry["id"] for entry in replayed(server, 21)] == [1, 2, 3, 4, 5]


def test_the_stream_is_capped(server: redis.Redis) -> None:
    bus = RedisBus(server, stream_length=100)
    bus.publish([event(number, 31) for number in range(1, 2001)])
    kept = replayed(server, 31)
    assert 100 <= len(kept) < 400  # Valkey trims whole nodes of about a hundred entries
    assert kept[-1]["id"] == 2000


def test_a_payload_cannot_pose_as_another_event(server: redis.Redis) -> None:
    posing = {"id": 1, "tenant_id": 42, "event": "inbox.disconnected"}
    RedisBus(server).publish([PublishedEvent(id=7, tenant_id=41, name="ticket.updated", payload=posing)])
    assert replayed(server, 41) == [{"id": 7, "event": "ticket.updated", "tenant_id": 41}]
    assert replayed(server, 42) == []


def test_nothing_to_publish_needs_no_redis() -> None:
    RedisBus(client("redis://127.0.0.1:1/0")).publish([])


def test_one_that_is_full_or_only_reads_takes_no_events_although_it_answers(
    valkey: Valkey, server: redis.Redis
) -> None:
    RedisBus(server).try_out()
    server.config_set("maxmemory", "1")
    try:
        assert server.ping()
        with pytest.raises(TransientError, match="used memory"):
            RedisBus(server).try_out()
    finally:
        server.config_set("maxmemory", "0")
    server.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(TransientError, match="read only replica"):
            RedisBus(server).try_out()
    finally:
        server.replicaof("NO", "ONE")
    RedisBus(server).try_out()
    assert server.xlen(TRIED_ON) == 1


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://no-such-host.invalid:6379/0"])
def test_redis_away_is_transient(url: str) -> None:
    with pytest.raises(TransientError, match="INBOXOPS_REDIS_URL"):
        RedisBus(client(url)).publish([event(1)])
