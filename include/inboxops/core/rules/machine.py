"""Mail that a program wrote and nobody reads answers to."""

from __future__ import annotations

import re

from inboxops.core.model import InboxContext, ParsedMessage, VerdictKind
from inboxops.core.rules import Finding, evidence

_LOCAL_PART = re.compile(
    r"(?:^|[._+-])(?:no|do[._-]?not|dont|not)[._-]?reply(?:$|[._+-])|^(?:notifications?|noreply|bounces?|mailer-daemon)(?:$|[._+-])",
    re.IGNORECASE,
)


def check(message: ParsedMessage, context: InboxContext) -> Finding | None:
    local = message.sender.address.rpartition("@")[0]
    if _LOCAL_PART.search(local):
        return Finding(VerdictKind.AUTO_GENERATED, (evidence("From", message.sender.address),))
    if message.return_path == "":
        return Finding(VerdictKind.AUTO_GENERATED, (evidence("Return-Path", "<>"),))
    return None
