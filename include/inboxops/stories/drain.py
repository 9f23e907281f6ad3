"""Drain: what a crash left behind goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from inboxops.errors import InboxOpsError
from inboxops.stories.telling import WHO, log


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
    sends_ordered_again: int = 0
    sends_resumed: int = 0
    sends_failed: int = 0
    inboxes_filed: int = 0
    inboxes_failed: int = 0
    notices_delivered: int = 0
    notices_waiting: int = 0


def file_left_mail(
    inboxes: LeftMail,
    file: Callable[[int], object],
    *,
    cell: str,
    minutes: int,
    in_time: Callable[[], bool] = lambda: True,
) -> tuple[int, int]:
    """Classify and persist mail of a cell that is durable and that no run moved on for `minutes`: (inboxes done, failed).

    Its inbox may have been disconnected since, so no run of its own would come. One that fails, however, stops no other. in_time:
    asked before each, and by `file` within it; what is left then is the next drain's.
    """
    done = failed = 0
    for inbox_id in inboxes.left_behind(cell=cell, minutes=minutes):
        if not in_time():
            break
        try:
            file(inbox_id)
            done += 1
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is this inbox's, and the others' mail waits as well
            log.warning("left_mail_not_filed", inbox=inbox_id, why=f"{type(exc).__name__}: {exc}"[:300])
            failed += 1
    return done, failed


def resume_left_sends(
    outbox: LeftSends,
    send: Callable[[int, int], object],
    *,
    cell: str,
    minutes: int,
    in_time: Callable[[], bool] = lambda: True,
    limit: int = 20,
) -> tuple[int, int]:
    """Find out what became of a cell's messages whose run ended without a word: (resolved, failed). One stops no other.

    in_time: asked before each.
    """
    done = failed = 0
    for message_id, attempt in outbox.left_sending(cell=cell, minutes=minutes, limit=limit):
        if not in_time():
            break
        try:
            send(message_id, attempt)
            done += 1
        except InboxOpsError:
            failed += 1
    return done, failed


def wake_or_remember(inbox_id: int, wake: Callable[[int], None], remember: Callable[[int], None]) -> bool:
    """Wake an inbox now, or leave the wake-up in the outbox when Airflow is away or refuses it. True when it was delivered now."""
    try:
        wake(inbox_id)
        return True
    except InboxOpsError as exc:
        log.warning("wake_kept", inbox_id=inbox_id, why=str(exc), who_can_help=WHO[exc.kind])
        remember(inbox_id)
        return False
