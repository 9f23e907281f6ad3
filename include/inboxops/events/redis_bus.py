"""Committed events on Redis: published to whoever listens now, and kept in a capped stream for who comes back later.

A tenant has a channel and a stream of its own, so that no subscriber sees another tenant's events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import redis

from inboxops.errors import ServiceAway
from inboxops.ports import PublishedEvent

STREAM_LENGTH = 10_000  # events a tenant's stream keeps, about
TRIED_ON = "inboxops:pulse:stream"


def channel(tenant_id: int) -> str:
    return f"inboxops:{tenant_id}:events"


def stream(tenant_id: int) -> str:
    """Entries have one field, `event`: the same JSON that is published."""
    return f"inboxops:{tenant_id}:stream"


def encoded(event: PublishedEvent) -> str:
    """`{"id", "event", "tenant_id", ...payload}`; a payload can't pose as another event or tenant."""
    envelope = {"id": event.id, "event": event.name, "tenant_id": event.tenant_id}
    return json.dumps({**event.payload, **envelope}, ensure_ascii=False, separators=(",", ":"))


def client(url: str) -> redis.Redis:
    """A client with time-outs of seconds, to be shared between threads. It connects at the first command."""
    return redis.Redis.from_url(
        url, socket_connect_timeout=3, socket_timeout=5, health_check_interval=30, max_connections=16
    )


class RedisBus:
    """`ports.EventBus` over a redis-py client. A repeated event keeps its id: delivery is at least once."""

    def __init__(self, client: redis.Redis, *, stream_length: int = STREAM_LENGTH) -> None:
        self._client = client
        self._stream_length = stream_length

    def try_out(self) -> None:
        """Raises ServiceAway when it takes no events: one that is full, or a replica, answers a ping as ever."""
        with _speaking("takes no events"):
            self._client.xadd(TRIED_ON, {"event": "pulse"}, maxlen=1, approximate=False)

    def forget(self, tenant_id: int) -> None:
        """A tenant's stream goes, with what was kept of it. Raises ServiceAway when Redis is away."""
        with _speaking("forgets nothing"):
            self._client.delete(stream(tenant_id))

    def publish(self, events: Sequence[PublishedEvent]) -> None:
        """All events in one round trip. Raises ServiceAway: some may have gone out, all have to be tried again."""
        if not events:
            return
        pipeline = self._client.pipeline(transaction=False)
        for event in events:
            text = encoded(event)
            pipeline.xadd(stream(event.tenant_id), {"event": text}, maxlen=self._stream_length, approximate=True)
            pipeline.publish(channel(event.tenant_id), text)
        with _speaking("takes no events"):
            pipeline.execute()


@contextmanager
def _speaking(failed: str) -> Iterator[None]:
    try:
        yield
    except redis.RedisError as exc:
        raise ServiceAway(f"Redis {failed}: {exc}", fix="Check INBOXOPS_REDIS_URL if this lasts") from exc
