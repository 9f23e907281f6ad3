"""Amazon SES tells of bounces, complaints and deliveries as JSON in a mail when its topic has an e-mail subscriber.

Fields as in the SES documentation, "notification contents"; SNS wraps them in `Message` unless raw delivery is on.
"""

from __future__ import annotations

import json
from typing import Any

from inboxops.core import ids
from inboxops.core.case import Case
from inboxops.core.model import Bounce, VerdictKind
from inboxops.core.returned import SCANNED
from inboxops.core.rules import Finding, evidence
from inboxops.core.signing import SigningKey

_KINDS = {
    "bounce": VerdictKind.BOUNCE,
    "complaint": VerdictKind.COMPLAINT,
    "delivery": VerdictKind.RECEIPT,
    "deliverydelay": VerdictKind.DELAY,
}
_RECIPIENTS = {
    "bounce": ("bounce", "bouncedRecipients"),
    "complaint": ("complaint", "complainedRecipients"),
    "deliverydelay": ("deliveryDelay", "delayedRecipients"),
}


def check(case: Case) -> Finding | None:
    text = case.message.text.lstrip()[:SCANNED]
    if not text.startswith("{") or not ("notificationType" in text or "eventType" in text):
        return None
    notification = _object(text)
    if isinstance(notification.get("Message"), str):
        notification = _object(notification["Message"])
    name = str(notification.get("notificationType") or notification.get("eventType") or "")
    kind = _KINDS.get(name.lower())
    mail = notification.get("mail")
    if kind is None or not isinstance(mail, dict):
        return None
    return Finding(
        kind,
        (evidence("body", f'"notificationType": "{name}"'),),
        _report(name.lower(), notification, mail, case.context.signing_key),
    )


def _object(text: str) -> dict[str, Any]:
    """The object at the start of a text, also where a relay broke its one long line with `!` (Sendmail, RFC 5322, 2.1.1)."""
    for candidate in (text, text.replace("!\n ", "")):
        try:
            found, _ = json.JSONDecoder().raw_decode(candidate)
        except (ValueError, RecursionError):
            continue
        return found if isinstance(found, dict) else {}
    return {}


def _report(name: str, notification: dict[str, Any], mail: dict[str, Any], signing_key: SigningKey) -> Bounce:
    section, people = _RECIPIENTS.get(name, ("delivery", "recipients"))
    told = notification.get(section)
    listed = told.get(people) if isinstance(told, dict) else None
    entries = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    first = entries[0] if entries else {}
    soft = isinstance(told, dict) and str(told.get("bounceType", "Permanent")) != "Permanent"
    found = tuple(filter(None, (ids.normalise_message_id(one) for one in _message_ids(mail))))
    return Bounce(
        kind={"bounce": "soft" if soft else "hard", "deliverydelay": "delayed"}.get(name, ""),
        recipients=tuple(str(one["emailAddress"]) for one in entries if one.get("emailAddress")),
        status=str(first.get("status", "")),
        diagnostic=str(first.get("diagnosticCode", "")),
        original_ids=found,
        signed_ids=ids.find_message_ids("\n".join(found), signing_key),
    )


def _message_ids(mail: dict[str, Any]) -> list[str]:
    """The id we set, and the one SES gave the message on the wire."""
    common = mail.get("commonHeaders")
    found = [str(common.get("messageId", ""))] if isinstance(common, dict) else []
    headers = mail.get("headers")
    for one in headers if isinstance(headers, list) else []:
        if isinstance(one, dict) and str(one.get("name", "")).lower() == "message-id":
            found.append(str(one.get("value", "")))
    return [*found, str(mail.get("messageId", ""))]
