"""What a delivery report says: signs that it is one, recipients, status, diagnostic, and the ids of what came back."""

from __future__ import annotations

import re
from collections.abc import Mapping

from inboxops.core import ids, phrases
from inboxops.core.model import Bounce, Evidence, InboxContext, ParsedMessage
from inboxops.core.rules import evidence

_DAEMON = re.compile(r"mailer-?daemon|postmaster", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"^message-id[ \t]*:[ \t\r\n]*<?([^<>\s]{1,1000})>?", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_SOFT = frozenset({(2, 2)})


def action(block: Mapping[str, str]) -> str:
    return block.get("action", "").partition("(")[0].strip().lower()


def report(message: ParsedMessage, context: InboxContext) -> Bounce:
    recipients, status, diagnostic, actions = [], "", "", set()
    for block in message.delivery_status:
        address = block.get("final-recipient") or block.get("original-recipient")
        if address:
            recipients.append(address.rpartition(";")[2].strip().strip("<>"))
            actions.add(action(block))
            status = status or block.get("status", "").split(" ")[0]
            diagnostic = diagnostic or block.get("diagnostic-code", "")
    for value in message.all_headers("X-Failed-Recipients"):
        recipients += [one.strip() for one in value.split(",")]
    return Bounce(
        "delayed" if actions == {"delayed"} else ("hard" if status.startswith("5") else "soft"),
        tuple(dict.fromkeys(recipients)), status, diagnostic, *_returned_ids(message, context),
    )  # fmt: skip


def returned(message: ParsedMessage, context: InboxContext) -> Bounce:
    return Bounce("", (), "", "", *_returned_ids(message, context))


def signs(message: ParsedMessage) -> dict[str, Evidence]:
    found = {}
    local = message.sender.address.rpartition("@")[0]
    if _DAEMON.fullmatch(local) or "mail delivery" in message.sender.name.lower():
        found["a"] = evidence("From", f"{message.sender.name} <{message.sender.address}>")
    if message.return_path == "":
        found["b"] = evidence("Return-Path", "<>")
    for name in ("X-Failed-Recipients", "X-MS-Exchange-Message-Is-Ndr"):
        value = message.header(name)
        if value is not None:
            found["c"] = evidence(name, value)
    text = message.text[:50_000]
    for name, where, pattern, value in (
        ("d", "Subject", phrases.BOUNCE_SUBJECT, message.subject[:300]),
        ("e", "body", phrases.RETURNED_MARK, text),
        ("f", "body", phrases.SMTP_REPLY, text),
    ):
        hit = pattern.search(value)
        if hit:
            found[name] = evidence(where, hit[0])
    if message.returned:
        found.setdefault("e", evidence("part", "returned message"))
    return found


def _returned_ids(message: ParsedMessage, context: InboxContext) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    sources = [*message.returned, message.text[:50_000]]
    found = [ids.normalise_message_id(one) for text in sources for one in _MESSAGE_ID.findall(text)]
    signed = ids.find_message_ids("\n".join(sources), context.signing_key)
    return tuple(dict.fromkeys(found)), signed
