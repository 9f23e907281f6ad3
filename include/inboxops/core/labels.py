"""What a ticket is sorted by: tags, priority, and the queue that it stands in."""

from __future__ import annotations

from dataclasses import dataclass

from inboxops.core.mail_rules.model import Priority


@dataclass(frozen=True, slots=True)
class Labels:
    """priority None, queue "": nothing is said of it."""

    tags: tuple[str, ...] = ()
    priority: Priority | None = None
    queue: str = ""

    def joined(self, later: Labels) -> Labels:
        """With what a later mail adds: its tags, a higher priority, a queue where there is none. It takes nothing away."""
        said = [one for one in (self.priority, later.priority) if one is not None]
        return Labels(
            tuple(dict.fromkeys((*self.tags, *later.tags))),
            max(said, key=lambda one: one.rank, default=None),
            self.queue or later.queue,
        )
