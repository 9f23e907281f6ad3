"""Drain: what a crash left behind goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from inboxops.errors import InboxOpsError, TransientError


class LeftMail(Protocol):
    def left_behind(self, *, cell: str, minutes: int) -> list[int]: ...


class LeftSends(Protocol):
    def left_sending(self, *, cell: str, minutes: int, limit: int) -> list[tuple[int, int]]: ...


@dataclass(frozen=True, slots=True)
class Drained:
    events: int = 0
    wakes: int = 0
    wakes_waiting: int = 0
    registrations: int = 0
    replays: int = 0
    sends: int = 0
    sends_waiting: int = 0
    sends_resumed: int = 0
    sends_failed: int = 0
    inboxes_filed: int = 0
    inboxes_failed: int = 0
    notices_delivered: int = 0
    notices_waiting: int = 0


def file_left_mail(inboxes: LeftMail, file: Callable[[int], object], *, cell: str, minutes: int) -> tuple[int, int]:
    """Classify and persist mail of a cell that is durable and that no run moved on for `minutes`: (inboxes done, failed).

    Its inbox may have been disconnected since, so no run of its own would come. One that fails stops no other.
    """
    done = failed = 0
    for inbox_id in inboxes.left_behind(cell=cell, minutes=minutes):
        try:
            file(inbox_id)
            done += 1
        except InboxOpsError:
            failed += 1
    return done, failed


def resume_left_sends(
    outbox: LeftSends, send: Callable[[int, int], object], *, cell: str, minutes: int, limit: int = 20
) -> tuple[int, int]:
    """Find out what became of a cell's messages whose run ended without a word: (resolved, failed). One stops no other."""
    done = failed = 0
    for message_id, attempt in outbox.left_sending(cell=cell, minutes=minutes, limit=limit):
        try:
            send(message_id, attempt)
            done += 1
        except InboxOpsError:
            failed += 1
    return done, failed


def wake_or_remember(inbox_id: int, wake: Callable[[int], None], remember: Callable[[int], None]) -> bool:
    """Wake an inbox now, or leave the wake-up in the outbox when Airflow is away. True when it was delivered now."""
    try:
        wake(inbox_id)
        return True
    except TransientError:
        remember(inbox_id)
        return False
