"""Erasing for good (GDPR, article 17): what there is of a customer, and what was done about it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """One raw mail in its pack. spans: (offset, length) in bytes of its frame and of its files there.

    message_id: by it its other objects are found.
    """

    storage_key: str
    spans: tuple[tuple[int, int], ...]
    message_id: int


@dataclass(frozen=True, slots=True)
class Found:
    """Ids of rows that go, and the objects behind them.

    tickets: those with nothing else in them. mentioned_in: numbers of tickets where others name the address: a person has to look.
    rules: names of mail rules that name the address: an admin has to change them. being_read: mails of the tenant whose sender
    is not known yet. unreadable: parked ones whose sender nobody knows.
    """

    messages: tuple[int, ...]
    inbound: tuple[int, ...]
    tickets: tuple[int, ...]
    frames: tuple[Frame, ...]
    files: tuple[str, ...]
    mentioned_in: tuple[int, ...]
    rules: tuple[str, ...]
    being_read: int
    unreadable: int

    @property
    def anything(self) -> bool:
        return bool(self.messages or self.inbound)


@dataclass(frozen=True, slots=True)
class Erased:
    """Counts. tickets_kept: tickets of the customer that hold what others wrote; they name him no more."""

    messages: int
    mails: int
    files: int
    tickets: int
    tickets_kept: int
    mentioned_in: tuple[int, ...]
    being_read: int

    @classmethod
    def of(cls, found: Found, *, tickets_kept: int) -> Erased:
        return cls(
            messages=len(found.messages),
            mails=len(found.frames),
            files=len(found.files),
            tickets=len(found.tickets),
            tickets_kept=tickets_kept,
            mentioned_in=found.mentioned_in,
            being_read=found.being_read,
        )


def address_hash(address: str, key: bytes) -> bytes:
    """By which an erasure can be found again from the address, and the address not from the erasure (HMAC, RFC 2104)."""
    return hmac.digest(key, b"erased:" + address.lower().encode(), hashlib.sha256)
