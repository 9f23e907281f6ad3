"""Look: every inbox at its turn, by a bounded number of threads, and a run only where there is mail.

A look is claimed before it is done and kept after its inbox was woken: of a looker that died another one does it again, and
none is lost. Nothing here ends by an error; whoever looks too late is told of by `core.looking.standing`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from threading import Lock
from typing import NoReturn, Protocol, TypeVar

from inboxops.core import looking
from inboxops.core.looking import FEW_AT_ONCE, LEASE, Found, Look, Places, Rooms, Seen
from inboxops.errors import InboxOpsError, ServiceAway, TenantAdminError, TransientError
from inboxops.stories.telling import WHO, log

T = TypeVar("T")

AT_ONCE = 32
"""Mostly they wait for a server. No more are claimed, so that none waits here while another looker has room for it."""
WAITING = 32
"""So many wait here for one server that has as many who ask as it may: what is due behind them is not claimed."""
ROUND_SECONDS = 0.25
FOLLOW_SECONDS = 20.0
"""So soon a new inbox is looked at, and a paused one no more."""
ENDING_SECONDS = 5.0


class Looks(Protocol):
    """What is asked of the database."""

    def follow(self, every: timedelta) -> list[tuple[int, str]]: ...

    def let_go(self, by: str) -> list[tuple[int, str]]: ...

    def claim(self, by: str, *, limit: int, full: Sequence[str] = ()) -> list[Look]: ...

    def renew(self, by: str, inbox_ids: Sequence[int]) -> None: ...

    def leave(self, by: str, inbox_ids: Sequence[int]) -> None: ...

    def done(self, by: str, looks: Sequence[Seen]) -> None: ...


class Inboxes(Protocol):
    """What is done with an inbox. Each raises errors of `inboxops.errors`."""

    def look(self, inbox_id: int) -> Found:
        """What it fails by is noted on the inbox, but for a refused login, which is its run's to tell."""
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
    """Of one look: what it found, or the error that it failed by. not_woken: why its inbox was not woken, which was to be."""

    look: Look
    began_at: datetime
    found: Found | InboxOpsError
    not_woken: InboxOpsError | None = None


