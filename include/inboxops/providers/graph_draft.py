"""A message that is too large for one request to Graph, as a draft: the MIME without its files, and the files one by one.

Graph has no upload session for MIME, but attaches files to any draft, and a draft made of MIME keeps what JSON can't set:
In-Reply-To, References and our own headers. All of this wants Mail.ReadWrite.
"""

from __future__ import annotations

import base64
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any
from urllib.parse import quote

from inboxops.errors import MailboxNotFound, MessageRefused
from inboxops.providers.graph_session import GraphSession

REQUEST_BYTES = 4 * 1000 * 1000
"""Graph refuses requests of more than 4 MB."""

POSTED_BYTES = REQUEST_BYTES // 4 * 3 - 10_000
"""Files from about 3 MB on go by upload session: in base64 and JSON they would be over the request's limit."""

PIECE_BYTES = 12 * 320 * 1024
"""Of an upload: Graph advises less than 4 MB."""

_POLICY = SMTP.clone(refold_source="none")  # what we wrote goes out as we wrote it
_FIX = (
    "Connect the inbox again, which asks for Mail.ReadWrite; in shared mailboxes Microsoft takes no files from 3 MB on"
)


def split(raw: bytes) -> tuple[bytes, list[EmailMessage]]:
    """The message without its files, and those."""
    message = message_from_bytes(raw, policy=_POLICY)
    assert isinstance(message, EmailMessage)
    files = [part for part in message.iter_attachments() if isinstance(part, EmailMessage)]
    if message.is_multipart():
        message.set_payload([part for part in message.iter_parts() if part not in files])
    return message.as_bytes(), files


def create(session: GraphSession, text: bytes) -> dict[str, Any]:
    """The draft's resource. Raises MessageRefused when the text alone is too large."""
    encoded = base64.b64encode(text)
    if len(encoded) > REQUEST_BYTES:
        raise MessageRefused("the text of the message is over the 4 MB that Microsoft takes", fix="Attach it as a file")
    return _called(session, "/messages", content=encoded, headers={"Content-Type": "text/plain"})


def attach(session: GraphSession, draft: dict[str, Any], file: EmailMessage) -> None:
    content = file.get_payload(decode=True)
    assert isinstance(content, bytes)  # a file of ours is no message and no multipart
    about = {"name": file.get_filename() or "attachment", "contentType": file.get_content_type()}
    if len(content) <= POSTED_BYTES:
        inline = {"@odata.type": "#microsoft.graph.fileAttachment", **about}
        _called(
            session,
            path(draft, "/attachments"),
            json={**inline, "contentBytes": base64.b64encode(content).decode("ascii")},
        )
        return
    item = {"AttachmentItem": {"attachmentType": "file", "size": len(content), **about}}
    opened = _called(session, path(draft, "/attachments/createUploadSession"), json=item)
    for at in range(0, len(content), PIECE_BYTES):
        session.upload(str(opened["uploadUrl"]), content[at : at + PIECE_BYTES], at=at, of=len(content))


def delete(session: GraphSession, id_: str) -> None:
    session.call("draft", "DELETE", f"/messages/{quote(id_)}")


def path(draft: dict[str, Any], rest: str) -> str:
    return f"/messages/{quote(str(draft['id']))}{rest}"


def _called(session: GraphSession, path_: str, **arguments: Any) -> dict[str, Any]:
    """The answer's JSON. A refusal here is about what the consent covers, not about the mailbox."""
    try:
        answer: dict[str, Any] = session.call("draft", "POST", path_, **arguments).json()
    except MailboxNotFound as exc:
        raise MessageRefused(str(exc.args[0]), fix=_FIX) from exc
    return answer
