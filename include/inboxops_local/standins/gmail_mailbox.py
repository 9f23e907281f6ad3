"""Gmail's idea of a mailbox: messages with labels, threads, and a history whose old end is forgotten."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import Any


@dataclass(slots=True)
class Message:
    id: str
    thread_id: str
    raw: bytes
    labels: set[str]
    internal_date: int  # milliseconds since the epoch
    history_id: int

    def resource(self, form: str) -> dict[str, Any]:
        """`users.messages` in format minimal; `raw` and `metadata` add to it."""
        return {
            "id": self.id,
            "threadId": self.thread_id,
            "labelIds": sorted(self.labels),
            "snippet": "" if form == "metadata" else self.raw[-100:].decode("utf-8", "replace"),
            "historyId": str(self.history_id),
            "internalDate": str(self.internal_date),
            "sizeEstimate": len(self.raw),
        }


@dataclass(frozen=True, slots=True)
class Change:
    id: int
    kind: str  # "messageAdded", "messageDeleted", "labelAdded", "labelRemoved"
    message_id: str
    thread_id: str
    labels: tuple[str, ...]  # of the message, just after the change
    changed: tuple[str, ...] = ()


@dataclass
class Mailbox:
    """One account's mail. The caller holds the stand-in's lock. on_change: told address and history id while watched."""

    address: str
    messages: dict[str, Message] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    # Numbers begin with the clock: what a client stored before a restart is too old, and never means another message.
    # A stand-in that is born again at the same second and filled in the same way gives the same numbers.
    born: float = field(default_factory=time.time)
    history_id: int = 0
    oldest_history_id: int = 0
    watch: Mapping[str, Any] | None = None
    on_change: Callable[[str, int], None] = lambda address, history_id: None
    _numbers: Iterator[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.oldest_history_id = self.history_id = int(self.born)
        self._numbers = itertools.count(int(self.born * 1000) << 20)

    def add(self, raw: bytes, *, labels: Iterable[str] = ("INBOX", "UNREAD"), when_ms: int | None = None) -> Message:
        number = f"{next(self._numbers):x}"
        message = Message(
            id=number,
            thread_id=self._thread(raw) or number,
            raw=raw,
            labels=set(labels),
            internal_date=int(time.time() * 1000) if when_ms is None else when_ms,
            history_id=0,
        )
        self.messages[number] = message
        self._record("messageAdded", message)
        return message

    def delete(self, message_id: str) -> None:
        self._record("messageDeleted", self.messages.pop(message_id))

    def relabel(self, message_id: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Message:
        message = self.messages[message_id]
        added, removed = set(add) - message.labels, set(remove) & message.labels
        message.labels = (message.labels | added) - removed
        if added:
            self._record("labelAdded", message, added)
        if removed:
            self._record("labelRemoved", message, removed)
        return message

    def forget_history(self) -> None:
        """Every history id given away so far means nothing any more."""
        self.history_id += 1
        self.oldest_history_id = self.history_id
        self.changes.clear()

    def find(self, subject: str) -> list[Message]:
        return [m for m in self.messages.values() if self.header(m, "Subject") == subject]

    @staticmethod
    def header(message: Message, name: str) -> str:
        head = message.raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        return str(message_from_bytes(head, policy=policy.compat32).get(name, "")).strip()

    def search(self, query: str, *, spam_and_trash: bool) -> list[Message]:
        """Newest first. As much of Gmail's search language as clients of a mailbox use: after, before, in, label, rfc822msgid."""
        found = list(self.messages.values())
        if not spam_and_trash:
            found = [m for m in found if not m.labels & {"SPAM", "TRASH"}]
        for negated, name, value in re.findall(r"(-?)(\w+):(\S+)", query):
            found = [m for m in found if self._matches(m, name, value) is not bool(negated)]
        return sorted(found, key=lambda m: (m.internal_date, int(m.id, 16)), reverse=True)

    def _matches(self, message: Message, name: str, value: str) -> bool:
        match name:
            case "after":
                return message.internal_date // 1000 > int(value)
            case "before":
                return message.internal_date // 1000 < int(value)
            case "in" | "label":
                label = {"drafts": "DRAFT", "chats": "CHAT", "anywhere": ""}.get(value.lower(), value.upper())
                return not label or label in message.labels
            case "rfc822msgid":
                return self.header(message, "Message-ID").strip("<>") == value.strip("<>")
        return True

    def _thread(self, raw: bytes) -> str | None:
        head = message_from_bytes(raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", policy=policy.compat32)
        named = set(re.findall(r"<[^<>]+>", f"{head.get('References', '')} {head.get('In-Reply-To', '')}"))
        if not named:
            return None
        return next((m.thread_id for m in self.messages.values() if self.header(m, "Message-ID") in named), None)

    def _record(self, kind: str, message: Message, changed: Iterable[str] = ()) -> None:
        self.history_id += 1
        message.history_id = self.history_id
        labels = tuple(sorted(message.labels))
        self.changes.append(
            Change(self.history_id, kind, message.id, message.thread_id, labels, tuple(sorted(changed)))
        )
        if self._is_watched(message.labels):
            self.on_change(self.address, self.history_id)

    def _is_watched(self, labels: Iterable[str]) -> bool:
        if self.watch is None or self.watch["expiration"] <= time.time() * 1000:
            return False
        named = set(self.watch.get("labelIds", []))
        includes = self.watch.get("labelFilterBehavior", "include") == "include"
        return not named or bool(named & set(labels)) is includes
