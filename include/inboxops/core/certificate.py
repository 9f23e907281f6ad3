"""The certificate: what was looked at on a day and what was found, in one form of bytes, signed, chained to the one before.

The bytes are JSON with sorted keys, without white space, in UTF-8: as RFC 8785 has it for the text, whole numbers and lists that
stand here. The signature is HMAC-SHA256 (RFC 2104) with a key that is derived from the installation's signing key, so that none of
it serves for anything else. `previous` is the SHA-256 of the certificate before: whoever changes or takes out one has to sign all
behind it again. That the newest were cut off no chain can tell: `number` and `day` have to be looked at.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from inboxops.core.accounting import TO_DO, Finding
from inboxops.core.signing import SigningKey

FORM = 1
MOST_NAMED = 500
"""Findings that a certificate names; more are counted."""


@dataclass(frozen=True, slots=True)
class Span:
    """What was looked at of one inbox. skipped: why its provider could not be asked; the next certificate goes on from there."""

    inbox_id: int
    name: str
    since: datetime
    until: datetime
    listed: int = 0
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """What an account of a tenant's mail came to. mails: rows and what had none; erased: those of them that were erased; packs:
    read in full; sent: messages that were looked for in a Sent folder; last_number: the last ticket's."""

    tenant: str
    made_at: datetime
    spans: Sequence[Span]
    findings: Sequence[Finding]
    mails: int
    erased: int
    objects: int
    packs: int
    sent: int
    last_number: int
    erased_numbers: int

    @property
    def unaccounted(self) -> dict[str, int]:
        """Inbox -> findings that are open. What is the tenant's stands with its first inbox."""
        first = min((span.inbox_id for span in self.spans), default=0)
        return dict(Counter(str(one.inbox_id or first) for one in self.findings if not one.repaired))


@dataclass(frozen=True, slots=True)
class Certificate:
    """As it is kept."""

    number: int
    day: date
    made_at: datetime
    body: str
    digest: str
    signature: str
    mails: int
    unaccounted: Mapping[str, int]


def make(account: Account, number: int, previous: str, signing_key: SigningKey) -> Certificate:
    """previous: the digest of the tenant's certificate before, "" for its first."""
    names = {span.inbox_id: span.name for span in account.spans}
    named = sorted(account.findings, key=lambda one: (one.repaired, one.kind, one.inbox_id, one.key))
    day = account.made_at.astimezone(UTC).date()
    body = canonical(
        {
            "form": FORM,
            "tenant": account.tenant,
            "number": number,
            "day": day.isoformat(),
            "made_at": _text(account.made_at),
            "previous": previous,
            "mails": account.mails,
            "unaccounted": sum(account.unaccounted.values()),
            "erased": account.erased,
            "objects": account.objects,
            "packs_read": account.packs,
            "sent": account.sent,
            "last_ticket": account.last_number,
            "erased_tickets": account.erased_numbers,
            "inboxes": [
                {
                    "inbox": span.name,
                    "since": _text(span.since),
                    "until": _text(span.until),
                    "listed": span.listed,
                    "skipped": span.skipped,
                }
                for span in account.spans
            ],
            "findings": [
                {
                    "kind": one.kind,
                    "inbox": names.get(one.inbox_id, ""),
                    "key": one.key,
                    "detail": one.detail,
                    "repaired": one.repaired,
                    "to_do": "" if one.repaired else TO_DO[one.kind],
                }
                for one in named[:MOST_NAMED]
            ],
            "findings_more": max(0, len(named) - MOST_NAMED),
        }
    )
    return Certificate(
        number=number,
        day=day,
        made_at=account.made_at,
        body=body,
        digest=_digest(body),
        signature=_signature(body, signing_key.current),
        mails=account.mails,
        unaccounted=account.unaccounted,
    )


def sentence(body: Mapping[str, Any]) -> str:
    """What a certificate says, in one line."""
    mails, left = body["mails"], body["unaccounted"]
    said = f"{mails} mails, each accounted for" if not left else f"{mails} mails, {left} things not accounted for"
    repaired = sum(one["repaired"] for one in body["findings"])
    skipped = [one["inbox"] for one in body["inboxes"] if one["skipped"]]
    more = [
        *([f"{repaired} put right"] if repaired else []),
        *([f"not asked: {', '.join(skipped)}"] if skipped else []),
    ]
    return "; ".join([said, *more])


def canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def problems(chain: Iterable[Certificate], signing_key: SigningKey) -> list[str]:
    """What is wrong with a tenant's certificates, given from the first on, none left out; nothing when all is well."""
    found = []
    number, previous = 0, ""
    for one in chain:
        number += 1
        if one.number != number:
            found.append(f"certificate {number} is missing")
            number = one.number
        known = signing_key.secrets(made_at=one.made_at)
        if not any(hmac.compare_digest(one.signature, _signature(one.body, secret)) for secret in known):
            found.append(f"certificate {one.number} was changed, or signed with another key")
        elif _told(one) != (
            one.number,
            one.day.isoformat(),
            _text(one.made_at),
            one.mails,
            sum(one.unaccounted.values()),
        ):
            found.append(f"the row of certificate {one.number} says otherwise than what was signed")
        if one.digest != _digest(one.body):
            found.append(f"the digest of certificate {one.number} is not that of its body")
        if _body(one).get("previous") != previous:
            found.append(f"certificate {one.number} does not follow the one before it")
        previous = _digest(one.body)
    return found


def _told(one: Certificate) -> tuple[object, ...]:
    body = _body(one)
    return tuple(body.get(name) for name in ("number", "day", "made_at", "mails", "unaccounted"))


def _body(one: Certificate) -> dict[str, Any]:
    try:
        body = json.loads(one.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _signature(body: str, secret: bytes) -> str:
    key = hmac.digest(secret, b"certificate", hashlib.sha256)
    return hmac.digest(key, body.encode(), hashlib.sha256).hex()


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
