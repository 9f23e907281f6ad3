"""The World of a command: from settings, closed at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inboxops.composition.world import World


@contextmanager
def opened() -> Iterator[World]:
    """Raises OperatorError when settings are missing."""
    import logging
    import sys

    import structlog

    from inboxops.composition.world import World
    from inboxops.settings import load

    structlog.configure(
        processors=[structlog.dev.ConsoleRenderer(colors=False)],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.WARNING
        ),  # what a task logs for its reader is none of ours
    )
    world = World(load())
    try:
        yield world
    finally:
        world.close()
