"""Push, as far as it is a matter of thinking: what a notice says, whether it is genuine, and how well a channel works."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from inboxops.errors import InboxOpsError, InvalidInput

NOTICES_AT_ONCE = 1000
_LONGEST_NAME = 320  # of an address (RFC 3696 erratum 1690 and older mail); ids of Google and Microsoft are shorter

SUSPECT_AFTER = 3
"""So many polls in a row that found mail no push told of, and the channel is taken for dead."""

SETTLED = timedelta(seconds=60)
"""Mail younger than this says nothing: its push may still be on the way."""

SLACK = timedelta(seconds=30)
"""A push tells of mail that arrived so much later, too: clocks differ, and pushes of a burst are noted together."""

RENEW_WITHIN = {"gmail": timedelta(hours=25), "microsoft": timedelta(hours=36)}
"""connection_type -> a channel that ends so soon is renewed. Gmail: a day, and an hour for a daily run that comes late.
Microsoft: three of the runs that come every 12 hours, so that two of them may be missed."""


class Forged(InboxOpsError):
    """A call to a webhook that does not come from whom it says."""

    kind = "nobody"


class NotSetUp(InboxOpsError):
    """A call to a webhook that nobody can tell from a forged one here."""

    kind = "nobody"


# -- notices


@dataclass(frozen=True, slots=True)
class GmailNotice:
    """A change of a Gmail account. receipt: Pub/Sub's id of the message, the same whenever it is delivered again."""

    receipt: str
    email_address: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class GraphNotice:
    """One notification of a subscription. event: "" for new mail, else what happened to the subscription itself."""

    subscription_id: str
    client_state: str = field(repr=False)
    event: str = ""


def gmail_notice(body: bytes) -> GmailNotice:
    """What a Pub/Sub push envelope tells. Raises InvalidInput, which quotes nothing of it."""
    message = _dictionary(_dictionary(_json(body)).get("message"))
    text = message.get("data")
    try:
        data = base64.b64decode(str(text).translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput("message.data is not base64") from exc
    return GmailNotice(
        receipt=_name(message.get("messageId"), "message.messageId"),
        email_address=_name(_dictionary(_json(data)).get("emailAddress"), "emailAddress").lower(),
    )


def graph_notices(body: bytes) -> list[GraphNotice]:
    """The notifications of one call, of mail or of subscriptions. Raises InvalidInput for what is none.

    One without a clientState is returned with an empty one, which is nobody's.
    """
    listed = _dictionary(_json(body)).get("value")
    if not isinstance(listed, list) or not 1 <= len(listed) <= NOTICES_AT_ONCE:
        raise InvalidInput(f"value is not a list of 1 to {NOTICES_AT_ONCE} notifications")
    notices = []
    for entry in map(_dictionary, listed):
        state = entry.get("clientState")
        notices.append(
            GraphNotice(
                subscription_id=_name(entry.get("subscriptionId"), "subscriptionId"),
                client_state=state if isinstance(state, str) else "",
                event=_name(entry["lifecycleEvent"], "lifecycleEvent") if "lifecycleEvent" in entry else "",
            )
        )
    return notices


def client_state_hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def is_genuine(notice: GraphNotice, listener: Listener) -> bool:
    """Whether a notice knows its subscription's secret; takes as long for a wrong one as for the right one."""
    return hmac.compare_digest(client_state_hash(notice.client_state), listener.client_state_hash)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise InvalidInput("this is no JSON") from exc


def _dictionary(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput("a JSON object is missing")
    return value


def _name(value: Any, what: str) -> str:
    """A short printable string: no NUL and no lone surrogate, which PostgreSQL takes in none."""
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_NAME or not value.isprintable():
        raise InvalidInput(f"{what} is no name")
    return value


# -- what follows from notices


class Errand(StrEnum):
    """What Airflow is asked to do for an inbox, or for a replay; each waits in the outbox once for it at most."""

    WAKE = "wake"
    REGISTER = "register"
    REPLAY = "replay"


ERRANDS: Mapping[str, tuple[Errand, ...]] = {
    "": (Errand.WAKE,),
    "missed": (Errand.WAKE,),
    "reauthorizationRequired": (Errand.REGISTER,),  # renewing authorises again
    "subscriptionRemoved": (Errand.REGISTER, Errand.WAKE),  # what came meanwhile was told to nobody
}
"""What Graph tells of -> what is done. Events of a later Graph that are not here are noted and left alone."""


@dataclass(frozen=True, slots=True)
class Push:
    """A genuine notice, to be stored. receipt: stored once only, when there is one. of_mail: it proves that the channel works."""

    errands: tuple[tuple[Errand, int], ...]
    receipt: str | None = None
    of_mail: bool = True


@dataclass(frozen=True, slots=True)
class Listener:
    """An inbox that a notice is for. client_state_hash: of its subscription's secret, b"" where notices carry none."""

    inbox_id: int
    client_state_hash: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class OpenErrand:
    """One that is stored and waits for its delivery."""

    kind: Errand
    inbox_id: int
    tenant_id: int


# -- how a channel stands


class Health(StrEnum):
    PUSH = "push"  # it told of mail since it was made
    SUSPECT = "suspect"  # polls find mail that it does not tell of: it is about to be made anew
    PROBING = "probing"  # it was made, and nothing came through it yet
    POLLING = "polling"  # there is none


@dataclass(frozen=True, slots=True)
class Channel:
    """An inbox's push channel. registered_at: when it was made, not when it was last renewed. error: why that failed last."""

    inbox_id: int
    connection_type: str
    registered_at: datetime | None = None
    expires_at: datetime | None = None
    last_push_at: datetime | None = None
    missed_at: datetime | None = None
    missed_in_row: int = 0
    error: str | None = None

    def is_alive(self, now: datetime) -> bool:
        return self.registered_at is not None and self.expires_at is not None and self.expires_at > now

    @property
    def is_suspect(self) -> bool:
        return self.missed_in_row >= SUSPECT_AFTER

    def health(self, now: datetime) -> Health:
        if not self.is_alive(now) or self.registered_at is None:
            return Health.POLLING
        if self.is_suspect:
            return Health.SUSPECT
        proven = self.last_push_at is not None and self.last_push_at >= self.registered_at
        return Health.PUSH if proven else Health.PROBING

    def renewal_at(self) -> datetime | None:
        """From when on the next renewal run takes it."""
        if self.expires_at is None or self.connection_type not in RENEW_WITHIN:
            return None
        return self.expires_at - RENEW_WITHIN[self.connection_type]

    def missed(self, arrived_at: datetime, now: datetime) -> bool:
        """Whether mail that a poll found should have been told of long ago by this channel, and was not.

        arrived_at: when the youngest of the mail that is SETTLED arrived.
        """
        if not self.is_alive(now) or self.registered_at is None or arrived_at <= self.registered_at:
            return False
        return self.last_push_at is None or arrived_at > self.last_push_at + SLACK


# -- how often something may happen


class Bucket:
    """Tokens that flow in evenly, `burst` at most. `now` is any clock in seconds that never goes back."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second, self._burst = per_second, burst
        self._have, self._at = burst, -math.inf

    def wait(self, now: float) -> float:
        """Seconds until there is a token; 0 when there is one, and then it is taken."""
        self._have = min(self._burst, self._have + (now - self._at) * self._per_second)
        self._at = now
        if self._have >= 1:
            self._have -= 1
            return 0.0
        return (1 - self._have) / self._per_second

    def is_full(self, now: float) -> bool:
        """Whether it is as good as a new one."""
        return self._have + (now - self._at) * self._per_second >= self._burst
