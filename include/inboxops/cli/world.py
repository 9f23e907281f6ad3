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
    from inboxops.composition.world import World
    from inboxops.settings import load

    world = World(load())
    try:
        yield world
    finally:
        world.close()
