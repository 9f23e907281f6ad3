"""Writing and reading many objects from one process: obstore, a seventh of boto3's CPU an object, and no GIL while it waits.

Its runtime does not survive a fork, so it belongs to processes that are forked first and write then; everything else about
the bucket is `storage.s3`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store as Bucket

from inboxops.errors import InboxOpsError, ObjectMissing, OperatorError, TransientError
from inboxops.storage.s3 import content_disposition, media_type

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class SwiftStore:
    """`put` and `get` of `ports.ObjectStore`, with the endpoint and the credentials of a boto3 client. Safe to share by threads."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        endpoint = client.meta.endpoint_url
        self._bucket = Bucket(
            bucket,
            endpoint=endpoint,
            region=client.meta.region_name,
            virtual_hosted_style_request=False,
            credential_provider=_credentials(client),
            client_options={
                "allow_http": endpoint.startswith("http:"),
                "connect_timeout": "5s",
                "timeout": "60s",
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=60)},
        )

    def put(self, key: str, content: bytes, *, content_type: str, file_name: str = "") -> None:
        attributes: dict[str, str] = {"Content-Type": media_type(content_type)}
        if file_name:
            attributes["Content-Disposition"] = content_disposition(file_name)
        with _speaking(key):
            obstore.put(self._bucket, key, content, attributes=attributes, use_multipart=False)

    def get(self, key: str, *, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on."""
        with _speaking(key):
            return bytes(obstore.get_range(self._bucket, key, start=offset, length=length))


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


@contextmanager
def _speaking(key: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, FileNotFoundError) as exc:
        raise _translated(exc, key) from exc


def _translated(exc: BaseError | FileNotFoundError, key: str) -> InboxOpsError:
    if isinstance(exc, FileNotFoundError):
        return ObjectMissing(f"the object {key!r} is missing from the bucket", fix="Restore it from a backup")
    if isinstance(exc, (PermissionDeniedError, UnauthenticatedError)):
        return OperatorError(
            "the object store refuses access",
            fix="Check INBOXOPS_S3_ACCESS_KEY, INBOXOPS_S3_SECRET_KEY and this machine's clock",
        )
    return TransientError(f"the object store is in trouble ({type(exc).__name__} at {key!r})")
