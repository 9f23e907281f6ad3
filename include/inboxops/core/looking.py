"""Looking at inboxes without a run: when it is whose turn, what follows from a look, which servers are left alone a while."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

LEASE = timedelta(seconds=60)
"""So long a look is its looker's own without a word from it; of one that died others take it over then."""

PATIENCE = timedelta(seconds=2)
"""An inbox stays with who looked at it last, whose connection to it is open, unless that one is so late."""

LATE = timedelta(minutes=3)
"""A look that is due for so long: nobody looks, or not fast enough. Three leases, so that a looker that died is no alarm."""

LONGEST_PAUSE = timedelta(hours=1)
"""Between two looks at an inbox that fails, unless its interval is longer."""

UNFETCHED = timedelta(minutes=15)
"""Looks that find mail in a row for so long, and no run has fetched any: somebody has to see why."""

NOT_FETCHED = (
    "mail was found, and no run has fetched it since: no worker is free, its DAG is paused in Airflow, or its runs fail"
)

TOO_MANY = 3
"""So many different inboxes of one server in a row without an answer, and it is the server, not they."""

FIRST_REST, LONGEST_REST = timedelta(seconds=10), timedelta(seconds=60)
"""So long a server is left alone then; twice as long each time that it still does not answer."""

FEW_AT_ONCE = 4
"""So many at once ask a server that has said nothing lately: it may be one that takes connections and is silent for ever."""

LATELY = timedelta(seconds=2)

_GOLDEN = 0.6180339887498949  # the fractions of its multiples lie evenly, however many ids there are


def offset_of(inbox_id: int, period_seconds: int) -> int:
    """Seconds into the period at which it is an inbox's turn."""
    return int(inbox_id * _GOLDEN % 1 * period_seconds)


def next_turn(inbox_id: int, every: timedelta, after: datetime) -> datetime:
    """The inbox's first turn after this moment; turns are counted from the epoch, so that every looker knows the same."""
    period = int(every.total_seconds())
    seconds = int(after.timestamp())
    return datetime.fromtimestamp(seconds + period - (seconds - offset_of(inbox_id, period)) % period, UTC)


class Result(StrEnum):
    FOUND = "found"  # mail behind the cursor: the inbox was woken
    NOTHING = "nothing"
    FAILED = "failed"
    PASSED = "passed"  # not tried: its server is left alone


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found. mail: whether there is any; asked: whether it is the inbox's server that said so."""

    mail: bool
    asked: bool


@dataclass(frozen=True, slots=True)
class Look:
    """One that is due and claimed. place: the server that is asked, with the kind of mailbox.

    claimed_at: by the database's clock, the only one that all lookers share.
    failures: in a row until now; failed_as: whose turn it was to help then (`InboxOpsError.kind`), "" after a success.
    """

    inbox_id: int
    due_at: datetime
    claimed_at: datetime
    place: str
    failures: int = 0
    failed_as: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a look. looked_at: when it began, None when it was not tried. due_at: when the next one is."""

    inbox_id: int
    result: Result
    looked_at: datetime | None
    due_at: datetime
    failures: int = 0
    failed_as: str = ""
    error: str = ""


def seen(look: Look, *, found: bool, every: timedelta, at: datetime) -> Seen:
    """The server answered: the next look is the inbox's next turn. at: when this one began."""
    result = Result.FOUND if found else Result.NOTHING
    return Seen(look.inbox_id, result, at, next_turn(look.inbox_id, every, at))


def failed(look: Look, kind: str, error: str, *, retry_after: float | None, every: timedelta, at: datetime) -> Seen:
    """The first failure waits for the next turn, as a poll does; each further one twice as long, up to LONGEST_PAUSE.

    retry_after: seconds that the server asked for, which count where they are more.
    """
    failures = look.failures + 1
    pause = min(every * 2 ** min(failures - 1, 10), max(LONGEST_PAUSE, every))
    pause = max(pause, timedelta(seconds=retry_after or 0))
    due_at = next_turn(look.inbox_id, every, at + pause - every)
    return Seen(look.inbox_id, Result.FAILED, at, due_at, failures, kind, error)


def not_woken(seen: Seen, error: str, *, every: timedelta, at: datetime) -> Seen:
    """A look that was to wake its inbox and could not: its next turn tries that again, however often the server has failed."""
    return replace(seen, due_at=next_turn(seen.inbox_id, every, at), failed_as="", error=error)


