"""What a task's log says of mail: constant event names with fields, for the person who reads them in Airflow's UI.

Ids, sizes, verdicts, reasons and what to do; never a body or a secret, and an address only where a setting allows it. Lines about
single messages are bounded: a backlog of thousands tells the first of them and how many more there are. Mail that was parked has a
line each: every one waits for somebody.
"""

from __future__ import annotations

import hmac
from typing import Any

import structlog

log = structlog.get_logger("inboxops.mail")

MOST = 50
"""Lines about single messages in one task, of each kind."""

WHO = {"tenant_admin": "the mailbox's owner", "operator": "an operator", "transient": "nobody: it is tried again"}
"""`InboxOpsError.kind` -> who can help."""


def hidden(address: str, key: bytes) -> str:
    """An address as a log may show it: the same one always alike. Who has not the installation's key can't try addresses on it."""
    said = address.lower().encode("utf-8", "surrogatepass")  # a stranger wrote it
    return f"~{hmac.digest(key, said, 'sha256').hex()[:10]}" if address else ""


def escaped(address: str) -> str:
    """An address in a log that shows them: what would move a terminal, turn the direction of a line or begin another stands as an
    escape (`\\x1b`, `\\u202e`), a backslash as two."""
    return "".join(
        one if one.isprintable() and one != "\\" else one.encode("unicode_escape").decode("ascii") for one in address
    )


def tell_parked(inbound_id: int, why: str) -> None:
    log.warning("mail_parked", inbound=inbound_id, why=why, to_do=f"inboxops inbound reparse {inbound_id}")


class Telling:
    """Lines of one kind about single messages."""

    def __init__(self, event: str) -> None:
        self._event, self._count = event, 0

    def __call__(self, *, warn: bool = False, **fields: Any) -> None:
        self._count += 1
        if self._count <= MOST:
            (log.warning if warn else log.info)(self._event, **fields)

    def close(self) -> None:
        """Say how many were not told."""
        if self._count > MOST:
            log.info(
                f"{self._event}_and_more", count=self._count - MOST, see="inboxops inbound list, or the tickets page"
            )
