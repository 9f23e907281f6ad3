"""Outlast: a database or an object store that is away for as long as a restart takes is waited for, where the work is.

Of a provider's trouble the next poll is the next try, for it may be the provider's wish to be left alone. Our own services have no
such wish, and what they are away for is everybody's mail. Waited for here, not by retries of the task: a fetch's begin with another
probe of the provider, and as many probes would follow one that failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from inboxops.errors import ServiceAway
from inboxops.stories.telling import log

Done = TypeVar("Done")

PAUSES = (5.0, 10.0, 20.0, 40.0)
"""Seconds before each further try: a restart takes some ten. A database that is away holds each try up for 15 s besides."""


def outlast(stage: Callable[[], Done]) -> Done:
    """What `stage`, which may be done again at any point, gives. Raises ServiceAway when the service is still away at last."""
    for seconds in PAUSES:
        try:
            return stage()
        except ServiceAway as exc:
            tell_waits(exc, seconds)
        time.sleep(seconds)
    return stage()


def tell_waits(exc: ServiceAway, seconds: float) -> None:
    log.warning("waits_for_a_service", why=str(exc.args[0]), again_in_seconds=seconds, to_do=exc.fix)
