"""Google's sign-in for a Gmail account: authorisation code with PKCE (RFC 7636), refresh and revocation."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets as random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx

from inboxops.errors import AuthenticationFailed, InvalidInput, OperatorError, TransientError
from inboxops.oauth.consent import NOT_GIVEN, require_scopes
from inboxops.oauth.http import client, json_object, reaching, refusal
from inboxops.ports import AccessToken, Consent, ConsentRequest

SCOPES = (
    "openid",
    "https://www.googleapis.com/auth/gmail.readonly",
    "https://www.googleapis.com/auth/gmail.send",
)
"""`openid` names the account; reading includes watching and finding what was sent."""
MODIFYING = (SCOPES[0], "https://www.googleapis.com/auth/gmail.modify", SCOPES[2])
"""Modifying includes reading. It is needed to put canaries into the bin, and asked for only where the operator wants that."""


class GoogleConsent:
    """Secrets: `refresh_token`, `access_token`, `expires_at` (ISO 8601, UTC)."""

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        authorize_url: str,
        token_url: str,
        revoke_url: str,
        api_url: str,
        ca_file: str = "",
        may_modify: bool = False,
    ) -> None:
        self._scopes = MODIFYING if may_modify else SCOPES
        self._client_id, self._client_secret = client_id, client_secret
        self._authorize_url, self._token_url, self._revoke_url = authorize_url, token_url, revoke_url
        self._api_url, self._ca_file = api_url.rstrip("/"), ca_file

    def request(self, redirect_uri: str, *, mailbox: str, shared: bool) -> ConsentRequest:
        if shared:
            raise InvalidInput("Gmail has no shared mailboxes", fix="Connect the account that the mail arrives in")
        if not self._client_id:
            raise OperatorError("there is no client for Google", fix="Set INBOXOPS_GOOGLE_CLIENT_ID and _CLIENT_SECRET")
        verifier, state = random.token_urlsafe(48), random.token_urlsafe(24)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "response_type": "code",
            "scope": " ".join(self._scopes),
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "access_type": "offline",
            "prompt": "consent",  # without it Google gives a refresh token only the first time
            **({"login_hint": mailbox} if mailbox else {}),
        }
        return ConsentRequest(f"{self._authorize_url}?{urlencode(query)}", state, {"verifier": verifier})

    def redeem(
        self, secrets: Mapping[str, str], answer: Mapping[str, str], redirect_uri: str, *, mailbox: str, shared: bool
    ) -> Consent:
        if "code" not in answer:
            said = str(answer.get("error", "nothing came back"))[:100]
            raise AuthenticationFailed(f"Google gave no consent: {said}", fix=NOT_GIVEN)
        with client(self._ca_file) as http:
            granted = self._token(
                http,
                grant_type="authorization_code",
                code=answer["code"],
                redirect_uri=redirect_uri,
                code_verifier=secrets["verifier"],
            )
            require_scopes("Google", str(granted.get("scope", "")), self._scopes)
            if "refresh_token" not in granted:
                raise AuthenticationFailed("Google gave no refresh token", fix="Connect again")
            address = self._address(http, granted["access_token"])
        account_id = _subject(str(granted.get("id_token", "")))
        kept, _ = _kept({}, granted)
        return Consent(address, account_id, {"account_id": account_id}, kept)

    def current(self, secrets: Mapping[str, str]) -> AccessToken | None:
        if "access_token" not in secrets:
            return None
        return AccessToken(secrets["access_token"], datetime.fromisoformat(secrets["expires_at"]))

    def renew(self, secrets: Mapping[str, str]) -> tuple[dict[str, str], AccessToken]:
        with client(self._ca_file) as http:
            return _kept(
                secrets, self._token(http, grant_type="refresh_token", refresh_token=secrets.get("refresh_token", ""))
            )

    def revoke(self, secrets: Mapping[str, str]) -> bool:
        with client(self._ca_file) as http, reaching("Google"):
            http.post(self._revoke_url, data={"token": secrets.get("refresh_token", "")})
        return True

    def _token(self, http: httpx.Client, **form: str) -> dict[str, Any]:
        with reaching("Google"):
            response = http.post(
                self._token_url, data={**form, "client_id": self._client_id, "client_secret": self._client_secret}
            )
        granted = json_object(response)
        if response.status_code != 200:
            raise refusal(granted, "Google", of_code="code" in form)
        return granted

    def _address(self, http: httpx.Client, access_token: str) -> str:
        with reaching("Gmail"):
            response = http.get(
                f"{self._api_url}/gmail/v1/users/me/profile", headers={"Authorization": f"Bearer {access_token}"}
            )
        if response.status_code != 200:
            raise InvalidInput(
                f"Gmail does not open this account ({response.status_code})",
                fix="Check that the account has Gmail and that the Gmail API is enabled in the client's project",
            )
        return str(json_object(response)["emailAddress"])


def _kept(secrets: Mapping[str, str], granted: Mapping[str, Any]) -> tuple[dict[str, str], AccessToken]:
    """The secrets after an answer of the token endpoint: what it does not renew stays."""
    expires_at = datetime.now(UTC) + timedelta(seconds=int(granted.get("expires_in", 0)))
    token = AccessToken(str(granted["access_token"]), expires_at)
    kept = {**secrets, "access_token": token.value, "expires_at": expires_at.isoformat()}
    if "refresh_token" in granted:
        kept["refresh_token"] = str(granted["refresh_token"])
    return kept, token


def _subject(id_token: str) -> str:
    """Who an id_token is about. It came straight from the token endpoint, so its signature needs no look (OIDC Core 3.1.3.7)."""
    try:
        payload = id_token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"])
    except (LookupError, ValueError, TypeError, binascii.Error) as exc:
        raise TransientError("Google named no account") from exc
