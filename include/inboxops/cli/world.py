"""The World of a command: from settings, closed at its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inboxops.composition.world import World


def warnings_to_stderr() -> None:
    """What a task logs for its reader in Airflow is none of a command's output: warnings alone, and on stderr."""
    import logging

    import structlog

    structlog.configure(
        processors=[structlog.dev.ConsoleRenderer(colors=False)],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )


@contextmanager
def opened(file: Path | None = None, *, asked_for: str | None = None) -> Iterator[World]:
    """Ours; or another installation's, whose settings are in `file`.

    Raises OperatorError when settings are missing, InvalidInput when there is no tenant `asked_for`, where one is.
    """
    from inboxops.composition.world import World
    from inboxops.db.errors import refused_as_input
    from inboxops.settings import load, load_from

    warnings_to_stderr()
    world = World(load_from(file) if file else load())
    try:
        with refused_as_input():
            if asked_for is not None:
                world.inboxes.tenant_id(asked_for)
            yield world
    finally:
        world.close()
