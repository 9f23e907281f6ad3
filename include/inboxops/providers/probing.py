"""Probing mailboxes that are not connected to: a look is a request, and nothing is kept between two."""

from __future__ import annotations

from inboxops.core.model import Cursor
from inboxops.ports import Account, Provider


class RequestProber:
    """`ports.Prober` for an HTTP API."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def has_news(self, account: Account, cursor: Cursor) -> bool:
        with self._provider.open(account) as mailbox:
            return mailbox.has_news(cursor)

    def forget(self, inbox_id: int) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""