class Looker:
    """One of those who share the looks of an installation. name: no other's."""

    def __init__(self, name: str, looks: Looks, inboxes: Inboxes, *, every: timedelta) -> None:
        self._name, self._looks, self._inboxes, self._every = name, looks, inboxes, every
        self._places, self._rooms = Places(), Rooms(AT_ONCE - FEW_AT_ONCE)
        self._waiting: list[Look] = []
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
            ended = dict((*self._looks.follow(self._every), *self._looks.let_go(self._name)))
            for inbox_id, connection_type in ended.items():
                self._inboxes.forget(inbox_id, connection_type)
            self._waiting = [look for look in self._waiting if look.inbox_id not in ended]
            self._follow_at = now + FOLLOW_SECONDS
        if now >= self._renew_at:
            # No more than that: what was claimed and lost on the way to here comes back when its lease is over.
            self._looks.renew(self._name, [*self._under_way, *(look.inbox_id for look in self._waiting)])
            self._renew_at = now + LEASE.total_seconds() / 3
        waiting, self._waiting = self._waiting, []
        for look in waiting:
            self._begin(look)
        room = AT_ONCE - len(self._under_way)
        at_places = Counter(look.place for look in self._waiting)
        full = [place for place, count in at_places.items() if count >= WAITING]
        here = self._under_way.keys() | {look.inbox_id for look in self._waiting}
        for look in self._looks.claim(self._name, limit=room, full=full) if room > 0 else ():
            self._ahead = look.claimed_at - datetime.now(UTC)
            if look.inbox_id not in here:  # as one is that was paused and resumed meanwhile
                self._begin(look)

    def _now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def _begin(self, look: Look) -> None:
        now = self._now()
        if not self._places.resting(look.place, now) and not (
            len(self._under_way) < AT_ONCE and self._rooms.is_open(look.place, now)
        ):
            self._waiting.append(look)
            return
        resting = self._places.rests(look.place, now)
        if resting:
            self._inboxes.note(look.inbox_id, TransientError(resting))
            self._unsaved.append(looking.passed(look, resting, every=self._every, now=now))
        else:
            self._rooms.enter(look.place)
            self._under_way[look.inbox_id] = self._threads.submit(self._look, look)

    def _look(self, look: Look) -> None:
        """In a thread."""
        began_at = self._now()
        found = self._tried(self._inboxes.look, look)
        needs_run = looking.needs_run(look, found.kind) if isinstance(found, InboxOpsError) else found.mail
        not_woken = self._tried(self._inboxes.wake, look) if needs_run else None
        if not_woken is not None:
            with suppress(InboxOpsError):
                self._inboxes.note(look.inbox_id, not_woken)
        self._answers.put(_Answer(look, began_at, found, not_woken))

    def _tried(self, do: Callable[[int], T], look: Look) -> T | InboxOpsError:
        try:
            return do(look.inbox_id)
        except InboxOpsError as exc:
            return exc
        except Exception as exc:  # nobody foresaw it, and no other inbox shall suffer
            log.exception("look_broke", inbox_id=look.inbox_id)
            return TransientError(f"{type(exc).__name__}: {exc}")

    def _save(self) -> None:
        with suppress(Empty):
            while True:
                answer = self._answers.get_nowait()
                self._under_way.pop(answer.look.inbox_id, None)
                self._unsaved.append(self._seen(answer))
        if self._unsaved:
            self._keep(self._unsaved)
            self._unsaved = []

    def _keep(self, seen: Sequence[Seen]) -> None:
        try:
            self._looks.done(self._name, seen)
        except InboxOpsError:  # of the database: later it keeps them all
            raise
        except Exception as exc:  # what the database refuses to hold of one look keeps none of the others from it
            if len(seen) == 1:  # it is due again when its lease is over
                log.exception("look_not_kept", inbox_id=seen[0].inbox_id, why=str(exc))
                return
            for one in seen:
                self._keep([one])

    def _seen(self, answer: _Answer) -> Seen:
        look, found = answer.look, answer.found
        self._tell(look, found)
        if isinstance(found, InboxOpsError):
            log.warning("look_failed", inbox_id=look.inbox_id, why=str(found), who_can_help=WHO[found.kind])
            wait = found.retry_after if isinstance(found, TransientError) else None
            said = str(found)[:500]
            seen = looking.failed(look, found.kind, said, retry_after=wait, every=self._every, at=answer.began_at)
        else:
            if found.mail:
                log.info("look_found_mail", inbox_id=look.inbox_id)
            seen = looking.seen(look, found=found.mail, every=self._every, at=answer.began_at)
        if (why := answer.not_woken) is None:
            return seen
        log.warning("look_woke_nobody", inbox_id=look.inbox_id, why=str(why), who_can_help=WHO[why.kind])
        return looking.not_woken(seen, str(why)[:500], every=self._every, at=answer.began_at)

    def _tell(self, look: Look, found: Found | InboxOpsError) -> None:
        """Those who know how the server is, which it may not be that answered."""
        asked = not isinstance(found, ServiceAway) if isinstance(found, InboxOpsError) else found.asked
        answered = asked and isinstance(found, Found | TenantAdminError)
        self._rooms.leave(look.place, self._now(), answered=answered)
        if answered:
            self._places.answered(look.place)
        elif not asked:
            self._places.not_asked(look.place)
        else:
            self._places.failed(look.place, look.inbox_id, str(found), self._now())

    def _end(self) -> None:
        """Let what is under way come to its end, for a moment; what is not then, others take over when its lease is over."""
        with self._turn:
            with suppress(InboxOpsError):
                self._looks.leave(self._name, [look.inbox_id for look in self._waiting])
            wait(self._under_way.values(), timeout=ENDING_SECONDS)
            self._threads.shutdown(wait=False)
            with suppress(InboxOpsError):
                self._save()
