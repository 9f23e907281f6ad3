"""Graph's ways out: sendMail, and a draft that is made, filled with files (by upload session when they are large) and sent.

As the real one does: 4 MB are the most a request may have, a draft bears its Message-ID from the start, and an upload's
address is its own permission, which no token may come along with.
"""

from __future__ import annotations

import base64
import re
import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any
from urllib.parse import urlsplit

from inboxops_local.standins.graph_mailbox import Mailbox, Message
from inboxops_local.standins.graph_query import failure, prefers_immutable_ids
from inboxops_local.standins.http import Call, Refused, Reply

LARGEST_REQUEST = 4 * 1024 * 1024
_POLICY = SMTP.clone(refold_source="none")
_MESSAGE_ID = re.compile(rb"^Message-ID:", re.IGNORECASE | re.MULTILINE)
_RECIPIENTS = re.compile(rb"^(?:To|Cc|Bcc):", re.IGNORECASE | re.MULTILINE)


@dataclass(slots=True)
class _Upload:
    """A file on its way to a draft."""

    draft: Message
    name: str
    content_type: str
    size: int
    content: bytearray = field(default_factory=bytearray)


class Sending:
    """replaces_message_id: whether a message gets an id of Exchange's own just now."""

    def __init__(self, replaces_message_id: Callable[[], bool]) -> None:
        self._replaces_message_id = replaces_message_id
        self._uploads: dict[str, _Upload] = {}

    def send_mail(self, call: Call, mailbox: Mailbox) -> Reply:
        """As text/plain the body is the MIME in base64; the JSON form keeps only the subject and the text."""
        raw = self._mime(call, mailbox)
        _check_recipients(raw)
        mailbox.add(raw, folder="sentitems").is_read = True
        return _taken()

    def create_draft(self, call: Call, mailbox: Mailbox, folder: str = "drafts") -> Reply:
        if mailbox.folder(folder) is None:
            raise Refused(failure(404, "ErrorItemNotFound", "The specified folder could not be found in the store."))
        draft = mailbox.add(self._mime(call, mailbox), folder=folder)
        draft.is_draft = draft.is_read = True
        return Reply.json(draft.resource(immutable=prefers_immutable_ids(call)), 201)

    def delete(self, call: Call, mailbox: Mailbox, id: str) -> Reply:
        mailbox.delete(found(mailbox, id))
        return Reply(204)

    def attach(self, call: Call, mailbox: Mailbox, id: str) -> Reply:
        draft, file = _draft(mailbox, id), _bounded(call).json()
        if file.get("@odata.type") != "#microsoft.graph.fileAttachment":
            raise Refused(failure(400, "ErrorInvalidRequest", "Only file attachments are taken here."))
        content = base64.b64decode(file["contentBytes"])
        _add_file(draft, file["name"], file.get("contentType", "application/octet-stream"), content)
        return Reply.json({"id": secrets.token_hex(16), "name": file["name"], "size": len(content)}, 201)

    def create_upload(self, call: Call, mailbox: Mailbox, id: str) -> Reply:
        # The parameters of an action may be written in any case.
        item = {name.lower(): value for name, value in call.json().items()}["attachmentitem"]
        if item.get("attachmentType") != "file" or int(item["size"]) < 3_000_000:
            raise Refused(failure(400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize", "The size is too small."))
        draft, token = _draft(mailbox, id), secrets.token_urlsafe(24)
        type_ = item.get("contentType", "application/octet-stream")
        self._uploads[token] = _Upload(draft, item["name"], type_, int(item["size"]))
        return Reply.json(
            {
                "@odata.context": f"{call.base}/v1.0/$metadata#microsoft.graph.uploadSession",
                "uploadUrl": f"{call.base}/uploads/{token}",
                "expirationDateTime": "2099-01-01T00:00:00Z",
                "nextExpectedRanges": ["0-"],
            },
            201,
        )

    def upload(self, call: Call, token: str) -> Reply:
        """The next piece. They come in their order, and the last one makes the attachment."""
        upload = self._uploads.get(token)
        if upload is None or "authorization" in call.headers:
            return failure(
                401, "InvalidAuthenticationToken", "The address is the permission, and no token may be sent."
            )
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", call.headers.get("content-range", ""))
        start, end, size = map(int, found.groups()) if found else (-1, -1, -1)
        fits = start == len(upload.content) and end - start + 1 == len(call.body) and size == upload.size
        if not fits or len(call.body) > LARGEST_REQUEST:
            return failure(400, "ErrorInvalidRange", "The range does not fit what was uploaded before.")
        upload.content += call.body
        if len(upload.content) < upload.size:
            return Reply.json({"nextExpectedRanges": [str(len(upload.content))]})
        del self._uploads[token]
        _add_file(upload.draft, upload.name, upload.content_type, bytes(upload.content))
        return Reply(201, b"", {"Location": f"{call.base}{urlsplit(call.path).path}"})

    def send_draft(self, call: Call, mailbox: Mailbox, id: str) -> Reply:
        draft = _draft(mailbox, id)
        _check_recipients(draft.raw)
        draft.is_draft = False
        mailbox.move(draft, "sentitems")
        return _taken()

    def _mime(self, call: Call, mailbox: Mailbox) -> bytes:
        if _bounded(call).headers.get("content-type", "").startswith("text/plain"):
            try:
                raw = base64.b64decode(call.body, validate=True)
            except ValueError:
                message = "Invalid base64 string for MIME content."
                raise Refused(failure(400, "ErrorMimeContentInvalidBase64String", message)) from None
        else:
            raw = _written(call.json(), mailbox.address)
        keeps_its_id = _MESSAGE_ID.search(raw.partition(b"\r\n\r\n")[0]) and not self._replaces_message_id()
        return raw if keeps_its_id else _with_own_id(raw)


def sent(mailbox: Mailbox) -> Sequence[Message]:
    """What lies in Sent Items, oldest first."""
    return list(mailbox.within(mailbox.folder("sentitems")))


def _bounded(call: Call) -> Call:
    if len(call.body) > LARGEST_REQUEST:
        raise Refused(failure(413, "RequestEntityTooLarge", "The request is over the maximum size."))
    return call


def _written(body: dict[str, Any], address: str) -> bytes:
    """The MIME of a message in JSON, as far as other clients of the stand-in need it."""
    message = body.get("message", body)
    to = ", ".join(one["emailAddress"]["address"] for one in message.get("toRecipients", []))
    head = f"From: {address}\r\nTo: {to}\r\nSubject: {message.get('subject', '')}\r\n"
    return f"{head}\r\n{message.get('body', {}).get('content', '')}\r\n".encode()


def _check_recipients(raw: bytes) -> None:
    if not _RECIPIENTS.search(raw.partition(b"\r\n\r\n")[0]):
        raise Refused(failure(400, "ErrorInvalidRecipients", "At least one recipient isn't valid."))


def found(mailbox: Mailbox, id_: str) -> Message:
    message = mailbox.find(id_)
    if message is None:
        raise Refused(failure(404, "ErrorItemNotFound", "The specified object was not found in the store."))
    return message


def _draft(mailbox: Mailbox, id_: str) -> Message:
    message = found(mailbox, id_)
    if not message.is_draft:
        raise Refused(failure(400, "ErrorInvalidOperation", "The item is no draft."))
    return message


def _add_file(draft: Message, name: str, content_type: str, content: bytes) -> None:
    message = message_from_bytes(draft.raw, policy=_POLICY)
    assert isinstance(message, EmailMessage)
    maintype, _, subtype = content_type.partition("/")
    message.add_attachment(content, maintype=maintype, subtype=subtype, filename=name)
    draft.raw = message.as_bytes()


def _with_own_id(raw: bytes) -> bytes:
    head, end, body = raw.partition(b"\r\n\r\n")
    others = re.sub(rb"(?im)^Message-ID:[^\r\n]*\r\n", b"", head + b"\r\n")
    return others + f"Message-ID: <EX{time.time_ns():x}@EX01.prod.outlook.com>".encode() + end + body


def _taken() -> Reply:
    """As Graph says it, with the id by which Microsoft finds the request."""
    return Reply(202, headers={"request-id": str(uuid.uuid4())})
