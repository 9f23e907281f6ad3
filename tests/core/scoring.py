"""How far records of `inboxops explain` agree with a folder's labels.jsonl: share by name, and what a gate asks of each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

RIGHT = {
    "bounce": {"bounce", "delay"},
    "complaint": {"complaint"},
    "dsn_success": {"receipt"},
    "mdn": {"receipt"},
    "auto_reply": {"auto_reply"},
    "auto_generated": {"auto_generated", "bulk"},
    "spam": {"spam"},
    "human": {"human", "bulk", "auto_generated"},
}
GATE = {
    "answered": 1.0,
    "bounce": 0.985,
    "bounce precision": 0.995,
    "complaint": 1.0,
    "dsn_success": 1.0,
    "mdn": 1.0,
    "auto_reply": 1.0,
    "auto_generated": 1.0,
    "spam": 1.0,
    "human": 1.0,
    "from": 0.99,
    "subject": 0.989,  # of its labels seven hold U+FFFD where the letter can be told, as other parsers left it
    "attachments": 0.95,
    "recipients": 0.95,
    "original message id": 0.97,
    "customer": 1.0,
    "text": 1.0,
}


def labels(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()]


def shares(truth: Iterable[Mapping[str, Any]], records: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """name -> share of the labels of that name that the records get right."""
    said = {record["path"]: record for record in records}
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()

    def count(name: str, ok: bool) -> None:
        total[name] += 1
        right[name] += ok

    for label in truth:
        got = said.get(label["path"], {})
        count("answered", bool(got))
        count(label["label"], got.get("verdict") in RIGHT[label["label"]])
        if got.get("verdict") == "bounce":
            count("bounce precision", label["label"] == "bounce")
        facts = {**label.get("consensus", {}), **label.get("expected", {})}
        bounce = label.get("bounce") or {}
        sender = facts.get("from_addr") or facts.get("from")
        names = facts.get("attachments")
        if sender:
            count("from", _clean(sender) == _clean(got.get("from")))
        if facts.get("subject"):
            count("subject", _clean(facts["subject"]) == _clean(got.get("subject")))
        if names and all(isinstance(name, str) for name in names):
            count("attachments", sorted(map(_clean, names)) == sorted(map(_clean, got.get("attachments") or [])))
        if facts.get("customer"):
            count("customer", _clean(facts["customer"]) == _clean(got.get("customer")))
        for words in facts.get("text", ()):
            count("text", _clean(words) in _clean(got.get("text")))
        if bounce.get("failed_recipients"):
            wanted = set(map(_clean, bounce["failed_recipients"]))
            count("recipients", wanted == set(map(_clean, got.get("recipients") or [])))
        if bounce.get("original_message_id"):
            wanted_id = _clean(bounce["original_message_id"]).strip("<>")
            count("original message id", wanted_id == _clean(got.get("original_message_id")))
    return {name: right[name] / total[name] for name in total}


def _clean(value: object) -> str:
    return " ".join(str(value or "").split()).casefold()
