"""Cloud Pub/Sub as far as Gmail's watch needs it: a push subscription whose calls Google signs, and the keys to check them."""

from __future__ import annotations

import base64
import itertools
import json
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

SERVICE_ACCOUNT = "pusher@stand-in.iam.gserviceaccount.com"
ISSUER = "https://accounts.google.com"
TOKEN_SECONDS = 3600
SECONDS = 10.0
TRIES = 6
FIRST_WAIT_SECONDS = 0.2


@dataclass
class PubSub:
    """One topic with at most one push subscription: `url` and the audience of its tokens. Delivers at least once."""

    url: str = ""
    audience: str = ""
    service_account: str = SERVICE_ACCOUNT
    key_id: str = "stand-in-1"
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1_000_000_001))

    @cached_property
    def key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def keys(self) -> dict[str, Any]:
        """The set of keys (RFC 7517) under `google_certs_url`."""
        shown = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [{**shown, "kid": self.key_id, "alg": "RS256", "use": "sig"}]}

    def token(self, **changed: Any) -> str:
        """A signed token; a claim that is changed to None is left out."""
        now = int(time.time())
        claims = {
            "aud": self.audience,
            "azp": "1234567890",
            "email": self.service_account,
            "email_verified": True,
            "exp": now + TOKEN_SECONDS,
            "iat": now,
            "iss": ISSUER,
            "sub": "1234567890",
        } | changed
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, self.key, algorithm="RS256", headers={"kid": self.key_id})

    def envelope(self, address: str, history_id: int, *, message_id: str = "") -> dict[str, Any]:
        """A push request's body. message_id "": the next one."""
        data = json.dumps({"emailAddress": address, "historyId": history_id}).encode()
        id_ = message_id or str(next(self._numbers))
        message = {"data": base64.b64encode(data).decode(), "messageId": id_, "publishTime": "2026-01-01T00:00:00Z"}
        return {"message": message, "subscription": "projects/stand-in/subscriptions/push"}

    def publish(self, address: str, history_id: int) -> None:
        """Push in a thread of its own, again and again until it is acknowledged or patience ends."""
        if self.url:
            threading.Thread(target=self._push, args=(self.envelope(address, history_id),), daemon=True).start()

    def _push(self, envelope: dict[str, Any]) -> None:
        for attempt in range(TRIES):
            headers = {"Authorization": f"Bearer {self.token()}"}
            try:
                if httpx.post(self.url, json=envelope, headers=headers, verify=False, timeout=SECONDS).is_success:  # noqa: S501  # a stand-in calls loopback
                    return
            except httpx.HTTPError:
                pass  # a listener that is away is tried again like one that refuses
            time.sleep(FIRST_WAIT_SECONDS * 2**attempt)
