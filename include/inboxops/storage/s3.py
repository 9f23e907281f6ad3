"""Objects in an S3 bucket that nobody reads without a signature. Vendor errors become ours in `_translated`."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from hashlib import md5
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.parsers import ResponseParserError

from inboxops.core.download import content_disposition, media_type
from inboxops.errors import InboxOpsError, ObjectMissing, OperatorError, ServiceAway
from inboxops.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

_DELETES_PER_CALL = 1000  # DeleteObjects takes no more
_THROTTLED = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "503"}
_REFUSED = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AuthFailure",
    "RequestTimeTooSkewed",
    "ExpiredToken",
    "403",
}


def client(settings: Settings, *, connect_seconds: float = 5, read_seconds: float = 30, attempts: int = 4) -> S3Client:
    """A client for the configured endpoint, to be shared between threads.

    Path addressing and checksums only where S3 requires them, because other servers than AWS know no others. A store on this
    machine is asked directly, whatever proxy the environment names: none can reach it.
    """
    s3: S3Client = boto3.session.Session().client(
        "s3",
        endpoint_url=settings.s3_endpoint or None,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key or None,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value() or None,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=16,
            connect_timeout=connect_seconds,
            read_timeout=read_seconds,
            retries={"mode": "standard", "total_max_attempts": attempts},
            proxies={} if _is_on_this_machine(settings.s3_endpoint) else None,
        ),
    )
    return s3


def _is_on_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class S3Store:
    """`ports.ObjectStore` over a boto3 client. Every method raises only errors of `inboxops.errors`."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self.client = client
        self._bucket = bucket

    def ensure_bucket(self) -> None:
        """Make the bucket when it is missing, and shut it to the public."""
        self._make_bucket()
        with self._speaking():
            try:
                self.client.put_public_access_block(
                    Bucket=self._bucket,
                    PublicAccessBlockConfiguration={
                        "BlockPublicAcls": True,
                        "IgnorePublicAcls": True,
                        "BlockPublicPolicy": True,
                        "RestrictPublicBuckets": True,
                    },
                )
            except ClientError as exc:
                # Most servers but AWS know no such switch: there a bucket is private until somebody says otherwise.
                if _code(exc) not in {"NotImplemented", "MethodNotAllowed", "MalformedXML", "405", "501"}:
                    raise

    def _make_bucket(self) -> None:
        with self._speaking():
            try:
                self.client.head_bucket(Bucket=self._bucket)
                return
            except ClientError as exc:
                if _code(exc) not in {"404", "NoSuchBucket", "NotFound"}:
                    raise
            region = self.client.meta.region_name
            location: Any = (
                {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            )
            try:
                self.client.create_bucket(Bucket=self._bucket, **location)
            except ClientError as exc:  # another process was quicker
                if _code(exc) not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                    raise

    def put(self, key: str, content: bytes, *, content_type: str, file_name: str = "") -> None:
        disposition: Any = {"ContentDisposition": content_disposition(file_name)} if file_name else {}
        with self._speaking(key):
            self.client.put_object(
                Bucket=self._bucket, Key=key, Body=content, ContentType=media_type(content_type), **disposition
            )

    def get(self, key: str, *, offset: int | None = None, length: int | None = None) -> bytes:
        """The object, or `length` bytes from `offset` on (both in bytes; without a length, the rest)."""
        if length == 0:
            return b""
        start = offset or 0
        end = start + length - 1 if length is not None else ""
        wanted: Any = {} if offset is None and length is None else {"Range": f"bytes={start}-{end}"}
        with self._speaking(key):
            answer = self.client.get_object(Bucket=self._bucket, Key=key, **wanted)
            if "ETag" not in answer:
                raise no_object_store("200 without what S3 says of an object")
            body = answer["Body"].read()
        # A server may pass over a range (RFC 9110, section 14.2), and says so by leaving Content-Range out.
        return body if "ContentRange" in answer else body[start:][:length]

    def delete(self, keys: Sequence[str]) -> None:
        """Keys that don't exist count as deleted."""
        for first in range(0, len(keys), _DELETES_PER_CALL):
            objects: Any = [{"Key": key} for key in keys[first : first + _DELETES_PER_CALL]]
            with self._speaking():
                answer = self.client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
            failed = [error for error in answer.get("Errors", []) if error.get("Code") != "NoSuchKey"]
            if failed:
                raise ServiceAway(f"{len(failed)} objects could not be deleted, first: {failed[0].get('Message')}")

    def list(self, prefix: str) -> Iterator[str]:
        return (key for key, _ in self.sizes(prefix))

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """(key, bytes) of the objects below a prefix, a thousand in one answer."""
        with self._speaking():
            for page in self._pages(prefix):
                yield from ((item["Key"], item["Size"]) for item in page.get("Contents", []))

    def written_before(self, moment: datetime) -> Iterator[str]:
        """Keys of all objects that were written before then."""
        with self._speaking():
            for page in self._pages():
                yield from (item["Key"] for item in page.get("Contents", []) if item["LastModified"] < moment)

    def _pages(self, prefix: str = "") -> Iterator[ListObjectsV2OutputTypeDef]:
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            if page.keys() <= {"ResponseMetadata"}:
                raise no_object_store("200 without what S3 says of a list")
            yield page

    def presigned_get(self, key: str, *, file_name: str, content_type: str, seconds: int) -> str:
        """A link that works for `seconds` and that a browser saves under `file_name`, never renders."""
        with self._speaking(key):
            return self.client.generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self._bucket,
                    "Key": key,
                    "ResponseContentDisposition": content_disposition(file_name),
                    "ResponseContentType": media_type(content_type),
                },
                ExpiresIn=seconds,
            )

    def presigned_put(self, key: str, *, content_type: str, size_bytes: int, seconds: int) -> str:
        """A link for one upload. Type and length are signed headers (SigV4), so another body is refused by the store."""
        with self._speaking(key):
            return self.client.generate_presigned_url(
                "put_object",
                Params={
                    "Bucket": self._bucket,
                    "Key": key,
                    "ContentType": media_type(content_type),
                    "ContentLength": size_bytes,
                },
                ExpiresIn=seconds,
            )

    def copy(self, source: str, target: str) -> None:
        """Within the bucket and the store: the bytes don't pass through here."""
        with self._speaking(source):
            self.client.copy_object(Bucket=self._bucket, Key=target, CopySource={"Bucket": self._bucket, "Key": source})

    def bring(self, other: S3Store, key: str) -> None:
        """Another store's object, as it is there, under the same key here. The server compares what arrives with its MD5."""
        with other._speaking(key):
            answer = other.client.get_object(Bucket=other._bucket, Key=key)
            if "ETag" not in answer:
                raise no_object_store("200 without what S3 says of an object")
            content = answer["Body"].read()
        said: Any = {"ContentType": answer["ContentType"]}
        if disposition := answer.get("ContentDisposition"):
            said["ContentDisposition"] = disposition
        with self._speaking(key):
            digest = b64encode(md5(content, usedforsecurity=False).digest()).decode()
            self.client.put_object(Bucket=self._bucket, Key=key, Body=content, ContentMD5=digest, **said)

    def size(self, key: str) -> int | None:
        """Bytes of an object, None when there is none."""
        with self._speaking(key):
            try:
                return self.client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]
            except ClientError as exc:
                if _code(exc) not in {"404", "NoSuchKey", "NotFound"}:
                    raise
        with suppress(ObjectMissing):
            self.get(key, offset=0, length=1)  # an answer to HEAD has no body: whose 404 it is, this one says
        return None

    @contextmanager
    def _speaking(self, key: str = "") -> Iterator[None]:
        try:
            yield
        except ResponseParserError as exc:
            raise no_object_store(str(exc).partition("\n")[0]) from exc
        except (BotoCoreError, ClientError) as exc:
            raise _translated(exc, self._bucket, key) from exc


