"""The disk under the object store is full, and has room again."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from inboxops.errors import TransientError
from tests.disks import fill, small_disk
from tests.objectstore import S3Server
from tests.outages.conftest import Post


def test_a_full_disk_under_the_object_store_keeps_mail_where_it_is(post: Post, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=48) as disk:
        server = S3Server(disk)
        try:
            at_it = server.settings()
            names = ("s3_endpoint", "s3_access_key", "s3_secret_key", "s3_bucket")
            post.world.close()
            post.box.world = type(post.world)(
                post.world.settings.model_copy(update={name: getattr(at_it, name) for name in names})
            )
            post.world.objects.client.create_bucket(Bucket=at_it.s3_bucket)
            post.deliver("before")
            post.poll()
            ballast = fill(disk)
            lines = (secrets.token_hex(35) for _ in range(6000))  # what can't be packed into the last free page
            post.deliver("meanwhile", body="\r\n".join(lines))
            for _ in range(2):
                with pytest.raises(TransientError):
                    post.poll()
            assert "object store" in str(post.box.inbox.last_error)
            post.lasts()
            assert post.told() == [("inbox_not_read", False)]
            ballast.unlink()
            post.poll()
            post.is_whole("before", "meanwhile")
            assert post.told() == [("inbox_not_read", False), ("inbox_not_read", True)]
        finally:
            server.stop()
