"""An OAuth 2.0 authorisation server: codes with PKCE, access tokens that expire, refresh tokens that rotate (RFC 6749, 7636)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote_plus, urlencode

from inboxops_local.standins.client import CLIENT_ID, CLIENT_SECRET
from inboxops_local.standins.http import Call, Reply

CODE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class User:
    """Someone with a mailbox. `id` never changes, the address may."""

    address: str
    id: str


@dataclass(slots=True)
class _Grant:
    """One consent. All tokens of it die with it."""

    user: User
    client_id: str
    scopes: frozenset[str]
    refresh_token: str = ""
    alive: bool = True


@dataclass(frozen=True, slots=True)
class _Code:
    grant: _Grant
    redirect_uri: str
    challenge: str
    nonce: str
    offline: bool
    until: float


@dataclass(frozen=True, slots=True)
class _Access:
    grant: _Grant
    until: float


@dataclass
class Authority:
    """Users, clients and what they were granted.

    access_seconds: how long an access token lives. rotating: each refresh makes the refresh token before it worthless.
    auto_consent: the authorisation page is answered at once by the hinted (or only) user, as tests and demonstrations want.
    withheld: scopes that nobody grants, as when a box on the consent page was left empty.
    redirects: the exact redirect URIs of the client; None takes any on this machine.
    claims: extra claims of the id_token. extra: extra fields of a token answer.
    """

    issuer: str
    client_id: str = CLIENT_ID
    client_secret: str = CLIENT_SECRET
    access_seconds: int = 3600
    rotating: bool = True
    auto_consent: bool = True
    withheld: frozenset[str] = frozenset()
    redirects: frozenset[str] | None = None
    claims: Callable[[User], Mapping[str, Any]] = lambda user: {}
    extra: Callable[[User], Mapping[str, Any]] = lambda user: {}
    users: dict[str, User] = field(default_factory=dict)
    refreshes: int = 0
    """How many refresh tokens were redeemed."""
    _codes: dict[str, _Code] = field(default_factory=dict)
    _access: dict[str, _Access] = field(default_factory=dict)
    _refresh: dict[str, _Grant] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def add_user(self, address: str) -> User:
        with self._lock:
            user = User(address, hashlib.sha256(address.encode()).hexdigest()[:16])
            return self.users.setdefault(address.lower(), user)

    def rename(self, address: str, to: str) -> None:
        """The user gets another address and stays who they are. Tokens know the old one."""
        with self._lock:
            self.users[to.lower()] = User(to, self.users.pop(address.lower()).id)

    def user(self, access_token: str, scope: str = "") -> User | None:
        """Whose token it is; None once it has expired or was withdrawn. `scope`: "" or one of the granted ones."""
        with self._lock:
            access = self._access.get(access_token)
            if access is None or access.until <= time.time() or not access.grant.alive:
                return None
            return access.grant.user if not scope or scope in access.grant.scopes else None

    def grant(self, address: str, scopes: Iterable[str]) -> dict[str, Any]:
        """Tokens without a browser, for tests that start behind the consent."""
        with self._lock:
            return self._tokens(_Grant(self.add_user(address), self.client_id, frozenset(scopes)), offline=True)

    def expire_access_tokens(self, address: str) -> None:
        with self._lock:
            for token, access in list(self._access.items()):
                if access.grant.user.address.lower() == address.lower():
                    del self._access[token]

    def revoke_user(self, address: str) -> None:
        """What the user does on the provider's page of connected apps."""
        with self._lock:
            for grant in [*self._refresh.values(), *(access.grant for access in self._access.values())]:
                if grant.user.address.lower() == address.lower():
                    grant.alive = False

    # -- endpoints

    def authorize(self, call: Call) -> Reply:
        """RFC 6749, 4.1.1. A wrong client or redirect is shown and never redirected to."""
        query = call.query
        redirect_uri = query.get("redirect_uri", "")
        if query.get("client_id") != self.client_id or not self._may_redirect(redirect_uri):
            return Reply.html("<h1>Wrong client or redirect URI</h1>", 400)
        if query.get("response_type") != "code" or query.get("code_challenge_method", "S256") != "S256":
            return self._back(redirect_uri, query, error="invalid_request")
        if query.get("decision") == "deny":
            return self._back(redirect_uri, query, error="access_denied")
        user = self._chosen(query)
        if user is None:
            return self._page(call)
        scopes = frozenset(query.get("scope", "").split()) - self.withheld
        code = secrets.token_urlsafe(24)
        with self._lock:
            self._codes[code] = _Code(
                grant=_Grant(user, self.client_id, scopes),
                redirect_uri=redirect_uri,
                challenge=query.get("code_challenge", ""),
                nonce=query.get("nonce", ""),
                offline=query.get("access_type") == "offline" or "offline_access" in scopes,
                until=time.time() + CODE_SECONDS,
            )
        return self._back(redirect_uri, query, code=code)

    def token(self, call: Call) -> Reply:
        """RFC 6749, 4.1.3 and 6. The client authenticates with HTTP Basic or in the form."""
        form = call.form
        if not self._client_is_right(call, form):
            return Reply.json({"error": "invalid_client", "error_description": "no such client, or wrong secret"}, 401)
        with self._lock:
            match form.get("grant_type"):
                case "authorization_code":
                    return self._redeem_code(form)
                case "refresh_token":
                    return self._redeem_refresh_token(form)
        return Reply.json({"error": "unsupported_grant_type"}, 400)

    def revoke(self, call: Call) -> Reply:
        """RFC 7009: either token takes the whole consent back."""
        token = call.form.get("token", "") or call.query.get("token", "")
        with self._lock:
            grant = self._refresh.get(token) or (self._access[token].grant if token in self._access else None)
            if grant is None or not grant.alive:
                return Reply.json({"error": "invalid_token"}, 400)
            grant.alive = False
        return Reply.json({})

    def admin_expire(self, call: Call) -> Reply:
        """POST /_admin/expire?user=ADDRESS"""
        self.expire_access_tokens(call.query["user"])
        return Reply(204)

    def admin_revoke(self, call: Call) -> Reply:
        """POST /_admin/revoke?user=ADDRESS"""
        self.revoke_user(call.query["user"])
        return Reply(204)

    # -- parts

    def _may_redirect(self, uri: str) -> bool:
        if self.redirects is not None:
            return uri in self.redirects
        return uri.startswith(("http://127.0.0.1:", "http://localhost:", "https://localhost:"))

    def _chosen(self, query: Mapping[str, str]) -> User | None:
        with self._lock:
            if "user" in query:
                return self.users.get(query["user"].lower())
            if not self.auto_consent:
                return None
            hinted = self.users.get(query.get("login_hint", "").lower())
            return hinted or (next(iter(self.users.values())) if len(self.users) == 1 else None)

    def _page(self, call: Call) -> Reply:
        """The consent page: who are you, and may this client have that?"""
        rows = []
        for user in self.users.values():
            link = f"?{urlencode({**call.query, 'user': user.address})}"
            rows.append(f'<li><a href="{html.escape(link)}">Allow as {html.escape(user.address)}</a></li>')
        deny = html.escape(f"?{urlencode({**call.query, 'decision': 'deny'})}")
        wanted = html.escape(call.query.get("scope", ""))
        return Reply.html(
            f"<h1>Stand-in sign-in</h1><p>InboxOps asks for: {wanted}</p>"
            f'<ul>{"".join(rows)}</ul><p><a href="{deny}">Deny</a></p>'
        )

    def _back(self, redirect_uri: str, query: Mapping[str, str], **answer: str) -> Reply:
        if "state" in query:
            answer["state"] = query["state"]
        return Reply.redirect(
            f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(answer, quote_via=quote)}"
        )

    def _client_is_right(self, call: Call, form: Mapping[str, str]) -> bool:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, given = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            client_id, _, secret = base64.b64decode(given).decode().partition(":")
            client_id, secret = unquote_plus(client_id), unquote_plus(secret)
        return client_id == self.client_id and hmac.compare_digest(secret, self.client_secret)

    def _redeem_code(self, form: Mapping[str, str]) -> Reply:
        code = self._codes.pop(form.get("code", ""), None)
        verifier = form.get("code_verifier", "")
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        if code is None or code.until < time.time():
            return _invalid_grant("the code is unknown, used or expired")
        if code.redirect_uri != form.get("redirect_uri"):
            return _invalid_grant("redirect_uri differs from the one of the authorisation request")
        if code.challenge and not hmac.compare_digest(code.challenge, digest):
            return _invalid_grant("code_verifier does not match")
        return Reply.json(self._tokens(code.grant, offline=code.offline, nonce=code.nonce))

    def _redeem_refresh_token(self, form: Mapping[str, str]) -> Reply:
        token = form.get("refresh_token", "")
        grant = self._refresh.get(token)
        if grant is None or not grant.alive or (self.rotating and token != grant.refresh_token):
            return _invalid_grant("Token has been expired or revoked.")
        self.refreshes += 1
        return Reply.json(self._tokens(grant, offline=self.rotating))

    def _tokens(self, grant: _Grant, *, offline: bool, nonce: str = "") -> dict[str, Any]:
        now = int(time.time())
        access_token = secrets.token_urlsafe(32)
        self._access[access_token] = _Access(grant, now + self.access_seconds)
        answer: dict[str, Any] = {
            "access_token": access_token,
            "expires_in": self.access_seconds,
            "token_type": "Bearer",
            "scope": " ".join(sorted(grant.scopes)),
            **self.extra(grant.user),  # noqa: S610  # a method of ours, not of a database
        }
        if offline:
            grant.refresh_token = answer["refresh_token"] = secrets.token_urlsafe(32)
            self._refresh[grant.refresh_token] = grant
        if "openid" in grant.scopes:
            claims = {"iss": self.issuer, "aud": grant.client_id, "sub": grant.user.id, "iat": now, "exp": now + 3600}
            answer["id_token"] = unsigned_jwt(
                {**claims, **({"nonce": nonce} if nonce else {}), **self.claims(grant.user)}
            )
        return answer


def unsigned_jwt(claims: Mapping[str, Any]) -> str:
    """RFC 7519, 6: fit for what comes over TLS straight from the token endpoint, and for nothing else."""
    return f"{base64url_json({'alg': 'none', 'typ': 'JWT'})}.{base64url_json(claims)}."


def base64url_json(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _invalid_grant(description: str) -> Reply:
    return Reply.json({"error": "invalid_grant", "error_description": description}, 400)
