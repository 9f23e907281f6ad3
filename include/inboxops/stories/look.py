"""Look: every inbox at its turn, by a bounded number of threads, and a run only where there is mail.

A look is claimed before it is done and kept after its inbox was woken: of a looker that died another one does it again, and
none is lost. Nothing here ends by an error; whoever looks too late is told of by `core.looking.standing`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from threading import Lock
from typing import NoReturn, Protocol

from inboxops.core import looking
from inboxops.core.looking import LEASE, Look, Places, Seen
from inboxops.errors import InboxOpsError, TenantAdminError, TransientError
from inboxops.stories.telling import WHO, log

AT_ONCE = 32
"""Mostly they wait for a server. No more are claimed, so that none waits here while another looker has room for it."""
ROUND_SECONDS = 0.25
FOLLOW_SECONDS = 20.0
"""So soon a new inbox is looked at, and a paused one no more."""
ENDING_SECONDS = 5.0


class Looks(Protocol):
    """What is asked of the database."""

    def follow(self, every: timedelta) -> list[tuple[int, str]]: ...

    def let_go(self, by: str) -> list[tuple[int, str]]: ...

    def claim(self, by: str, *, limit: int) -> list[Look]: ...

    def renew(self, by: str, inbox_ids: Sequence[int]) -> None: ...

    def done(self, by: str, looks: Sequence[Seen]) -> None: ...


class Inboxes(Protocol):
    """What is done with an inbox. Each raises errors of `inboxops.errors`."""

    def look(self, inbox_id: int) -> bool:
        """Whether there is mail. What it fails by is noted on the inbox, but for a refused login, which is its run's to tell."""
        ...

    def wake(self, inbox_id: int) -> None: ...

    def note(self, inbox_id: int, error: InboxOpsError) -> None:
        """Note what the inbox waits for."""
        ...

    def forget(self, inbox_id: int, connection_type: str) -> None:
        """Nobody looks at it any more."""
        ...


@dataclass(frozen=True, slots=True)
class _Answer:
    """Of one look. error: what it failed by; of_server: while it was asked, not while its inbox was woken."""

    look: Look
    began_at: datetime
    found: bool = False
    error: InboxOpsError | None = None
    of_server: bool = False


class Looker:
    """One of those who share the looks of an installation. name: no other's."""

    def __init__(self, name: str, looks: Looks, inboxes: Inboxes, *, every: timedelta) -> None:
        self._name, self._looks, self._inboxes, self._every = name, looks, inboxes, every
        self._places = Places()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="look")
        self._answers: SimpleQueue[_Answer] = SimpleQueue()
        self._under_way: dict[int, Future[None]] = {}
        self._unsaved: list[Seen] = []
        self._turn = Lock()  # a round that is cancelled goes on in its thread
        self._follow_at = self._renew_at = 0.0
        self._ahead = timedelta()  # the database's clock, which all lookers go by, is so far ahead of this host's

    async def run(self) -> NoReturn:
        """Look until this is cancelled. What is away, the database too, is waited for."""
        try:
            while True:
                await asyncio.to_thread(self._round)
                await asyncio.sleep(ROUND_SECONDS)
        finally:
            await asyncio.to_thread(self._end)

    def _round(self) -> None:
        with self._turn:
            try:
                self._go_on()
            except InboxOpsError as exc:
                log.warning("looks_not_read", why=str(exc), who_can_help=WHO[exc.kind])
            except Exception:  # nobody foresaw it; the next round may be better, and none would be worse
                log.exception("looks_broke")

    def _go_on(self) -> None:
        self._save()
        now = time.monotonic()
        if now >= self._follow_at:
            for inbox_id, connection_type in (*self._looks.follow(self._every), *self._looks.let_go(self._name)):
                self._inboxes.forget(inbox_id, connection_type)
            self._follow_at = now + FOLLOW_SECONDS
        if now >= self._renew_at:
            # No more than that: what was claimed and lost on the way to here comes back when its lease is over.
            self._looks.renew(self._name, list(self._under_way))
            self._renew_at = now + LEASE.total_seconds() / 3
        room = AT_ONCE - len(self._under_way)
        for look in self._looks.claim(self._name, limit=room) if room else ():
            self._ahead = look.claimed_at - datetime.now(UTC)
            self._begin(look)

    def _now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def _begin(self, look: Look) -> None:
        now = self._now()
        resting = self._places.rests(look.place, now)
        if resting:
            self._inboxes.note(look.inbox_id, TransientError(resting))
            self._unsaved.append(looking.passed(look, resting, every=self._every, now=now))
        else:
            self._under_way[look.inbox_id] = self._threads.submit(self._look, look)

    def _look(self, look: Look) -> None:
        """In a thread."""
        began_at = self._now()
        found, error = self._tried(self._inboxes.look, look)
        of_server = error is not None
        if found or (error is not None and looking.needs_run(look, error.kind)):
            _, not_woken = self._tried(self._inboxes.wake, look)
            error = error or not_woken
        self._answers.put(_Answer(look, began_at, found, error, of_server))

    def _tried(self, do: Callable[[int], bool | None], look: Look) -> tuple[bool, InboxOpsError | None]:
        try:
            return bool(do(look.inbox_id)), None
        except InboxOpsError as exc:
            return False, exc
        except Exception as exc:  # nobody foresaw it, and no other inbox shall suffer
            log.exception("look_broke", inbox_id=look.inbox_id)
            return False, TransientError(f"{type(exc).__name__}: {exc}")

    def _save(self) -> None:
        with suppress(Empty):
            while True:
                answer = self._answers.get_nowait()
                del self._under_way[answer.look.inbox_id]
                self._unsaved.append(self._seen(answer))
        if self._unsaved:
            self._looks.done(self._name, self._unsaved)
            self._unsaved = []

    def _seen(self, answer: _Answer) -> Seen:
        look, error = answer.look, answer.error
        if error is None or not answer.of_server or isinstance(error, TenantAdminError):
            self._places.answered(look.place)
        else:
            self._places.failed(look.place, look.inbox_id, str(error), self._now())
        if error is None:
            if answer.found:
                log.info("look_found_mail", inbox_id=look.inbox_id)
            return looking.seen(look, found=answer.found, every=self._every, at=answer.began_at)
        log.warning("look_failed", inbox_id=look.inbox_id, why=str(error), who_can_help=WHO[error.kind])
        retry_after = error.retry_after if isinstance(error, TransientError) else None
        return looking.failed(
            look, error.kind, str(error)[:500], retry_after=retry_after, every=self._every, at=answer.began_at
        )

    def _end(self) -> None:
        """Let what is under way come to its end, for a moment; others take over what is not, when its lease is over."""
        with self._turn:
            wait(self._under_way.values(), timeout=ENDING_SECONDS)
            self._threads.shutdown(wait=False)
            with suppress(InboxOpsError):
                self._save()
