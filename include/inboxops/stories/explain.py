"""`inboxops explain`: what the core makes of mails in files, without database, network or inbox.

One record a file, in the order of the files, made by as many processes as there are cores. Files go out in small batches and only a
few batches are under way, so memory does not grow with their number.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from inboxops.core import mime
from inboxops.core.classify import classify
from inboxops.core.model import InboxContext, ParsedMessage, Verdict
from inboxops.errors import InvalidInput

MOST_BYTES = 64 * 1024 * 1024
"""Of one file that are read, as many as the fetch takes in; what is behind is cut off."""

_BATCH = 16  # files
_BATCHES_A_PROCESS = 4
_ANY_INBOX = InboxContext(tenant_id=0, inbox_id=0, email_address="")

Named = tuple[str, str]
"""(the path as it is shown, the path to open)."""


def explain_records(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """One record for every file named, or found below a folder named: its path is then relative to that folder.

    Raises InvalidInput when a path does not exist. A file that can't be read has a record with an `error`.
    """
    files = _files([Path(path) for path in paths])
    yield from _explain_batch(
        list(islice(files, _BATCH))
    )  # before the fork, so that what is compiled and imported is shared
    second = list(islice(files, _BATCH))
    processes = _processes()
    if len(second) < _BATCH or processes == 1:
        yield from _explain_batch(second)
        for batch in _batches(files):
            yield from _explain_batch(batch)
        return
    fork = (
        multiprocessing.get_context("fork") if sys.platform == "linux" else None
    )  # macOS: its system threads break it
    with ProcessPoolExecutor(processes, mp_context=fork, initializer=_start) as pool:
        waiting: deque[Future[list[dict[str, Any]]]] = deque([pool.submit(_explain_batch, second)])
        for batch in _batches(files):
            waiting.append(pool.submit(_explain_batch, batch))
            if len(waiting) >= processes * _BATCHES_A_PROCESS:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def record(path: str, message: ParsedMessage, verdict: Verdict) -> dict[str, Any]:
    """What is told of one message. Ids are normalised, without brackets."""
    bounce = verdict.bounce
    kept = [one for one in message.attachments if one.file_name and not (bounce and one.named_by_subject)]
    return {
        "path": path,
        "verdict": verdict.kind.value,
        "rule": verdict.rule,
        "evidence": [{"where": one.where, "value": one.value} for one in verdict.evidence],
        "from": message.sender.address,
        "subject": message.subject,
        "message_id": message.message_id,
        "attachments": [one.file_name for one in kept],
        "recipients": list(bounce.recipients) if bounce else [],
        "original_message_id": bounce.original_ids[0] if bounce and bounce.original_ids else None,
        "bounce_kind": (bounce.kind or None) if bounce else None,
        "in_reply_to": list(message.in_reply_to),
        "references": list(message.references),
    }


def run(paths: list[Path], *, jsonl: bool) -> int:
    """Write the records to standard output, a progress bar to standard error when that is a terminal. Returns the exit code."""
    records = explain_records(paths)
    if sys.stderr.isatty():
        records = _with_progress(records, sum(1 for _ in _files(paths)))
    show = _json_line if jsonl else _sentences
    try:
        for one in records:
            sys.stdout.write(show(one))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _files(paths: Iterable[Path]) -> Iterator[Named]:
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders.sort()
                for name in sorted(names):
                    file = Path(folder, name)
                    if file.is_file():
                        yield file.relative_to(path).as_posix(), str(file)
        elif path.exists():
            yield str(path), str(path)
        else:
            raise InvalidInput(f"{path} does not exist", fix="Name a file with a mail in it, or a folder of them")


def _batches(files: Iterator[Named]) -> Iterator[list[Named]]:
    while batch := list(islice(files, _BATCH)):
        yield batch


def _processes() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start() -> None:
    """In a worker: what was imported lives for ever, and a mail's thousand small objects are no reason to look for cycles."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _explain_batch(batch: list[Named]) -> list[dict[str, Any]]:
    return [_explain_file(shown, path) for shown, path in batch]


def _explain_file(shown: str, path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MOST_BYTES)
        message = mime.parse(raw)
        return record(shown, message, classify(message, _ANY_INBOX))
    except Exception as exc:  # noqa: BLE001 - the guard of one message: a line for every file, whatever it holds
        return {"path": shown, "verdict": None, "error": f"{type(exc).__name__}: {exc}"}


def _with_progress(records: Iterator[dict[str, Any]], total: int) -> Iterator[dict[str, Any]]:
    from rich.console import Console
    from rich.progress import track

    yield from track(records, total=total, description="Reading mail", console=Console(stderr=True), transient=True)


def _json_line(one: dict[str, Any]) -> str:
    return json.dumps(one) + "\n"


def _sentences(one: dict[str, Any]) -> str:
    """A few lines a person reads: what it is, from whom, why."""
    if one["verdict"] is None:
        return f"{one['path']}: can't be read ({one['error']})\n\n"
    lines = [
        f"{one['path']}: {one['verdict']} (rule {one['rule']})",
        f"  from {one['from'] or 'nobody'}: {one['subject'] or '(no subject)'}",
    ]
    lines += [f"  because {why['where']}: {' '.join(why['value'].split())}" for why in one["evidence"]]
    if one["bounce_kind"]:
        lines.append(f"  {one['bounce_kind']} bounce of {', '.join(one['recipients']) or 'an unnamed recipient'}")
    if one["original_message_id"]:
        lines.append(f"  returns <{one['original_message_id']}>")
    if one["attachments"]:
        lines.append(f"  files: {', '.join(one['attachments'])}")
    return (
        "\n".join(lines).encode(sys.stdout.encoding or "utf-8", "replace").decode(sys.stdout.encoding or "utf-8")
        + "\n\n"
    )