def passed(look: Look, error: str, *, every: timedelta, now: datetime) -> Seen:
    """Passed over this time: its turn comes again as ever, so that many inboxes of one server stay spread."""
    due_at = next_turn(look.inbox_id, every, now)
    return Seen(look.inbox_id, Result.PASSED, None, due_at, look.failures, look.failed_as, error)


def needs_run(look: Look, kind: str) -> bool:
    """Whether a failure is shown by a run of the inbox's DAG: where a person has to help, and once, not at every look."""
    return kind != "transient" and look.failed_as != kind


@dataclass(slots=True)
class _Place:
    failing: set[int] = field(default_factory=set)
    rests: int = 0
    until: datetime | None = None
    trying: bool = False
    error: str = ""


class Places:
    """Servers and providers that don't answer, as one looker knows them: each is left alone for a while, then tried by one look.

    Times are the caller's, so that nothing here waits.
    """

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}

    def rests(self, name: str, now: datetime) -> str:
        """Why a place is not to be asked now; "" when it may be. Who is told so of one that rested tries it, alone."""
        place = self._places.get(name)
        if place is None or place.until is None:
            return ""
        if place.trying or now < place.until:
            return place.error
        place.trying = True
        return ""

    def resting(self, name: str, now: datetime) -> str:
        """As `rests`, for who does not try it then."""
        place = self._places.get(name)
        return place.error if place and place.until and (place.trying or now < place.until) else ""

    def answered(self, name: str) -> None:
        self._places.pop(name, None)

    def not_asked(self, name: str) -> None:
        """Who was to ask it did not come so far."""
        if place := self._places.get(name):
            place.trying = False

    def failed(self, name: str, inbox_id: int, error: str, now: datetime) -> None:
        """An inbox of it got no answer."""
        place = self._places.setdefault(name, _Place())
        place.failing.add(inbox_id)
        place.error = error
        if len(place.failing) < TOO_MANY:
            return
        if place.until is None or place.trying:  # not for each of those that were under way when it fell silent
            place.until = now + min(FIRST_REST * 2 ** min(place.rests, 10), LONGEST_REST)
            place.rests += 1
        place.trying = False


class Rooms:
    """How many ask each server now, so that those that wait for a silent one leave threads to all others.

    most: at one server that answers. At one that has not for a while it is FEW_AT_ONCE. Times are the caller's.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: Counter[str] = Counter()
        self._answered_at: dict[str, datetime] = {}

    def is_open(self, name: str, now: datetime) -> bool:
        """Whether one more may ask it."""
        last = self._answered_at.get(name)
        return self._inside[name] < (self._most if last and now - last < LATELY else FEW_AT_ONCE)

    def enter(self, name: str) -> None:
        """One more asks it; `leave` follows, whatever becomes of that."""
        self._inside[name] += 1

    def leave(self, name: str, now: datetime, *, answered: bool) -> None:
        self._inside[name] -= 1
        if answered:
            self._answered_at[name] = now


@dataclass(frozen=True, slots=True)
class Standing:
    """How looking is: `well`, and in words. overdue: seconds of the look that waits longest, None while nobody looks."""

    well: bool
    said: str
    overdue: float | None


def idling(inboxes: int, held: int, seconds: float | None) -> Standing:
    """inboxes: how many are to be held in IDLE; held: how many are; seconds: since that was last said, or since there is one."""
    if not inboxes:
        return Standing(True, "no inbox is to be held in IDLE", None)
    if seconds is not None and seconds > LATE.total_seconds():
        said = (
            f"nothing holds mailboxes in IDLE for {seconds:.0f} s: mail of {inboxes} inboxes waits for their polls;"
            " see the triggerer's log"
        )
        return Standing(False, said, None)
    return Standing(True, f"{held} of {inboxes} inboxes are held in IDLE", None)


def standing(inboxes: int, overdue: float) -> Standing:
    """inboxes: how many are looked at; overdue: seconds that the most overdue look waits, 0 when none does."""
    if not inboxes:
        return Standing(True, "off: each look is a run", None)
    if overdue > LATE.total_seconds():
        return Standing(
            False,
            f"looks are late by {overdue:.0f} s: the triggerers stand still, or are too few for {inboxes} inboxes",
            overdue,
        )
    return Standing(True, f"{inboxes} inboxes are looked at in time", overdue)
