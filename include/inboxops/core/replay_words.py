"""How a replay tells what a mail was and would be: short, and the same for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inboxops.core.reading import StoredAttachment

_SHOWN = 100  # characters of a value
_BEFORE = 20  # of them in front of where two texts part
_NOT_THERE = "nothing"


def verdict(row: Mapping[str, Any]) -> str:
    return f"{row['verdict']} ({row['rule']})" if row["verdict"] else "unread"


def kind(verdict: str) -> str:
    """The verdict alone of what `verdict` tells."""
    return verdict.partition(" ")[0].rstrip(",")


def told_rules(rules: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, tuple[str, ...]]]:
    """Which mail rules held and what they did: the version that they were in is no difference."""
    return [(one["rule"], tuple(one["did"])) for one in rules or ()]


def rules(held: Sequence[Mapping[str, Any]] | None) -> str:
    return cut("; ".join(f"{name}: {', '.join(did)}" for name, did in told_rules(held)) or "no rule")


def customer(row: Mapping[str, Any]) -> str:
    who = row["customer"]
    if who is None:
        return f"{_person(row['from_name'], row['from_address'])} (from)"
    return f"{_person(who['name'], who['address'])} ({who['rule']}{', claimed' if who['claimed'] else ''})"


def references(row: Mapping[str, Any]) -> str:
    return f"refers to {cut(' '.join(dict.fromkeys((*row['in_reply_to'], *row['reference_ids']))) or _NOT_THERE)}"


def files(kept: Sequence[StoredAttachment], omitted: Sequence[Mapping[str, Any]]) -> str:
    named = [f"{one.file_name} ({one.content_type}, {one.size_bytes} bytes)" for one in kept]
    named += [f"{one['file_name']} (left out: {one['reason']})" for one in omitted]
    return cut(", ".join(named) or "none")


def around(name: str, was: Any, now: Any) -> tuple[str, str]:
    """Both values of a column from a little before the place where they part."""
    one, other = (value if isinstance(value, str) else "" if value is None else str(value) for value in (was, now))
    parts = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, parts - _BEFORE)
    told = (" ".join(text[start : start + 2 * _SHOWN].split()) for text in (one, other))
    first, second = (f"{name}: {'…' if start else ''}{cut(text)}" for text in told)
    return first, second


def _person(name: str, address: str) -> str:
    return cut(f"{name} <{address}>" if name else address)


def cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
