"""Where a process can end: before and behind each call that leaves it, and each commit.

The product knows nothing of this. What it is composed of is wrapped here, in the process that is to be killed: the adapters of
a World, and the few things that the composition room takes from below by name.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from inboxops.composition import intake, mailboxes, pushing, sending
from inboxops.composition.world import World
from inboxops.db.database import Database, Transaction
from inboxops.db.queries import sql
from inboxops.orchestrator.cells import Airflows
from inboxops.ports import FetchLimits

_WRITES = ("INSERT", "UPDATE", "DELETE")


@dataclass
class Path:
    """The boundaries that this process crossed, by name; at the `nth` crossing of `point` it is killed, with its children."""

    point: str = ""
    nth: int = 1
    stage: str = ""
    crossed: Counter[str] = field(default_factory=Counter)

    def at(self, boundary: str) -> None:
        name = f"{self.stage}: {boundary}"
        self.crossed[name] += 1
        if name == self.point and self.crossed[name] == self.nth:
            os.killpg(0, signal.SIGKILL)


class Crossed:
    """An adapter with a boundary on both sides of each of its methods; what a method iterates over is crossed at each step."""

    def __init__(self, name: str, inner: Any, path: Path) -> None:
        self._name, self._inner, self._path = name, inner, path

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._inner, method)
        return partial(self._call, method, found) if callable(found) else found

    def _call(self, method: str, function: Callable[..., Any], *given: Any, **more: Any) -> Any:
        what = f"{self._name}.{method}"
        self._path.at(f"before {what}")
        answer = function(*given, **more)
        if isinstance(answer, Iterator) and not hasattr(answer, "__enter__"):
            return self._steps(what, answer)
        self._path.at(f"behind {what}")
        return self._opened(answer) if hasattr(answer, "__enter__") else answer

    def _steps(self, what: str, steps: Iterator[Any]) -> Iterator[Any]:
        for step in steps:
            self._path.at(f"behind {what}")
            yield step

    @contextmanager
    def _opened(self, opening: Any) -> Iterator[Any]:
        with opening as session:
            yield Crossed("mailbox", session, self._path)


class CrossedDatabase(Database):
    """A boundary on both sides of each commit that has something to keep, named by the last statement that wrote."""

    def __init__(self, dsn: str, path: Path, *, connections: int = 4) -> None:
        super().__init__(dsn, connections=connections)
        self._path = path

    @contextmanager
    def transaction(self, *, tenant_id: int | None = None) -> Iterator[Transaction]:
        with super().transaction(tenant_id=tenant_id) as t:
            watched = _Watched(t.connection)
            yield watched
            if watched.wrote:
                self._path.at(f"before commit of {watched.wrote}")
        if watched.wrote:
            self._path.at(f"behind commit of {watched.wrote}")


class _Watched(Transaction):
    wrote = ""

    def rows(self, name: str, /, **parameters: Any) -> Any:
        self._note(name)
        return super().rows(name, **parameters)

    def row(self, name: str, /, **parameters: Any) -> Any:
        self._note(name)
        return super().row(name, **parameters)

    def run(self, name: str, /, **parameters: Any) -> int:
        self._note(name)
        return super().run(name, **parameters)

    def _note(self, name: str) -> None:
        lines = [line for line in sql(name).decode().splitlines() if not line.startswith("--")]
        if lines[0].startswith(_WRITES):
            self.wrote = name


class CrossedWorld(World):
    """The product, wherever it leaves its process watched."""

    path: Path

    @cached_property
    def database(self) -> Database:
        return CrossedDatabase(self.settings.database_url.get_secret_value(), self.path)

    def new_objects(self) -> Any:
        return Crossed("objects", super().new_objects(), self.path)

    @cached_property
    def bulk_objects(self) -> Any:
        return Crossed("objects", super().bulk_objects, self.path)

    @cached_property
    def bus(self) -> Any:
        return Crossed("bus", super().bus, self.path)

    @cached_property
    def airflows(self) -> Any:
        return _CrossedAirflows(super().airflows, self.path)


class _CrossedAirflows:
    """That of each cell, watched."""

    def __init__(self, known: Airflows, path: Path) -> None:
        self._known, self._path = known, path

    def of(self, cell: str) -> Any:
        return Crossed("airflow", self._known.of(cell), self._path)


def watched(settings: Any, path: Path) -> CrossedWorld:
    """A World with boundaries. For a process of its own: it changes what the composition room takes from below.

    A batch is two messages here, so that a mailbox of a few is read in several.
    """
    for room, name, shown in (
        (intake, "provider", "provider"),
        (sending, "sender", "sender"),
        (pushing, "watcher", "watcher"),
        (mailboxes, "consent_client", "tokens"),
    ):
        made = getattr(room, name)
        setattr(room, name, partial(_made, shown, made, path))
    intake.FetchLimits = partial(FetchLimits, batch_messages=2)  # type: ignore[misc, assignment]
    world = CrossedWorld(settings)
    world.path = path
    return world


def _made(name: str, make: Callable[..., Any], path: Path, *given: Any, **more: Any) -> Crossed:
    return Crossed(name, make(*given, **more), path)
