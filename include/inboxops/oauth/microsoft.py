"""Microsoft's sign-in for a mailbox of Exchange Online, through msal, whose serialised cache is what an inbox keeps."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import msal

from inboxops.errors import AuthenticationFailed, InvalidInput, OperatorError, ServerRefused, TransientError
from inboxops.oauth.consent import NOT_GIVEN, require_scopes
from inboxops.oauth.http import client, json_object, reaching, refusal
from inboxops.ports import AccessToken, Consent, ConsentRequest

OWN = ("User.Read", "Mail.ReadWrite", "Mail.Send")
SHARED = (*OWN, "Mail.ReadWrite.Shared", "Mail.Send.Shared")
"""ReadWrite instead of Read for a message that is too large for one request, which is sent as a draft of ours, and for
canaries that are to be deleted."""

_CACHE, _SCOPES = "cache", "scopes"


class MicrosoftConsent:
    """Secrets: `cache`, msal's, and `scopes`, what was asked for.

    authority: https://login.microsoftonline.com/organizations, or that of a sovereign cloud. msal takes https only.
    """

    def __init__(
        self, *, client_id: str, client_secret: str, authority: str, graph_url: str, ca_file: str = ""
    ) -> None:
        self._client_id, self._client_secret = client_id, client_secret
        self._authority, self._graph_url, self._ca_file = authority.rstrip("/"), graph_url.rstrip("/"), ca_file

    def request(self, redirect_uri: str, *, mailbox: str, shared: bool) -> ConsentRequest:
        if shared and not mailbox:
            raise InvalidInput("a shared mailbox has to be named", fix="Give its address with --mailbox")
        scopes = SHARED if shared else OWN
        with self._application(msal.SerializableTokenCache()) as application, warnings.catch_warnings():
            # msal would rather have the answer as a POST, but a cross-site POST brings no SameSite=Lax cookie with it, so
            # it could not be bound to the browser's session.
            warnings.simplefilter("ignore", UserWarning)
            flow = application.initiate_auth_code_flow(
                list(scopes),
                redirect_uri=redirect_uri,
                prompt="select_account",
                login_hint=mailbox if mailbox and not shared else None,
            )
        kept = {name: value for name, value in flow.items() if name != "auth_uri"}
        return ConsentRequest(flow["auth_uri"], flow["state"], {"flow": json.dumps(kept)})

    def redeem(
        self, secrets: Mapping[str, str], answer: Mapping[str, str], redirect_uri: str, *, mailbox: str, shared: bool
    ) -> Consent:
        if "code" not in answer:
            said = answer.get("error_description") or answer.get("error", "nothing came back")
            raise AuthenticationFailed(f"Microsoft gave no consent: {said}"[:300], fix=NOT_GIVEN)
        scopes = SHARED if shared else OWN
        cache = msal.SerializableTokenCache()
        with self._application(cache) as application:
            try:
                granted = application.acquire_token_by_auth_code_flow(json.loads(secrets["flow"]), dict(answer))
            except ValueError as exc:  # msal's word for a state or nonce that is not this flow's
                raise InvalidInput(f"this answer belongs to another sign-in: {exc}") from exc
        if "error" in granted:
            raise refusal(granted, "Microsoft", of_code=True)
        require_scopes("Microsoft", str(granted.get("scope", "")), scopes)
        address, account_id = self._whose(granted["access_token"], mailbox if shared else "")
        connection = {"account_id": account_id, **({"mailbox": address} if shared else {})}
        return Consent(address, account_id, connection, {_CACHE: cache.serialize(), _SCOPES: " ".join(scopes)})

    def current(self, secrets: Mapping[str, str]) -> AccessToken | None:
        cache = _opened(secrets)
        found = max(
            cache.search(msal.TokenCache.CredentialType.ACCESS_TOKEN),
            key=lambda entry: int(entry["expires_on"]),
            default=None,
        )
        if found is None:
            return None
        return AccessToken(found["secret"], datetime.fromtimestamp(int(found["expires_on"]), UTC))

    def renew(self, secrets: Mapping[str, str]) -> tuple[dict[str, str], AccessToken]:
        cache = _opened(secrets)
        with self._application(cache) as application:
            account = next(iter(application.get_accounts()), None)
            granted = application.acquire_token_silent_with_error(
                secrets.get(_SCOPES, "").split(), account=account, force_refresh=True
            )
        if not granted:
            raise AuthenticationFailed("no credentials of Microsoft are stored", fix="Connect the inbox again")
        if "error" in granted:
            raise refusal(granted, "Microsoft")
        expires_at = datetime.now(UTC) + timedelta(seconds=int(granted["expires_in"]))
        return {**secrets, _CACHE: cache.serialize()}, AccessToken(granted["access_token"], expires_at)

    def revoke(self, secrets: Mapping[str, str]) -> bool:
        """Microsoft lets an application end all sessions of a person or none, and all is not ours to end: we only forget."""
        return False

    def _whose(self, access_token: str, shared_mailbox: str) -> tuple[str, str]:
        """(address of the mailbox, id of the account that signed in). Opens the inbox, so that a missing licence shows now."""
        owner = f"users/{quote(shared_mailbox)}" if shared_mailbox else "me"
        with client(self._ca_file) as http:
            person = self._get(http, "me?$select=id,mail,userPrincipalName", access_token)
            self._get(http, f"{owner}/mailFolders/inbox?$select=id", access_token)
        return shared_mailbox or str(person.get("mail") or person["userPrincipalName"]), str(person["id"])

    def _get(self, http: httpx.Client, path: str, access_token: str) -> dict[str, Any]:
        with reaching("Microsoft Graph"):
            response = http.get(f"{self._graph_url}/v1.0/{path}", headers={"Authorization": f"Bearer {access_token}"})
        answer = json_object(response)
        if response.status_code != 200:
            code = answer.get("error", {}).get("code", response.status_code)
            raise InvalidInput(
                f"Microsoft Graph does not open this mailbox ({code})",
                fix="Check that it exists, has a licence for Exchange Online, and that this account may open it",
            )
        return answer

    @contextmanager
    def _application(self, cache: msal.SerializableTokenCache) -> Iterator[msal.ConfidentialClientApplication]:
        """msal with our HTTP client. It reads the authority's metadata first, so even starting can fail."""
        if not self._client_id:
            raise OperatorError(
                "there is no client for Microsoft", fix="Set INBOXOPS_MICROSOFT_CLIENT_ID and _CLIENT_SECRET"
            )
        with client(self._ca_file) as http, reaching("Microsoft"):
            try:
                application = msal.ConfidentialClientApplication(
                    self._client_id,
                    client_credential=self._client_secret,
                    authority=self._authority,
                    instance_discovery=False,  # the authority is the operator's setting: nothing to be looked up
                    token_cache=cache,
                    http_client=http,
                )
            except ValueError as exc:
                raise ServerRefused(
                    f"{self._authority} is no authority of Microsoft: {exc}"[:300],
                    fix="Check INBOXOPS_MICROSOFT_AUTHORITY",
                ) from exc
            try:
                yield application
            except json.JSONDecodeError as exc:
                raise TransientError("Microsoft answers what is no JSON") from exc


def _opened(secrets: Mapping[str, str]) -> msal.SerializableTokenCache:
    cache = msal.SerializableTokenCache()
    cache.deserialize(secrets.get(_CACHE) or "{}")
    return cache
