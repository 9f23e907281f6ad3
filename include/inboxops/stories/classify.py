"""Classify: every stored message is read, judged, and its attachments put under their final keys, or it is parked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from inboxops.core.attachments import safe_file_name, within_limits
from inboxops.core.classify import classify as judge
from inboxops.core.ids import id_key
from inboxops.core.keys import attachment_key
from inboxops.core.mime import parse
from inboxops.core.model import InboxContext, ParsedMessage
from inboxops.core.packs import unpack
from inboxops.core.reading import Bodies, Omitted, Reading, StoredAttachment
from inboxops.core.thread import thread_keys
from inboxops.errors import InboxOpsError, ObjectMissing
from inboxops.ports import ClassifiedRow, ObjectStore, StoredRow

SLICE = 200


class StoredMail(Protocol):
    """What classify asks of the database."""

    def stored(self, inbox_id: int, *, after: int, limit: int) -> list[StoredRow]: ...

    def save_classified(self, rows: Sequence[ClassifiedRow]) -> None: ...

    def park(self, inbound_id: int, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Classified:
    """Counts of one run: messages read, parked ones among what was left, and each verdict."""

    read: int
    parked: int
    verdicts: dict[str, int]


def classify(context: InboxContext, store: StoredMail, objects: ObjectStore) -> Classified:
    """Work through all rows of the inbox in state `stored`.

    Raises TransientError when the database or the object store is away: the rows stay as they are.
    """
    verdicts: Counter[str] = Counter()
    read = parked = after = 0
    while rows := store.stored(context.inbox_id, after=after, limit=SLICE):
        done: list[ClassifiedRow] = []
        for frame, row in _frames(rows, objects):
            outcome = _read(frame, row, context, objects)
            if isinstance(outcome, str):
                store.park(row.id, outcome)
                parked += 1
            else:
                done.append(outcome)
                verdicts[outcome.reading.verdict.kind] += 1
        _save(store, done)
        read += len(done)
        after = rows[-1].id
    return Classified(read, parked, dict(verdicts))


def _frames(rows: Sequence[StoredRow], objects: ObjectStore) -> list[tuple[bytes | None, StoredRow]]:
    """The packed bytes of the rows: one read for each object, whatever share of it is needed. None: the object is gone."""
    by_object: dict[str, list[StoredRow]] = defaultdict(list)
    for row in rows:
        by_object[row.storage_key].append(row)
    found: list[tuple[bytes | None, StoredRow]] = []
    for key, members in by_object.items():
        start = min(row.offset for row in members)
        end = max(row.offset + row.length for row in members)
        try:
            packed = objects.get(key, offset=start, length=end - start)
        except ObjectMissing:
            found += ((None, row) for row in members)
        else:
            found += ((packed[row.offset - start : row.offset - start + row.length], row) for row in members)
    return sorted(found, key=lambda pair: pair[1].id)


def _read(frame: bytes | None, row: StoredRow, context: InboxContext, objects: ObjectStore) -> ClassifiedRow | str:
    """The classified row, or the reason why the message is parked. The per-message guard: no mail stops an inbox."""
    if frame is None:
        return f"its raw bytes are gone: no object {row.storage_key}"
    try:
        message = parse(unpack(frame), received_at=row.received_at, trusted_authserv_ids=context.trusted_authserv_ids)
        here = replace(context, in_spam_folder=row.in_spam_folder)
        reading = read_message(message, here, provider_thread_id=row.provider_thread_id)
        stored, omitted = _keep_attachments(message, row, context, objects)
    except InboxOpsError:
        raise
    except Exception as exc:  # a mail that we fail on is kept and shown, and the next one goes on
        return f"reading it failed: {type(exc).__name__}: {exc}"[:1000]
    reading = replace(reading, attachments=tuple(stored), omitted=tuple(omitted))
    return ClassifiedRow(row.id, reading, Bodies(message.text, message.text_new, message.html))


def read_message(message: ParsedMessage, context: InboxContext, *, provider_thread_id: str | None) -> Reading:
    """What a parsed message is and where it may belong, without its attachments."""
    verdict = judge(message, context)
    if verdict.bounce is not None:
        ids = tuple(dict.fromkeys(map(id_key, verdict.bounce.original_ids)))
        verdict = replace(verdict, bounce=replace(verdict.bounce, original_ids=ids))
    keys = thread_keys(message, context, provider_thread_id)
    return Reading(
        message_id=id_key(message.message_id),
        original_id=message.message_id,
        content_hash=message.content_hash,
        sender=message.sender,
        reply_to=message.reply_to,
        to=message.to,
        cc=message.cc,
        subject=message.subject,
        date=message.date,
        in_reply_to=tuple(map(id_key, message.in_reply_to)),
        references=tuple(map(id_key, message.references)),
        verdict=verdict,
        keys=replace(keys, ids=tuple(map(id_key, keys.ids))),
        null_return_path=message.return_path == "",
        authentication=dict(message.authentication),
        marks=tuple(sorted(message.marks)),
        defects=message.defects,
    )


def _keep_attachments(
    message: ParsedMessage, row: StoredRow, context: InboxContext, objects: ObjectStore
) -> tuple[list[StoredAttachment], list[Omitted]]:
    kept, left_out = within_limits(message.attachments)
    taken: set[str] = set()
    stored = []
    for number, attachment in enumerate(kept, start=1):
        name = safe_file_name(attachment.file_name, content_type=attachment.content_type, taken=taken)
        taken.add(name)
        key = attachment_key(context.tenant_id, row.message_id, number, name)
        objects.put(key, attachment.content, content_type=attachment.content_type, file_name=name)
        stored.append(
            StoredAttachment(
                file_name=name,
                storage_key=key,
                content_type=attachment.content_type,
                size_bytes=attachment.size_bytes,
                content_id=attachment.content_id,
                inline=attachment.inline,
            )
        )
    return stored, [Omitted(a.file_name, a.size_bytes, reason) for a, reason in left_out]


def _save(store: StoredMail, rows: list[ClassifiedRow]) -> None:
    """The slice at once; when the database refuses it, each row alone, so that only the bad one is parked."""
    if not rows:
        return
    try:
        store.save_classified(rows)
    except InboxOpsError:
        raise
    except Exception as exc:  # what the database refuses to hold is parked with its reason
        if len(rows) == 1:
            store.park(rows[0].id, f"storing what it says failed: {type(exc).__name__}: {exc}"[:1000])
            return
        for row in rows:
            _save(store, [row])
