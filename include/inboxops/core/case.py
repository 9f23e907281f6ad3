"""One message in front of the rules: what they look at is worked out once, and only when a rule asks."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from inboxops.core import phrases
from inboxops.core import returned as returned_text
from inboxops.core.model import InboxContext, ParsedMessage

Found = TypeVar("Found")


class Case:
    """A message, the inbox it came to, and its text as a bounce would be read: `spoken` by a server, `below` it what came back."""

    def __init__(self, message: ParsedMessage, context: InboxContext) -> None:
        self.message = message
        self.context = context
        self._found: dict[Callable[[Case], Any], Any] = {}

    def once(self, look: Callable[[Case], Found]) -> Found:
        """What `look` finds in this message; several rules ask for it, and it looks the first time."""
        if look not in self._found:
            self._found[look] = look(self)
        found: Found = self._found[look]
        return found

    @cached_property
    def _headers(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, value in self.message.headers:
            found.setdefault(name.lower(), []).append(value)
        return found

    def header(self, name: str) -> str | None:
        """The first value of a header, any case, or None."""
        values = self.all_headers(name)
        return values[0] if values else None

    def all_headers(self, name: str) -> list[str]:
        return self._headers.get(name.lower(), [])

    @cached_property
    def _split(self) -> tuple[str, str, bool]:
        return returned_text.split(self.message.text)

    @property
    def spoken(self) -> str:
        return self._split[0]

    @property
    def below(self) -> str:
        return self._split[1]

    @property
    def has_header_block(self) -> bool:
        """Whether the text holds the headers of another message as they go over the wire."""
        return self._split[2]

    @cached_property
    def spoken_lower(self) -> str:
        return self.spoken.lower()

    @cached_property
    def subject_lower(self) -> str:
        return self.message.subject[:300].lower()

    @cached_property
    def failure(self) -> str:
        """The first line in which a server tells of a failure, or ""."""
        found = phrases.SMTP_REPLY.search(self.spoken_lower) or phrases.FAILURE.search(self.spoken_lower)
        return _line_around(self.spoken, found.start()) if found else ""

    @cached_property
    def is_answer(self) -> bool:
        """Whether the subject is not this mail's own: `Re:`, `Fwd:` and the like stand before it."""
        return phrases.REPLY_PREFIX.match(self.subject_lower) is not None

    @property
    def answers_or_is_away(self) -> bool:
        """Whether the subject is not this mail's own or an out-of-office program's."""
        return self.is_answer or self.is_out_of_office

    @property
    def is_out_of_office(self) -> bool:
        return self._away is not None

    @cached_property
    def _away(self) -> re.Match[str] | None:
        return phrases.OUT_OF_OFFICE_SUBJECT.search(self.subject_lower)

    @cached_property
    def has_bounce_subject(self) -> bool:
        """Whether the subject tells of mail that failed, and not of an absence before: that is an answer to such mail."""
        if self.is_answer or (found := phrases.BOUNCE_SUBJECT.search(self.subject_lower)) is None:
            return False
        return self._away is None or found.start() < self._away.start()


def _line_around(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    return text[start : end if end >= 0 else len(text)].strip()
