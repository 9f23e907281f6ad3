"""Canaries: mails of our own that must come back, so that a dead forwarding rule or a spam folder shows which no error tells of.

A token names the canary, its inbox and its last day in the open, signed as the ids of `core.ids` are. It stands in a header, which
a gateway may drop, and alone in the subject and on the first line of the text, so that no answer to a canary is taken for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from inboxops.core import compose
from inboxops.core.ids import is_signed, signature
from inboxops.core.model import Address, Verdict
from inboxops.core.signing import SigningKey
from inboxops.errors import InvalidInput

RULE = "own_loop.canary"
LATE_AFTER = timedelta(minutes=30)
"""Six polls: mail that takes longer does not come as people expect."""
VALID_FOR = timedelta(days=7)
"""Longer than any mail server tries (RFC 5321, 4.5.4.1: four to five days); what comes later is judged as any other mail."""

WHERE_TO_LOOK = (
    "Look for its subject in the spam folder, at the server that forwards to the mailbox, and in its filter rules"
)

_MEANS = {
    "being_sent": "a run is at it",
    "not_sent": "it did not leave",
    "in_doubt": "it may have left: nobody knows, so it is never called late",
    "on_its_way": "a server took it",
    "late": "it is not back",
    "back": "it came back in time",
    "back_late": "it came back late",
    "spam": "it came back in the spam folder",
}
_REMOVED = {
    "trashed": "; then it was put into the trash",
    "deleted": "; then it was deleted",
    "gone": "; then it was not there any more",
}
_HELPS = {
    "not_sent": "Another follows within 15 minutes; `inboxops inbox test {sender}` looks at the way out",
    "in_doubt": "Nothing has to be done for it: the next one tells. `inboxops canary send {inbox}` sends that now",
    "late": WHERE_TO_LOOK,
    "spam": "Have the mailbox or its provider take mail from {sender} for no spam",
}

_TOKEN = re.compile(r"c([1-9][0-9]{0,18})-([1-9][0-9]{0,18})-([1-9][0-9]{0,11})-([a-z2-7]{26})", re.IGNORECASE)
_SAID = re.compile(rf"InboxOps canary ({_TOKEN.pattern})", re.IGNORECASE)


def check_minutes(minutes: int | None) -> None:
    """Raises InvalidInput for canaries that would come too often, or hardly ever."""
    if minutes is not None and not 15 <= minutes <= 10_080:
        raise InvalidInput("canaries come every 15 to 10080 minutes", fix="Give another number, or none")


@dataclass(frozen=True, slots=True)
class Canary:
    """One that is to be sent: to the inbox that it watches, from that inbox or another of the tenant."""

    id: int
    tenant_id: int
    inbox_id: int
    sender_id: int
    made_at: datetime


def token(canary: Canary, signing_key: SigningKey) -> str:
    """Raises ValueError without a key."""
    expires = int((canary.made_at + VALID_FOR).timestamp())
    said = f"{canary.id}-{canary.inbox_id}-{expires}"
    return f"c{said}-{signature(f'canary:{said}', signing_key)}"


def read_token(text: str, inbox_id: int, signing_key: SigningKey, *, at: datetime | None) -> int | None:
    """The canary of a token that we signed for this inbox and that held at that time, else None. at: None when nobody knows."""
    found = _TOKEN.fullmatch(text.strip())
    if found is None or at is None or int(found[2]) != inbox_id:
        return None
    left = int(found[3]) - at.timestamp()
    if not 0 <= left <= 2 * VALID_FOR.total_seconds():  # the mail server's clock may be behind ours, not by a week
        return None
    made_at = datetime.fromtimestamp(int(found[3]), UTC) - VALID_FOR
    if not is_signed(f"canary:{found[1]}-{found[2]}-{found[3]}", found[4], signing_key, made_at=made_at):
        return None
    return int(found[1])


def said_in(subject: str, text: str) -> Iterable[str]:
    """Tokens where only a canary has them: a whole subject, a whole first line."""
    first = next((line for line in text[:2_000].splitlines() if line.strip()), "")
    for line in (subject, first):
        if found := _SAID.fullmatch(" ".join(line.split())):
            yield found[1]


def of_verdict(verdict: Verdict) -> int | None:
    """The canary that a verdict is about."""
    if verdict.rule != RULE:
        return None
    found = _TOKEN.fullmatch(verdict.evidence[0].value)
    return int(found[1]) if found else None


def mail(canary: Canary, *, sender: Address, to: str, signing_key: SigningKey) -> bytes:
    """RFC 5322 bytes. Nothing answers it by itself (RFC 3834, 5). Raises InvalidInput for an address that is none."""
    known = token(canary, signing_key)
    said = f"InboxOps canary {known}"
    text = (
        f"{said}\n\nInboxOps sent this mail to see whether mail to {to} still arrives.\n"
        "It opens no ticket and wants no answer.\n"
    )
    return compose.compose(
        compose.Outgoing(
            message_id=f"{known}@{sender.address.rpartition('@')[2].lower()}",
            sender=sender,
            to=(Address("", to),),
            cc=(),
            subject=said,
            text=text,
            html="",
            date=canary.made_at.astimezone(UTC),
            canary=known,
        )
    )


def means(row: Mapping[str, Any]) -> str:
    """What its state is in words, with the reason that was kept; the row as the database has it."""
    why = row["error"] if row["state"] in ("not_sent", "in_doubt") else ""
    still = f"; still in the mailbox: {row['removal_error']}" if row["removal_error"] else ""
    return f"{_MEANS[row['state']]}{': ' + why if why else ''}{_REMOVED.get(row['removed'], still)}"


def helps(row: Mapping[str, Any]) -> str:
    """What to do about it, "" for nothing."""
    return _HELPS.get(row["state"], "").format(inbox=row["inbox"], sender=row["sender"])
