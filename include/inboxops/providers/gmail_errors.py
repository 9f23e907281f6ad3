"""What a failed call of the Gmail API means: here googleapiclient's, httplib2's and socket's exceptions become ours."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import httplib2
from googleapiclient.errors import BatchError, HttpError

from inboxops.core.patience import retry_after
from inboxops.errors import (
    AuthenticationFailed,
    CursorExpired,
    InboxOpsError,
    InvalidInput,
    MailboxNotFound,
    NotAllowed,
    ServerRefused,
    Throttled,
    TransientError,
)

# "Resolve errors" in the Gmail API's guide, and google.rpc.Code where only `status` is given.
_PATIENCE = {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded", "RESOURCE_EXHAUSTED"}
_TOO_LITTLE = {"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}
_NO_CONSENT = _TOO_LITTLE | {"authError"}
_NOT_SET_UP = {"accessNotConfigured", "SERVICE_DISABLED"}
_MODIFY = "Set INBOXOPS_GOOGLE_MAY_MODIFY=true and connect the inbox again, which then asks for gmail.modify"
_RETRY_AFTER = re.compile(r"Retry after (\d{4}-\d\d-\d\dT[\d:.]+Z)")
"""Of a user's limits Gmail tells the time in words alone."""
_RECONNECT = "Connect the inbox again and grant all that is asked for"


@contextmanager
def speaking(server: str, what: str) -> Iterator[None]:
    """Translate whatever goes wrong in one exchange. what: what was asked for, e.g. "history"."""
    try:
        yield
    except (HttpError, BatchError, httplib2.HttpLib2Error, http.client.HTTPException, OSError) as exc:
        raise translated(exc, server, what) from exc


def translated(exc: Exception, server: str, what: str) -> InboxOpsError:
    """Our error for a vendor's."""
    if isinstance(exc, HttpError):
        return answered(int(exc.resp.status), exc.content, exc.resp, server, what)
    if isinstance(exc, ssl.SSLCertVerificationError):
        return ServerRefused(
            f"the TLS certificate of {server} can't be trusted ({exc.verify_message})",
            fix="Set INBOXOPS_PROVIDER_CA_FILE to the authority that signed it",
        )
    return TransientError(f"{server} can't be reached ({what}): {type(exc).__name__} {exc}"[:300])


def answered(status: int, content: bytes, headers: Mapping[str, str], server: str, what: str) -> InboxOpsError:
    """Our error for an answer that is none of 2xx."""
    reasons, message = _said(content)
    said = f"{server} answers {status} to {what}: {message}"[:400].rstrip(" :.")
    now = datetime.now(UTC)
    wait = retry_after(headers.get("retry-after"), now=now)
    if wait is None and (named := _RETRY_AFTER.search(message)):
        wait = retry_after(named[1], now=now)
    if status == 429 or (status == 403 and reasons & _PATIENCE):
        return Throttled(said, retry_after=wait)
    if what == "trash" and status == 403 and reasons & _TOO_LITTLE:
        return NotAllowed("Google lets InboxOps read and send, but not delete", fix=_MODIFY)
    if status == 401 or (status == 403 and reasons & _NO_CONSENT):
        return AuthenticationFailed(f"Google refuses the credentials: {said}", fix=_RECONNECT)
    if status >= 500 or status == 408:
        return Throttled(said, retry_after=wait) if wait is not None else TransientError(said)
    if reasons & _NOT_SET_UP:
        return ServerRefused(said, fix="Enable the Gmail API in the Google Cloud project of INBOXOPS_GOOGLE_CLIENT_ID")
    if status == 404 and what == "history":
        return CursorExpired(said)
    if status in (403, 404) or "failedPrecondition" in reasons:
        return MailboxNotFound(said, fix="Check that the account has Gmail and that its administrator allows this app")
    return InvalidInput(said)


def _said(content: bytes) -> tuple[set[str], str]:
    """Every reason that a Google error names, and its message."""
    try:
        error = json.loads(content)["error"]
        listed = [*error.get("errors", []), *error.get("details", [])]
        return {str(one["reason"]) for one in listed if "reason" in one} | {str(error.get("status"))}, str(
            error["message"]
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return set(), ""
