"""How the whole installation stands, for whoever runs it: told once when something keeps mail, and once when that is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

PATIENCE = timedelta(seconds=30)
"""What comes and goes within it is told to nobody: a restart of one part takes less."""
STARTING = timedelta(minutes=2)
"""So long after its own start a watch tells nothing: all of the installation may be starting, and the first beat takes a minute."""


@dataclass(frozen=True, slots=True)
class Word:
    """What is to be told. said: what keeps mail, or kept it; since: when that began, or ended."""

    over: bool
    since: datetime
    said: str

    @property
    def text(self) -> str:
        """One line for a person."""
        if self.over:
            return f"InboxOps moves mail again since {self.since:%H:%M:%S} UTC; it was: {self.said}"
        return f"InboxOps moves no mail since {self.since:%H:%M:%S} UTC: {self.said}. Nothing is lost; `inboxops doctor` says more"


class Standing:
    """Looked at now and then. A word stays due until it is `told`, so that one which can't be delivered is not forgotten.

    last: what was told before this watch, whose end is to be told, too.
    """

    def __init__(self, now: datetime, last: Word | None = None) -> None:
        self._started = self._since = now
        self._said = ""
        self._is_wrong = self._told_wrong = False
        if last and not last.over:
            self._since, self._said = last.since, last.said
            self._is_wrong = self._told_wrong = True

    def look(self, wrong: str, *, now: datetime) -> Word | None:
        """wrong: "" when all is well. What is to be told now, if anything."""
        if bool(wrong) != self._is_wrong:
            self._is_wrong, self._since = bool(wrong), now
        self._said = wrong or self._said
        if self._is_wrong == self._told_wrong or now - self._since < PATIENCE or now - self._started < STARTING:
            return None
        return Word(not self._is_wrong, self._since, self._said)

    def told(self, word: Word) -> None:
        self._told_wrong = not word.over
