"""The report on a replay: how many mails would be otherwise, in what, and the newest of each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from inboxops.core import replay_words as words
from inboxops.core.replay import Compared, Group, Kept, Today

EXAMPLES = 5
"""Of each group."""


@dataclass(frozen=True, slots=True)
class Example:
    """One mail of a group. message_id: of its header. ticket_number: where it is now."""

    inbound_id: int
    received_at: datetime
    inbox_id: int
    message_id: str
    ticket_number: int | None
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of mails, and the newest examples of each group.

    read: looked at. differing: with a difference in any group. verdicts: "was -> now" of that group. left_out: reason -> mails.
    """

    read: int = 0
    differing: int = 0
    groups: Mapping[str, int] = field(default_factory=dict)
    verdicts: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, tuple[Example, ...]] = field(default_factory=dict)

    def __add__(self, other: Report) -> Report:
        examples = {
            name: _newest((*self.examples.get(name, ()), *other.examples.get(name, ())))
            for name in {**self.examples, **other.examples}
        }
        return Report(
            self.read + other.read,
            self.differing + other.differing,
            _sum(self.groups, other.groups),
            _sum(self.verdicts, other.verdicts),
            _sum(self.left_out, other.left_out),
            examples,
        )


def reported(kept: Kept, today: Today, compared: Compared) -> Report:
    """The report on one mail."""
    found = {one.group: one for one in compared.differences}
    verdict = found.get(Group.VERDICT)
    examples = {
        str(group): (
            Example(
                inbound_id=kept.inbound_id,
                received_at=kept.received_at,
                inbox_id=kept.inbox_id,
                message_id=today.reading.original_id,
                ticket_number=kept.ticket.number if kept.ticket else None,
                was=one.was,
                now=one.now,
            ),
        )
        for group, one in found.items()
    }
    return Report(
        read=1,
        differing=int(bool(found)),
        groups=dict.fromkeys(map(str, found), 1),
        verdicts={f"{words.kind(verdict.was)} -> {words.kind(verdict.now)}": 1} if verdict else {},
        left_out=dict.fromkeys(compared.left_out, 1),
        examples=examples,
    )


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _newest(examples: Sequence[Example]) -> tuple[Example, ...]:
    return tuple(sorted(examples, key=lambda one: (one.received_at, one.inbound_id), reverse=True)[:EXAMPLES])
