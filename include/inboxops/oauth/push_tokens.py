"""The tokens that Google signs Pub/Sub's calls with (RFC 7519): checked against Google's keys, which are kept for an hour."""

from __future__ import annotations

import jwt

from inboxops.core.push import Forged
from inboxops.errors import TransientError
from inboxops.oauth.http import trust

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
KEYS_SECONDS = 3600.0
TIMEOUT_SECONDS = 5.0
LEEWAY_SECONDS = 30


class PushTokens:
    """audience, service_account: what the push subscription was made with. Safe for several threads."""

    def __init__(self, *, audience: str, service_account: str, certs_url: str, ca_file: str = "") -> None:
        self._audience, self._service_account = audience, service_account.lower()
        # A key that is not known is looked for at most every 30 seconds: forged tokens don't make us ask.
        self._keys = jwt.PyJWKClient(
            certs_url, lifespan=KEYS_SECONDS, timeout=TIMEOUT_SECONDS, ssl_context=trust(ca_file)
        )

    def check(self, token: str) -> None:
        """Raises Forged for a token that is not Google's for us, TransientError while Google's keys can't be read."""
        try:
            key = self._keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=self._audience,
                issuer=ISSUERS,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud"], "strict_aud": True},
            )
        except (jwt.PyJWKClientConnectionError, ValueError) as exc:  # away, or no JSON
            raise TransientError(f"Google's keys can't be read: {exc}") from exc
        except jwt.PyJWTError as exc:
            raise Forged(f"the token is refused: {type(exc).__name__}") from exc
        if claims.get("email_verified") is not True or str(claims.get("email", "")).lower() != self._service_account:
            raise Forged("the token is another account's")
