"""How long a mailbox waits for an API that asks for patience, and how fast it asks in the first place."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from inboxops.errors import Throttled

FIRST_SECONDS = 1.0


class Patience:
    """Time that one opened mailbox may spend waiting. When it is used up, the next run's turn comes."""

    def __init__(self, seconds: float, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._left = seconds
        self._sleep = sleep
        self._lock = threading.Lock()

    def bear(self, error: Throttled, attempt: int) -> None:
        """Wait as long as the server said, or twice as long each `attempt` (from 0), with jitter.

        Raises the error when that is more time than is left.
        """
        backoff = FIRST_SECONDS * 2**attempt
        seconds = backoff if error.retry_after is None else error.retry_after
        seconds += random.uniform(0, backoff / 2)
        with self._lock:
            if seconds > self._left:
                raise error
            self._left -= seconds
        self._sleep(seconds)


class Pace:
    """A quota that flows in evenly: `spend` waits until there is enough of it. Units are the provider's."""

    def __init__(self, per_minute: float, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._per_second = per_minute / 60
        self._most = self._have = per_minute / 4
        self._filled = time.monotonic()
        self._sleep = sleep

    def spend(self, units: float) -> None:
        now = time.monotonic()
        self._have = min(self._most, self._have + (now - self._filled) * self._per_second) - units
        self._filled = now
        if self._have < 0:
            self._sleep(-self._have / self._per_second)
