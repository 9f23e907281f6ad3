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

FORM = 2
MOST_NAMED = 500
"""Findings that a certificate names; more are counted."""


@dataclass(frozen=True, slots=True)
class Span:
    """What was looked at of one inbox. skipped: why its provider could not be asked; the next certificate goes on from there.

    odd_sizes: mails whose size the provider tells otherwise; compared: those of them that were read once more. sent_unchecked: why
    nobody looked through its Sent folder.
    """

    inbox_id: int
    name: str
    since: datetime
    until: datetime
    listed: int = 0
    skipped: str = ""
    odd_sizes: int = 0
    compared: int = 0
    sent_unchecked: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """What an account of a tenant's mail came to.

    mails: rows and what had none; erased, refused: those of them that were erased, or never stored; packs: read in full.
    sent: messages that were looked for in a Sent folder; unsent: those that have not left, by `send_status`.
    last_number: the last ticket's.
    """

    tenant: str
    made_at: datetime
    spans: Sequence[Span]
    findings: Sequence[Finding]
    mails: int
    erased: int
    refused: int
    objects: int
    packs: int
    sent: int
    unsent: Mapping[str, int]
    last_number: int
    erased_numbers: int

    @property
    def day(self) -> date:
        return self.made_at.astimezone(UTC).date()

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
    body = canonical(_document(account, number, previous))
    return Certificate(
        number=number,
        day=account.day,
        made_at=account.made_at,
        body=body,
        digest=_digest(body),
        signature=_signature(body, signing_key.current),
        mails=account.mails,
        unaccounted=account.unaccounted,
    )


def _document(account: Account, number: int, previous: str) -> dict[str, Any]:
    """What is signed."""
    names = {span.inbox_id: span.name for span in account.spans}
    named = sorted(account.findings, key=lambda one: (one.repaired, one.kind, one.inbox_id, one.key))
    return {
        "form": FORM,
        "tenant": account.tenant,
        "number": number,
        "day": account.day.isoformat(),
        "made_at": _text(account.made_at),
        "previous": previous,
        "mails": account.mails,
        "unaccounted": sum(account.unaccounted.values()),
        "erased": account.erased,
        "refused": account.refused,
        "objects": account.objects,
        "packs_read": account.packs,
        "sent": account.sent,
        "unsent": account.unsent,
        "last_ticket": account.last_number,
        "erased_tickets": account.erased_numbers,
        "inboxes": [
            {
                "inbox": span.name,
                "since": _text(span.since),
                "until": _text(span.until),
                "listed": span.listed,
                "skipped": span.skipped,
                "odd_sizes": span.odd_sizes,
                "compared": span.compared,
                "sent_unchecked": span.sent_unchecked,
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


def sentence(body: Mapping[str, Any]) -> str:
    """What a certificate says, in one line. "Each" is said only where every inbox was asked and nothing is open.

    body: of this form or an earlier one.
    """
    left = body["unaccounted"]
    refused, unsent = body.get("refused", 0), sum(body.get("unsent", {}).values())
    repaired = sum(one["repaired"] for one in body["findings"])
    skipped = [one["inbox"] for one in body["inboxes"] if one["skipped"]]
    if left:
        said = f"{left} things not accounted for"
    else:
        said = "accounted for as far as it was asked" if skipped else "each accounted for"
    more = [
        *([f"{refused} refused and never stored"] if refused else []),
        *([f"{repaired} put right"] if repaired else []),
        *([f"{unsent} of ours not sent"] if unsent else []),
        *([f"not asked: {', '.join(skipped)}"] if skipped else []),
    ]
    return "; ".join([f"{body['mails']} mails{_span(body)}, {said}", *more])


def _span(body: Mapping[str, Any]) -> str:
    """From the first moment that was looked at to the last, of the inboxes that were asked where any was."""
    spans = [one for one in body["inboxes"] if not one["skipped"]] or body["inboxes"]
    if not spans:
        return ""
    since, until = min(one["since"] for one in spans), max(one["until"] for one in spans)
    return f" since {_minute(since)} until {_minute(until)} UTC"


def _minute(said: str) -> str:
    return said[:16].replace("T", " ")


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
        elif _told(one) != _kept(one):
            found.append(f"the row of certificate {one.number} says otherwise than what was signed")
        if one.digest != _digest(one.body):
            found.append(f"the digest of certificate {one.number} is not that of its body")
        if _body(one).get("previous") != previous:
            found.append(f"certificate {one.number} does not follow the one before it")
        previous = _digest(one.body)
    return found


def _told(one: Certificate) -> tuple[object, ...]:
    """What was signed, as far as the row says it, too."""
    body = _body(one)
    return tuple(body.get(name) for name in ("number", "day", "made_at", "mails", "unaccounted"))


def _kept(one: Certificate) -> tuple[object, ...]:
    """What the row says, in the order of `_told`."""
    return one.number, one.day.isoformat(), _text(one.made_at), one.mails, sum(one.unaccounted.values())


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
