"""The last beat of each cell, and what else is asked of cells as wholes."""

from __future__ import annotations

from dataclasses import asdict

from inboxops.core.cells import Cell, cell
from inboxops.core.pulse import Pulse
from inboxops.db.database import Database


class PulseStore:
    """Of the one cell that this process works for, unless a method says otherwise."""

    def __init__(self, database: Database, name: str) -> None:
        self._database, self._name = database, name

    def beat(self, pulse: Pulse) -> None:
        with self._database.transaction() as t:
            t.run("beat", cell=self._name, **asdict(pulse))

    def triggered(self) -> None:
        """Something ran in the triggerer now."""
        with self._database.transaction() as t:
            t.run("triggered", cell=self._name)

    def drained(self) -> None:
        """The drain has done now what all wait for."""
        with self._database.transaction() as t:
            t.run("drained", cell=self._name)

    def cells(self) -> list[Cell]:
        """Every cell that has tenants or beats, by name."""
        with self._database.transaction() as t:
            return [cell(**row) for row in t.rows("cells")]

    def is_on_duty(self) -> bool:
        """Whether this cell does what is done once for all of them."""
        with self._database.transaction() as t:
            return bool(t.value("on_duty", cell=self._name))