def _code(exc: ClientError) -> str:
    return str(exc.response.get("Error", {}).get("Code", ""))


def bucket_missing(bucket: str) -> OperatorError:
    return OperatorError(f"the bucket {bucket!r} does not exist", fix="Create it, or set INBOXOPS_S3_BUCKET")


def object_missing(bucket: str, key: str) -> ObjectMissing:
    return ObjectMissing(f"the object {key!r} is missing from bucket {bucket!r}", fix="Restore it from a backup")


def object_cut_short(bucket: str, key: str) -> ObjectMissing:
    return ObjectMissing(
        f"the object {key!r} in bucket {bucket!r} ends before what is to be read of it", fix="Restore it from a backup"
    )


def no_object_store(how: str) -> ServiceAway:
    """Of a proxy's page. A store itself says `NoSuchKey`: nothing else proves that an object is gone."""
    return ServiceAway(
        f"what answers in place of the object store is none ({how})", fix="Check INBOXOPS_S3_ENDPOINT if this lasts"
    )


def access_refused(bucket: str, how: str) -> OperatorError:
    return OperatorError(
        f"the object store refuses access to bucket {bucket!r} ({how})",
        fix="Check INBOXOPS_S3_ACCESS_KEY, INBOXOPS_S3_SECRET_KEY and this machine's clock",
    )


def request_refused(how: str) -> OperatorError:
    return OperatorError(
        f"the object store refuses the request: {how}", fix="Check INBOXOPS_S3_ENDPOINT, _REGION and _BUCKET"
    )


def _translated(exc: BotoCoreError | ClientError, bucket: str, key: str) -> InboxOpsError:
    if isinstance(exc, ClientError):
        code = _code(exc)
        status = int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code == "NoSuchBucket":
            return bucket_missing(bucket)
        if code == "NoSuchKey":
            return object_missing(bucket, key)
        if code == "InvalidRange":
            return object_cut_short(bucket, key)
        if status == 404 and code in {"404", ""}:
            return no_object_store("404 without a word of S3's")
        if code in _REFUSED:
            return access_refused(bucket, code)
        if code in _THROTTLED:
            return ServiceAway(f"the object store asks for patience ({code})")
        if status >= 500 or code in {"RequestTimeout", "InternalError"}:
            return ServiceAway(f"the object store is in trouble ({code or status})")
        return request_refused(str(exc))
    if isinstance(exc, NoCredentialsError):
        return OperatorError(
            "there are no credentials for the object store", fix="Set INBOXOPS_S3_ACCESS_KEY and INBOXOPS_S3_SECRET_KEY"
        )
    if isinstance(exc, (NoConnectionError, HTTPClientError)):
        return ServiceAway(f"the object store is away: {exc}", fix="Check INBOXOPS_S3_ENDPOINT if this lasts")
    return OperatorError(f"the object store can't be used: {exc}", fix="Check the INBOXOPS_S3_* settings")
