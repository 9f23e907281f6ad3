"""messages.send of the Gmail API, as JSON and as an upload, with what the real one refuses."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable

from inboxops_local.standins.gmail_errors import failure
from inboxops_local.standins.gmail_mailbox import Mailbox
from inboxops_local.standins.http import Call, Reply

LARGEST_BYTES = 36_700_160  # maxSize of the method in the API's discovery document
_RECIPIENTS = re.compile(rb"^(?:To|Cc|Bcc):", re.IGNORECASE | re.MULTILINE)


class Sending:
    """replaces_message_id: whether a message gets an id of Gmail's own just now."""

    def __init__(self, replaces_message_id: Callable[[], bool]) -> None:
        self._replaces_message_id = replaces_message_id

    def from_json(self, call: Call, mailbox: Mailbox) -> Reply:
        body = call.json()
        try:
            raw = base64.urlsafe_b64decode(body.get("raw", "") + "==")
        except ValueError:
            return failure(400, "invalidArgument", "Invalid value for ByteString", "INVALID_ARGUMENT")
        return self._sent(mailbox, raw, body.get("threadId"))

    def from_upload(self, call: Call, mailbox: Mailbox) -> Reply:
        """uploadType=media: the body is the message; multipart: a part of JSON and a part that is the message."""
        if call.query.get("uploadType") == "media":
            return self._sent(mailbox, call.body, None)
        boundary = re.search(r'boundary="?([^";]+)', call.headers.get("content-type", ""))
        parts = _parts(call.body, boundary[1].encode()) if boundary else []
        if call.query.get("uploadType") != "multipart" or len(parts) != 2:
            return failure(400, "badContent", "Malformed multipart body.", "INVALID_ARGUMENT")
        about, raw = parts
        return self._sent(mailbox, raw, json.loads(about or b"{}").get("threadId"))

    def _sent(self, mailbox: Mailbox, raw: bytes, thread_id: str | None) -> Reply:
        if len(raw) > LARGEST_BYTES:
            return failure(413, "uploadTooLarge", "Request Entity Too Large", "FAILED_PRECONDITION")
        if not _RECIPIENTS.search(raw.partition(b"\r\n\r\n")[0]):
            return failure(400, "invalidArgument", "Recipient address required", "INVALID_ARGUMENT")
        if thread_id and all(m.thread_id != thread_id for m in mailbox.messages.values()):
            return failure(404, "notFound", "Requested entity was not found.", "NOT_FOUND")
        message = mailbox.add(_with_own_id(raw) if self._replaces_message_id() else raw, labels=("SENT",))
        message.thread_id = thread_id or message.thread_id
        return Reply.json({"id": message.id, "threadId": message.thread_id, "labelIds": ["SENT"]})


def _parts(body: bytes, boundary: bytes) -> list[bytes]:
    """What stands in a multipart body, with any line ends between its parts (googleapiclient writes bare LF)."""
    limit = rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(?:--)?[ \t]*(?:\r?\n|\Z)"
    return [re.split(rb"\r?\n\r?\n", part, maxsplit=1)[-1] for part in re.split(limit, body) if part]


def wire(raw: bytes) -> str:
    """A message as `raw` carries it."""
    return base64.urlsafe_b64encode(raw).decode()


def _with_own_id(raw: bytes) -> bytes:
    head, end, body = raw.partition(b"\r\n\r\n")
    fresh = f"Message-ID: <CA+{time.time_ns():x}@mail.gmail.com>".encode()
    return re.sub(rb"(?im)^Message-ID:[^\r\n]*", lambda _: fresh, head, count=1) + end + body
