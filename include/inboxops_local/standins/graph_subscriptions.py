"""Change notifications of Graph: made after the listener echoed a token, renewed, deleted, and told of new mail."""

from __future__ import annotations

import re
import secrets
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import httpx

from inboxops_local.standins.graph_mailbox import Mailbox, Message
from inboxops_local.standins.graph_query import failure, prefers_immutable_ids
from inboxops_local.standins.http import Call, Refused, Reply

LONGEST = timedelta(minutes=4230)
SECONDS = 10.0


@dataclass
class Subscriptions:
    """By id. Listeners are on this machine, so their certificates are not looked at."""

    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    _owners: dict[str, tuple[str, bool]] = field(default_factory=dict)  # id -> address, immutable ids

    def create(self, call: Call, mailbox: Mailbox) -> Reply:
        wanted = call.json()
        missing = [
            name for name in ("changeType", "notificationUrl", "resource", "expirationDateTime") if name not in wanted
        ]
        if missing:
            return failure(400, "InvalidRequest", f"Missing: {', '.join(missing)}")
        owner = re.match(r"/?users/([^/]+)/", wanted["resource"])
        if owner and unquote(owner[1]).lower() != mailbox.address.lower():
            # "Get Outlook messages in a shared or delegated folder": a person's consent does not do for this.
            return failure(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
        until = _expiry(wanted["expirationDateTime"])
        for url in filter(None, (wanted["notificationUrl"], wanted.get("lifecycleNotificationUrl"))):
            _validate(url)
        id_ = secrets.token_hex(16)
        fields = (
            "changeType",
            "notificationUrl",
            "lifecycleNotificationUrl",
            "resource",
            "clientState",
            "latestSupportedTlsVersion",
        )
        kept = {name: wanted[name] for name in fields if name in wanted}
        self.known[id_] = {**kept, "id": id_, "expirationDateTime": until}
        self._owners[id_] = mailbox.address, prefers_immutable_ids(call)
        return Reply.json(self._shown(id_), 201)

    def list(self, call: Call, mailbox: Mailbox) -> Reply:
        own = [self._shown(id_) for id_, (address, _) in list(self._owners.items()) if address == mailbox.address]
        return Reply.json({"value": own})

    def get(self, call: Call, mailbox: Mailbox, id: str) -> Reply:
        self._check(id)
        return Reply.json(self._shown(id))

    def renew(self, call: Call, mailbox: Mailbox, id: str) -> Reply:
        self._check(id)
        self.known[id]["expirationDateTime"] = _expiry(call.json().get("expirationDateTime", ""))
        return Reply.json(self._shown(id))

    def delete(self, call: Call, mailbox: Mailbox, id: str) -> Reply:
        self._check(id)
        del self.known[id], self._owners[id]
        return Reply(204)

    def tell(self, mailbox: Mailbox, message: Message) -> None:
        """Notify the listeners of a new message in a thread of its own: a slow one holds nobody up."""
        for id_, subscription in list(self.known.items()):
            address, immutable = self._owners[id_]
            if address != mailbox.address or "created" not in subscription["changeType"]:
                continue
            name = message.immutable_id if immutable else message.id
            notice = {
                "subscriptionId": id_,
                "clientState": subscription.get("clientState"),
                "changeType": "created",
                "subscriptionExpirationDateTime": subscription["expirationDateTime"],
                "resource": f"Users/{mailbox.address}/Messages/{name}",
                "resourceData": {"@odata.type": "#Microsoft.Graph.Message", "id": name},
                "tenantId": "11111111-2222-3333-4444-555555555555",
            }
            threading.Thread(target=_post, args=(subscription["notificationUrl"], [notice]), daemon=True).start()

    def _check(self, id_: str) -> None:
        if id_ not in self.known:
            raise Refused(failure(404, "ResourceNotFound", "The object was not found."))

    def _shown(self, id_: str) -> dict[str, Any]:
        return {name: value for name, value in self.known[id_].items() if name != "clientState"}


def _expiry(text: str) -> str:
    try:
        until = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as exc:
        raise Refused(failure(400, "InvalidRequest", "expirationDateTime is no date.")) from exc
    now = datetime.now(UTC)
    if not now < until <= now + LONGEST:
        raise Refused(failure(400, "ExtensionError", "Subscription expiration can only be 4230 minutes in the future."))
    return until.strftime("%Y-%m-%dT%H:%M:%SZ")


def _validate(url: str) -> None:
    """The listener has to echo a token as text/plain within ten seconds."""
    token = f"Validation: {secrets.token_urlsafe(16)} + %20"
    try:
        answer = httpx.post(url, params={"validationToken": token}, verify=False, timeout=SECONDS)  # noqa: S501  # a stand-in calls loopback
    except httpx.HTTPError as exc:
        raise Refused(failure(400, "ValidationError", f"Subscription validation request failed: {exc}")) from exc
    if answer.status_code != 200 or answer.text != token:
        raise Refused(failure(400, "ValidationError", "The listener did not echo the validation token."))


def _post(url: str, notices: list[dict[str, Any]]) -> None:
    try:
        httpx.post(url, json={"value": notices}, verify=False, timeout=SECONDS)  # noqa: S501  # a stand-in calls loopback
    except httpx.HTTPError:
        return  # the real one tries again for hours; whoever needs that polls
