"""The last beat of the pulse."""

from __future__ import annotations

from dataclasses import asdict

from inboxops.core.pulse import Pulse
from inboxops.db.database import Database


class PulseStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def beat(self, pulse: Pulse) -> None:
        with self._database.transaction() as t:
            t.run("beat", **asdict(pulse))

    def last(self) -> Pulse | None:
        """None before the first."""
        with self._database.transaction() as t:
            row = t.row("last_beat")
        return Pulse(**row) if row else None
