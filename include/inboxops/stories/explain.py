"""`inboxops explain`: what the core makes of mails in files, one record a file, without database, network or inbox."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from inboxops.core import mime
from inboxops.core.case import Case
from inboxops.core.mail_rules.evaluate import Judged, judged
from inboxops.core.mail_rules.model import NO_RULES, RuleSet
from inboxops.core.mail_rules.shown import shown
from inboxops.core.model import InboxContext, ParsedMessage
from inboxops.core.text import printable
from inboxops.stories.mailfiles import Source, files, spread

_TEXT = 2_000  # characters of a mail's new part that are shown


def explain_records(
    paths: Iterable[Path],
    *,
    agents: frozenset[str] = frozenset(),
    mail_rules: RuleSet = NO_RULES,
) -> Iterator[dict[str, Any]]:
    """One record for every file named, or found below a folder named: its path is then relative to that folder.

    agents: addresses and domains of the desk's own people. mail_rules: the tenant's. A file that can't be
    read has a record with an `error`. Raises InvalidInput when a path does not exist.
    """
    context = InboxContext(tenant_id=0, inbox_id=0, email_address="", agents=agents, mail_rules=mail_rules)
    yield from spread(files([Path(path) for path in paths]), partial(_explained, context))


def record(path: str, message: ParsedMessage, found: Judged) -> dict[str, Any]:
    """What is told of one message. Ids are normalised, without brackets."""
    verdict, who = found.verdict, found.customer
    bounce = verdict.bounce
    kept = [one for one in message.attachments if one.file_name and not (bounce and one.named_by_subject)]
    return {
        "path": path,
        "verdict": verdict.kind.value,
        "rule": verdict.rule,
        "evidence": [{"where": one.where, "value": one.value} for one in verdict.evidence],
        "from": message.sender.address,
        "customer": who.address.address,
        "customer_rule": who.rule,
        "reply_to": message.reply_to[0].address if message.reply_to else None,
        "subject": message.subject,
        "message_id": message.message_id,
        "attachments": [one.file_name for one in kept],
        "recipients": list(bounce.recipients) if bounce else [],
        "original_message_id": bounce.original_ids[0] if bounce and bounce.original_ids else None,
        "bounce_kind": (bounce.kind or None) if bounce else None,
        "in_reply_to": list(message.in_reply_to),
        "references": list(message.references),
        "text": message.text_new[:_TEXT],
    }


def run(
    paths: list[Path],
    *,
    jsonl: bool,
    agents: frozenset[str] = frozenset(),
    mail_rules: RuleSet = NO_RULES,
) -> int:
    """Write the records to standard output, a progress bar to standard error when that is a terminal. Returns the exit code."""
    records = explain_records(paths, agents=agents, mail_rules=mail_rules)
    if sys.stderr.isatty():
        records = _with_progress(records, sum(1 for _ in files(paths)))
    show = _json_line if jsonl else _sentences
    try:
        for one in records:
            sys.stdout.write(show(one))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _explained(context: InboxContext, source: Source) -> dict[str, Any]:
    try:
        raw = source.read()
        message = mime.parse(raw)
        found = judged(Case(message, context), size_bytes=len(raw))
        told = record(source.shown, message, found)
        return told | {"mail_rules": shown(found.rulings)} if context.mail_rules.rules else told
    except Exception as exc:  # noqa: BLE001 - the guard of one message: a line for every file, whatever it holds
        return {"path": source.shown, "verdict": None, "error": f"{type(exc).__name__}: {exc}"}


def _with_progress(records: Iterator[dict[str, Any]], total: int) -> Iterator[dict[str, Any]]:
    from rich.console import Console
    from rich.progress import track

    yield from track(records, total=total, description="Reading mail", console=Console(stderr=True), transient=True)


def _json_line(one: dict[str, Any]) -> str:
    return json.dumps(one) + "\n"


def _sentences(one: dict[str, Any]) -> str:
    """A few lines a person reads: what it is, from whom, why."""
    if one["verdict"] is None:
        return printable(f"{one['path']}: can't be read ({one['error']})") + "\n\n"
    lines = [
        f"{one['path']}: {one['verdict']} (rule {one['rule']})",
        f"  from {one['from'] or 'nobody'}: {one['subject'] or '(no subject)'}",
    ]
    lines += [f"  because {why['where']}: {' '.join(why['value'].split())}" for why in one["evidence"]]
    if one["customer_rule"] != "from":
        lines.append(f"  customer {one['customer']} (rule {one['customer_rule']})")
    for ruling in one.get("mail_rules", ()):
        lines.append(f"  mail rule {ruling['rule']}: {'; '.join(ruling['did'])}")
        lines += [f"    because {why['where']}: {' '.join(why['value'].split())}" for why in ruling["evidence"]]
    if one["bounce_kind"]:
        lines.append(f"  {one['bounce_kind']} bounce of {', '.join(one['recipients']) or 'an unnamed recipient'}")
    if one["original_message_id"]:
        lines.append(f"  returns <{one['original_message_id']}>")
    if one["attachments"]:
        lines.append(f"  files: {', '.join(one['attachments'])}")
    encoding = sys.stdout.encoding or "utf-8"
    return "\n".join(map(printable, lines)).encode(encoding, "replace").decode(encoding) + "\n\n"
