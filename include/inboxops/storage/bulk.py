"""Writing and reading many objects from one process: obstore, a seventh of boto3's CPU an object, and no GIL while it waits.

Its runtime does not survive a fork, so it belongs to processes that are forked first and write then; everything else about
the bucket is `storage.s3`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store as Bucket

from inboxops.core.download import content_disposition, media_type
from inboxops.errors import InboxOpsError, ObjectMissing, ServiceAway
from inboxops.storage.s3 import (
    access_refused,
    bucket_missing,
    no_object_store,
    object_cut_short,
    object_missing,
    request_refused,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_REFUSED = re.compile(r"status code: 4(?!08|29)\d\d|already exists")  # of the last, obstore has a kind of its own


class BulkStore:
    """`put`, `get` and `size` of `ports.ObjectStore`, by the endpoint and credentials of a boto3 client. Threads may share it."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        endpoint = client.meta.endpoint_url
        self._name = bucket
        self._bucket = Bucket(
            bucket,
            endpoint=endpoint,
            region=client.meta.region_name,
            virtual_hosted_style_request=False,
            credential_provider=_credentials(client),
            client_options={
                "allow_http": endpoint.startswith("http:"),
                "connect_timeout": "5s",
                "timeout": "300s",  # of a whole PUT: 64 MB, the largest mail, at 1.7 Mbit/s
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=60)},
        )

    def put(self, key: str, content: bytes, *, content_type: str, file_name: str = "") -> None:
        attributes: dict[str, str] = {"Content-Type": media_type(content_type)}
        if file_name:
            attributes["Content-Disposition"] = content_disposition(file_name)
        with self._speaking(key):
            obstore.put(self._bucket, key, content, attributes=attributes, use_multipart=False)

    def get(self, key: str, *, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on."""
        with self._speaking(key):
            return bytes(obstore.get_range(self._bucket, key, start=offset, length=length))

    def size(self, key: str) -> int | None:
        """Bytes of an object, None when there is none."""
        with self._speaking(key):
            try:
                return int(obstore.head(self._bucket, key)["size"])
            except FileNotFoundError:  # an answer to HEAD has no body: whose 404 it is, one to GET says
                pass
        with suppress(ObjectMissing):
            self.get(key, offset=0, length=1)
        return None

    @contextmanager
    def _speaking(self, key: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError) as exc:
            raise _translated(exc, self._name, key) from exc


def _credentials(client: S3Client) -> Any:
    """What the client signs with, fresh whenever obstore asks: a role's credentials change."""
    signer: Any = getattr(client, "_request_signer")  # noqa: B009  # botocore has no public way to them

    def current() -> dict[str, Any]:
        frozen = signer._credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": None,
        }

    return current


def _translated(exc: BaseError | FileNotFoundError, bucket: str, key: str) -> InboxOpsError:
    if isinstance(exc, FileNotFoundError):  # obstore knows objects only, and keeps the store's answer in its text
        if "NoSuchBucket" in str(exc):
            return bucket_missing(bucket)
        return object_missing(bucket, key) if "NoSuchKey" in str(exc) else no_object_store("404 without a word of S3's")
    if isinstance(exc, (PermissionDeniedError, UnauthenticatedError)):
        return access_refused(bucket, type(exc).__name__)
    said = str(exc).partition("\n")[0][:300]  # behind it stands obstore's own view of itself
    if "status code: 416" in said:
        return object_cut_short(bucket, key)
    if _REFUSED.search(said) and "RequestTimeout" not in said:  # Amazon's answer to a slow body is a 400 of that code
        return request_refused(said)
    return ServiceAway(f"the object store is in trouble ({type(exc).__name__} at {key!r}): {said}")
