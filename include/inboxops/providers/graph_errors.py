"""What a failed call of Microsoft Graph means: here its answers become ours."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx

from inboxops.core.patience import retry_after
from inboxops.errors import (
    AuthenticationFailed,
    CursorExpired,
    InboxOpsError,
    InvalidInput,
    MailboxNotFound,
    MessageRefused,
    NotAllowed,
    TenantAdminError,
    Throttled,
    TransientError,
)

# The names a lost sync state goes by, with 410 and without.
_STATE_IS_LOST = {"syncstatenotfound", "syncstateinvalid", "resyncrequired", "errorinvalidsyncstatedata"}
_NO_MAILBOX = {
    "mailboxnotenabledforrestapi",
    "mailboxnotsupportedforrestapi",
    "errorinvaliduser",
    "errornonexistentmailbox",
    "request_resourcenotfound",
}
# ResponseCode of EWS, whose names Graph passes on, mostly with a 500: the same at every try, and the mailbox is fine.
_UNREADABLE = {
    "errormimecontentconversionfailed",
    "errorcontentconversionfailed",
    "errorcorruptdata",
    "erroritemcorrupt",
}
_CANT_BE_OPENED = "Check that the mailbox exists, has a licence, and that this account may open it"


class MessageUnreadable(TenantAdminError):
    """Exchange has the message and makes no MIME of it: opaque S/MIME, reports about signed mail, what is damaged."""


def translated(response: httpx.Response, server: str, what: str) -> InboxOpsError:
    """Our error for an answer that is none of 2xx; its body has been read."""
    status, (code, message) = response.status_code, _said(response.content)
    said = f"{server} answers {status} to {what}: {code} {message}"[:400].strip(" :.")
    wait = retry_after(response.headers.get("retry-after"), now=datetime.now(UTC))
    if status == 410 or code.lower() in _STATE_IS_LOST:
        return CursorExpired(said)
    if what == "$value" and code.lower() in _UNREADABLE:
        return MessageUnreadable(said)
    if status == 429 or (status in (503, 504) and wait is not None):
        return Throttled(said, retry_after=wait)
    if status >= 500 or status == 408:
        return TransientError(said)
    if status == 401:
        return AuthenticationFailed(f"Microsoft refuses the credentials: {said}", fix="Connect the inbox again")
    if status == 403 and what == "move":
        return NotAllowed(said, fix="Connect the inbox again, which asks for Mail.ReadWrite")
    if code.lower() == "errorsendasdenied":
        return MessageRefused(said, fix="Give this account the right Send as for the mailbox (Exchange admin center)")
    if status in (403, 404) or code.lower() in _NO_MAILBOX:
        return MailboxNotFound(said, fix=_CANT_BE_OPENED)
    return InvalidInput(said)


def is_gone(response: httpx.Response) -> bool:
    """Whether a 404, whose body has been read, is about what was asked for, and not about a mailbox that can't be opened now (its
    licence was taken away) or from somebody who stands before Graph."""
    code, _ = _said(response.content)
    return bool(code) and code.lower() not in _NO_MAILBOX


def _said(content: bytes) -> tuple[str, str]:
    try:
        error = json.loads(content)["error"]
        return str(error.get("code", "")), str(error.get("message", ""))
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", ""
