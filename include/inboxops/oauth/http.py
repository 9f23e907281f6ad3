"""The HTTP client for sign-in servers, and what their failures mean. Only a refused grant is the tenant's business."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx

from inboxops.core.patience import retry_after
from inboxops.errors import (
    AuthenticationFailed,
    InboxOpsError,
    OperatorError,
    ServerRefused,
    Throttled,
    TransientError,
)

SECONDS = 15.0

# RFC 6749, 5.2. Microsoft says interaction_required where a person must sign in or consent once more.
_GRANT_IS_GONE = {"invalid_grant", "interaction_required", "login_required", "consent_required"}
_FORBIDDEN = {"admin_policy_enforced"}
"""Google's, of a Workspace whose administrator restricts what is asked for, also later ("Refresh token expiration")."""
_CONNECTED_AS = {"Google": "gmail", "Microsoft": "microsoft"}
"""What `inboxops inbox connect` takes."""
_TEMPORARY = {"temporarily_unavailable", "server_error"}


def client(ca_file: str = "") -> httpx.Client:
    """A client that raises Throttled or TransientError for 429 and 5xx, whoever called it (msal would take them for answers)."""
    return httpx.Client(verify=trust(ca_file), timeout=SECONDS, event_hooks={"response": [_refuse_trouble]})


def trust(ca_file: str) -> ssl.SSLContext:
    """The public authorities, and one more. Raises OperatorError for a file that can't be read."""
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as exc:
            raise OperatorError(f"INBOXOPS_PROVIDER_CA_FILE can't be read: {ca_file}: {exc}") from exc
    return context


def _refuse_trouble(response: httpx.Response) -> None:
    if response.status_code == 429 or response.status_code >= 500:
        kind = Throttled if response.status_code == 429 else TransientError
        raise kind(
            f"{response.request.url.host} answers {response.status_code}",
            retry_after=retry_after(response.headers.get("retry-after"), now=datetime.now(UTC)),
        )


@contextmanager
def reaching(server: str) -> Iterator[None]:
    """Transport errors become ours: a network that is away says nothing about a consent."""
    try:
        yield
    except httpx.TransportError as exc:
        if isinstance(exc.__cause__, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(exc):
            raise ServerRefused(
                f"the TLS certificate of {server} can't be trusted",
                fix="Set INBOXOPS_PROVIDER_CA_FILE to the authority that signed it",
            ) from exc
        raise TransientError(f"{server} can't be reached: {type(exc).__name__} {exc}") from exc


def refusal(answer: Mapping[str, Any], who: str, *, of_code: bool = False) -> InboxOpsError:
    """Our error for an error answer of a token endpoint (RFC 6749, 5.2). who: "Google" or "Microsoft".

    of_code: to the code that a browser brought, not to stored credentials.
    """
    error = str(answer.get("error", "unknown"))
    said = f"{error}: {answer.get('error_description', '')}"[:300].strip(": ").rstrip(".")
    again = f"onnect the inbox again with `inboxops inbox connect {_CONNECTED_AS[who]} --again NAME`"
    if error in _FORBIDDEN:
        return AuthenticationFailed(
            f"the account's organisation does not allow this app ({said})",
            fix="Have its administrator allow it, then " + ("open the connect link again" if of_code else f"c{again}"),
        )
    if error in _GRANT_IS_GONE and of_code:
        return AuthenticationFailed(
            f"{who} takes this consent no more: it was used already, or too late ({said})",
            fix="Open the connect link again",
        )
    if error in _GRANT_IS_GONE:
        return AuthenticationFailed(f"{who} refuses the stored credentials ({said})", fix=f"C{again}")
    if error in _TEMPORARY:
        return TransientError(f"{who} can't answer now ({said})")
    name = who.upper()
    return OperatorError(
        f"{who} does not take our client ({said})",
        fix=f"Check INBOXOPS_{name}_CLIENT_ID, INBOXOPS_{name}_CLIENT_SECRET and the redirect URI registered there",
    )


def json_object(response: httpx.Response) -> dict[str, Any]:
    """Raises TransientError for what is no JSON object: a proxy answered."""
    try:
        answer = json.loads(response.content)
    except ValueError as exc:
        raise TransientError(f"{response.request.url.host} answers {response.status_code} and no JSON") from exc
    if not isinstance(answer, dict):
        raise TransientError(f"{response.request.url.host} answers {response.status_code} and no JSON object")
    return answer
