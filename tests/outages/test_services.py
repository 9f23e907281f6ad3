"""PostgreSQL, the object store and Redis go away while mail is read, and come back: nothing is lost, nobody lends a hand."""

from __future__ import annotations

import pytest
import redis

from inboxops.composition import upkeep
from inboxops.errors import TransientError
from inboxops.events.redis_bus import stream
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
