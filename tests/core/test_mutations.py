"""Damaged mail: whatever is done to a mail's bytes, it is read without an exception, and what is read fits into PostgreSQL.

`make mutations SECONDS=600` goes on for ten minutes, also over a folder that INBOXOPS_MAIL_SET names.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from inboxops.core.attachments import safe_file_name, within_limits
from inboxops.core.mail_rules.model import Op, RuleSet
from inboxops.core.mail_rules.wire import OPS, read_rule
from inboxops.core.mime import parse
from inboxops.core.model import InboxContext
from inboxops.core.signing import SigningKey
from inboxops.stories.classify import read_message

CORPUS = Path(__file__).parents[1] / "corpus"
NAMED = os.environ.get("INBOXOPS_MAIL_SET")
SECONDS = float(os.environ.get("INBOXOPS_MUTATION_SECONDS", "0"))
FEW = 400  # mutants without SECONDS
SEED = int(os.environ.get("INBOXOPS_MUTATION_SEED", "1"))

CONDITIONS = [
    {"on": on, "op": "matches", "values": ["(?s)^.*[^a-z]$"], "header": "Received" if on == "header" else ""}
    for on, ops in OPS.items()
    if Op.MATCHES in ops
] + [
    {"on": on, "op": "contains", "values": ["é ß"], "header": "Received" if on == "header" else ""}
    for on, ops in OPS.items()
    if Op.CONTAINS in ops
]
EVERY = {"name": "every", "enabled": True, "match": "any", "conditions": CONDITIONS, "actions": {"tags": ["x"]}}
CONTEXT = InboxContext(
    tenant_id=1,
    inbox_id=1,
    email_address="support@desk.example",
    own_addresses=frozenset({"support@desk.example"}),
    agents=frozenset({"desk.example"}),
    signing_key=SigningKey(b"k" * 32),
    mail_rules=RuleSet(1, (read_rule(EVERY), read_rule(EVERY | {"name": "all", "match": "all"}))),
)
PIECES = [
    *(
        b"\0",
        b"\xff",
        b"\r",
        b"\n",
        b"\r\n\r\n",
        b"=",
        b"=?utf-8?b?",
        b"=?x?q?=ff?=",
        b"?=",
        b"\x1b$B",
        b"\x1b(B",
        b'"',
        b"<",
        b">",
    ),
    *(b"--", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", b"Content-Type: message/rfc822\r\n\r\n"),
    *(
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Type: text/plain; charset=utf-7\r\n",
        b"\xed\xa0\x80",
        b"A" * 1500,
    ),
    *(
        b"begin 644 x\r\n",
        b"Content-Disposition: attachment; filename*0*=utf-8''%00%0a\r\n",
        b"\xf0\x9f\x98\x80",
        b"From: \r\n",
    ),
    *(
        b"[#99999999999999999999]",
        b"Date: Mon, 99 Foo 99999 99:99:99 +9999\r\n",
        b"References: " + b"<a@b> " * 300 + b"\r\n",
    ),
]
Mutation = Callable[[random.Random, bytearray, list[bytes]], None]


def _flip(dice: random.Random, data: bytearray, _: list[bytes]) -> None:
    for _again in range(dice.randint(1, 20)):
        data[dice.randrange(len(data))] = dice.randrange(256)


def _cut(dice: random.Random, data: bytearray, _: list[bytes]) -> None:
    start = dice.randrange(len(data))
    del data[start : start + dice.choice([1, 2, 20, 500, len(data)])]


def _repeat(dice: random.Random, data: bytearray, _: list[bytes]) -> None:
    start = dice.randrange(len(data))
    data[start:start] = data[start : start + dice.choice([1, 50, 800])] * dice.choice([1, 2, 30])


def _insert(dice: random.Random, data: bytearray, _: list[bytes]) -> None:
    at = dice.randrange(min(len(data), dice.choice([200, 2_000, len(data)])))
    data[at:at] = dice.choice(PIECES) * dice.choice([1, 1, 3])


def _splice(dice: random.Random, data: bytearray, others: list[bytes]) -> None:
    other = dice.choice(others)
    data[dice.randrange(len(data)) :] = other[dice.randrange(len(other)) :][:100_000]


def _shuffle_lines(dice: random.Random, data: bytearray, _: list[bytes]) -> None:
    lines = bytes(data).split(b"\n")
    start = dice.randrange(len(lines))
    part = lines[start : start + dice.randint(2, 12)]
    dice.shuffle(part)
    lines[start : start + len(part)] = part
    data[:] = b"\n".join(lines)


MUTATIONS: list[Mutation] = [_flip, _cut, _repeat, _insert, _insert, _splice, _shuffle_lines]


def mutant(number: int, mails: list[bytes]) -> bytes:
    """The same for the same number."""
    dice = random.Random(f"{SEED}-{number}")
    data = bytearray(dice.choice(mails))
    for _ in range(dice.randint(1, 6)):
        dice.choice(MUTATIONS)(dice, data, mails)
        data = data or bytearray(b"\n")
    return bytes(data)


def test_a_damaged_mail_is_read_like_any_other() -> None:
    folders = [CORPUS, *([Path(NAMED)] if NAMED else [])]
    mails = [file.read_bytes() for folder in folders for file in sorted(folder.rglob("*.eml"))]
    mails = [mail for mail in mails if mail]
    end = time.monotonic() + SECONDS
    for number in itertools.count():
        if number >= FEW and time.monotonic() > end:
            break
        raw = mutant(number, mails)
        try:
            message = parse(raw)
            reading = read_message(message, CONTEXT, provider_thread_id=None, size_bytes=len(raw))
            kept, _ = within_limits(message.attachments)
            names: set[str] = set()
            for attachment in kept:
                names.add(safe_file_name(attachment.file_name, content_type=attachment.content_type, taken=names))
            assert len(names) == len(kept)
            stored = msgspec.json.encode(reading) + "".join((message.text, message.text_new, message.html)).encode()
            assert b"\\u0000" not in stored
            assert b"\0" not in stored
        except Exception as exc:
            exc.add_note(f"mutant {number} of seed {SEED}")
            raise
    sys.stdout.write(f"{number} mutants\n")
