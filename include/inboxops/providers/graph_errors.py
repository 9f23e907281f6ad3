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
    NotAllowed,
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
}
_CANT_BE_OPENED = "Check that the mailbox exists, has a licence, and that this account may open it"


def translated(response: httpx.Response, server: str, what: str) -> InboxOpsError:
    """Our error for an answer that is none of 2xx; its body has been read."""
    status, (code, message) = response.status_code, _said(response.content)
    said = f"{server} answers {status} to {what}: {code} {message}"[:400].strip(" :.")
    wait = retry_after(response.headers.get("retry-after"), now=datetime.now(UTC))
    if status == 410 or code.lower() in _STATE_IS_LOST:
        return CursorExpired(said)
    if status == 429 or (status in (503, 504) and wait is not None):
        return Throttled(said, retry_after=wait)
    if status >= 500 or status == 408:
        return TransientError(said)
    if status == 401:
        return AuthenticationFailed(f"Microsoft refuses the credentials: {said}", fix="Connect the inbox again")
    if status == 403 and what == "move":
        return NotAllowed(said, fix="Connect the inbox again, which asks for Mail.ReadWrite")
    if status in (403, 404) or code.lower() in _NO_MAILBOX:
        return MailboxNotFound(said, fix=_CANT_BE_OPENED)
    return InvalidInput(said)


def _said(content: bytes) -> tuple[str, str]:
    try:
        error = json.loads(content)["error"]
        return str(error.get("code", "")), str(error.get("message", ""))
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", ""
