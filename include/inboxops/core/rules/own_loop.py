"""Our own mail came back: it carries our loop header or an id that we signed, and one of our mailboxes as its sender."""

from __future__ import annotations

import hashlib

from inboxops.core import ids
from inboxops.core.case import Case
from inboxops.core.model import VerdictKind
from inboxops.core.rules import Finding, evidence

LOOP_HEADER = "X-InboxOps-Loop"
"""Everything we send carries it. A provider may put another Message-ID in place of ours; this stays."""

CANARY_HEADER = "X-InboxOps-Canary"
"""The token of a mail that only looks whether mail arrives (`core.canary`)."""


def loop_mark(message_id: str) -> str:
    """The header's value in the message with this Message-ID of ours (without brackets)."""
    return hashlib.sha256(message_id.encode()).hexdigest()[:16]


def check(case: Case) -> Finding | None:
    message, context = case.message, case.context
    sender = message.sender.address.lower()
    if not sender or sender not in context.own_addresses | {context.email_address.lower()}:
        return None
    loop = case.header(LOOP_HEADER)
    if loop is not None:
        return Finding(VerdictKind.OWN_LOOP, (evidence(LOOP_HEADER, loop), evidence("From", sender)))
    if ids.read_message_id(message.message_id, context.signing_key):
        return Finding(VerdictKind.OWN_LOOP, (evidence("Message-ID", message.message_id), evidence("From", sender)))
    return None
