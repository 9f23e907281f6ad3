"""Resync: what a mailbox holds from a day on and no row knows, e.g. because its first sync was bounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from inboxops.core import accounting
from inboxops.core.model import Listed
from inboxops.ports import Account, Provider
from inboxops.stories.certify_mailbox import pages


class Known(Protocol):
    """What is asked of the database about one inbox."""

    def known(self, inbox_id: int, keys: Sequence[str]) -> Sequence[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Compared:
    """How many mails the mailbox lists, and those of them that no row knows."""

    listed: int
    missing: list[Listed]


def compare(
    inbox_id: int, account: Account, provider: Provider, known: Known, since: datetime, until: datetime
) -> Compared:
    """Mail that arrived from `since` on and before `until`. Raises the provider's errors."""
    listed, missing = 0, list[Listed]()
    with provider.open(account) as mailbox:
        for page in pages(mailbox.listing(since, until)):
            listed += len(page)
            missing += accounting.missing(
                page, {row["key"] for row in known.known(inbox_id, [one.key for one in page])}
            )
    return Compared(listed, missing)
