"""Cheap polls: connections stay logged in between two looks at an inbox, so that a quiet one costs one STATUS."""

from __future__ import annotations

import hashlib
import json
import resource
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from inboxops.core.model import Cursor
from inboxops.errors import Throttled, TransientError
from inboxops.ports import Account
from inboxops.providers.imap import ImapMailbox, ImapProvider
from inboxops.providers.imap_session import Session


def fingerprint(account: Account) -> str:
    """Changes whenever the connection or the credentials do; tells neither."""
    shown = json.dumps([dict(account.connection), dict(account.secrets), account.email_address], sort_keys=True)
    return hashlib.sha256(shown.encode("utf-8")).hexdigest()


OTHER_FILES = 1000
"""What else a process has open, IDLE's connections included."""
FEW, MANY = 200, 60_000


def _most_connections() -> int:
    may_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MANY if may_open == resource.RLIM_INFINITY else max(may_open - OTHER_FILES, FEW)


@dataclass(frozen=True, slots=True)
class _Kept:
    session: Session
    fingerprint: str
    used_at: float


class ImapProber:
    """`ports.Prober` for IMAP, safe to share between threads.

    At most `kept` connections wait between polls, by default as many as this process may open; the least recently used one
    leaves first. None waits longer than `idle_seconds` (servers log out after 30 minutes, RFC 9051, 5.4).
    """

    def __init__(
        self, provider: ImapProvider | None = None, *, kept: int | None = None, idle_seconds: float = 20 * 60
    ) -> None:
        self._provider = provider or ImapProvider(connect_seconds=10, read_seconds=20)
        self._kept = kept
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._waiting: OrderedDict[int, _Kept] = OrderedDict()

    def has_news(self, account: Account, cursor: Cursor) -> bool:
        """Whether anything stands behind the cursor. A kept connection that died meanwhile is replaced once.

        Raises what `Provider.open` and `Mailbox.has_news` do.
        """
        mark = fingerprint(account)
        session = self._take(account.inbox_id, mark)
        if session is not None:
            try:
                return self._ask(session, account, mark, cursor)
            except Throttled:
                raise
            except TransientError:
                pass  # closed by the server or by a firewall while it waited
        return self._ask(self._provider.session(account), account, mark, cursor)

    def forget(self, inbox_id: int) -> None:
        """Close what is kept for an inbox that was paused or removed."""
        with self._lock:
            kept = self._waiting.pop(inbox_id, None)
        if kept is not None:
            kept.session.close()

    def close(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, OrderedDict()
        for kept in waiting.values():
            kept.session.close()

    def __len__(self) -> int:
        return len(self._waiting)

    def _ask(self, session: Session, account: Account, mark: str, cursor: Cursor) -> bool:
        try:
            answer = ImapMailbox(session).has_news(cursor)
        except BaseException:
            session.close(politely=False)
            raise
        self._give_back(account.inbox_id, _Kept(session, mark, time.monotonic()))
        return answer

    def _take(self, inbox_id: int, mark: str) -> Session | None:
        with self._lock:
            kept = self._waiting.pop(inbox_id, None)
        if kept is None:
            return None
        if kept.fingerprint == mark and kept.used_at + self._idle_seconds > time.monotonic():
            return kept.session
        kept.session.close()
        return None

    def _give_back(self, inbox_id: int, kept: _Kept) -> None:
        leaving = []
        with self._lock:
            doubled = self._waiting.pop(inbox_id, None)
            if doubled is not None:  # two threads asked about the same inbox
                leaving.append(doubled)
            self._waiting[inbox_id] = kept
            most = _most_connections() if self._kept is None else self._kept
            while self._waiting and (len(self._waiting) > most or self._has_expired()):
                leaving.append(self._waiting.popitem(last=False)[1])
        for left in leaving:
            left.session.close()

    def _has_expired(self) -> bool:
        """Whether the connection that waits longest does so for too long."""
        return next(iter(self._waiting.values())).used_at + self._idle_seconds <= time.monotonic()
