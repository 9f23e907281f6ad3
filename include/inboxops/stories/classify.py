"""Classify: every stored message is read, judged, and its attachments put under their final keys, or it is parked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import takewhile
from typing import Protocol

from inboxops.core.attachments import safe_file_name, within_limits
from inboxops.core.autorespond import doubt
from inboxops.core.case import Case
from inboxops.core.copies import file_marks, line_marks
from inboxops.core.ids import id_key
from inboxops.core.keys import attachment_key, detached_key
from inboxops.core.mail_rules.evaluate import judged
from inboxops.core.model import Attachment, InboxContext, ParsedMessage, VerdictKind
from inboxops.core.reading import Bodies, Omitted, Reading, StoredAttachment
from inboxops.core.rules.own_loop import LOOP_HEADER
from inboxops.core.thread import thread_keys
from inboxops.errors import InboxOpsError, ObjectMissing
from inboxops.ports import ClassifiedRow, StoredRow
from inboxops.stories.persist import Persisted
from inboxops.stories.raw_mail import Gets
from inboxops.stories.stored_mail import chunks, frames, parsed
from inboxops.stories.telling import log, tell_parked

FEW = 40
"""Up to so many messages are read in this process: starting others would cost more than they save."""

PUTS_AT_ONCE = 4
_LISTED_AT_ONCE = 10_000
"""A few MB. While they are read, nothing here needs the database, so no thread is there at a fork."""

Begin = Callable[[int], None]


class StoredMail(Protocol):
    """What classify asks of the database."""

    def stored(self, inbox_id: int, *, after: int, limit: int) -> list[StoredRow]: ...

    def save_classified(self, rows: Sequence[ClassifiedRow]) -> None: ...

    def park(self, inbound_id: int, reason: str) -> None: ...


class Objects(Protocol):
    """What classify asks of the object store."""

    def get(self, key: str, *, offset: int, length: int) -> bytes: ...

    def put(self, key: str, content: bytes, *, content_type: str, file_name: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class Classified:
    """Counts: messages read, parked ones among what was left, each verdict; and what was filed while the rest was still read."""

    read: int = 0
    parked: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    filed_beside: Persisted = field(default_factory=Persisted)

    def __add__(self, other: Classified) -> Classified:
        verdicts = dict(Counter(self.verdicts) + Counter(other.verdicts))
        filed = self.filed_beside + other.filed_beside
        return Classified(self.read + other.read, self.parked + other.parked, verdicts, filed)


Spread = Callable[[Iterable[Sequence[StoredRow]]], Iterator[Classified | tuple[StoredRow, str]]]
"""Reads chunks in other processes. For a row that ended the process which read it: the row, and how the process ended."""


def classify(
    context: InboxContext,
    store: StoredMail,
    objects: Objects,
    spread: Spread,
    *,
    careful: bool = False,
    in_time: Callable[[], bool] = lambda: True,
) -> Classified:
    """Work through all rows of the inbox in state `stored`: a few here, more in other processes by `spread`.

    careful: a few in another process, too. A mail that ends the process which reads it is found there, and parked.
    in_time: asked before each chunk that others read; what is left then stays as it is.
    Raises TransientError when the database or the object store is away: the rows that are not done stay as they are.
    """
    done, after = Classified(), 0
    while in_time() and (rows := store.stored(context.inbox_id, after=after, limit=_LISTED_AT_ONCE)):
        after = rows[-1].id
        if len(rows) <= FEW and not careful:
            read = Reader(context, store, objects)
            done = sum(map(read, chunks(rows)), done)
            continue
        deadly: list[tuple[StoredRow, str]] = []
        try:
            for outcome in spread(takewhile(lambda _: in_time(), chunks(rows))):
                if isinstance(outcome, Classified):
                    done += outcome
                else:
                    deadly.append(outcome)
        finally:  # also when it ends early: the next run has fewer of them. Not before: the database has threads
            for row, how in deadly:
                reason = f"reading it ended the process that read it ({how})"
                store.park(row.id, reason)
                tell_parked(row.id, reason)
        done += Classified(parked=len(deadly))
    log.info(
        "classify_ended",
        read=done.read,
        parked=done.parked,
        verdicts=done.verdicts,
        **({"filed_beside": asdict(done.filed_beside)} if done.filed_beside.outcomes else {}),
    )
    return done


class Reader:
    """Reads one chunk after the other. What it says is saved in one go, once the chunk's attachments are durable."""

    def __init__(self, context: InboxContext, store: StoredMail, objects: Objects) -> None:
        self._context, self._store, self._objects = context, store, objects

    def __call__(self, rows: Sequence[StoredRow], begin: Begin = lambda position: None) -> Classified:
        """`begin` is told the position of each row before it is read."""
        done: list[ClassifiedRow] = []
        puts: list[Future[None]] = []
        with ThreadPoolExecutor(PUTS_AT_ONCE, thread_name_prefix="put") as putting:
            for position, (frame, row) in enumerate(frames(rows, self._objects)):
                begin(position)
                outcome = self._read(frame, row, lambda *file: puts.append(putting.submit(self._put, *file)))
                if isinstance(outcome, str):
                    self._store.park(row.id, outcome)
                    tell_parked(row.id, outcome)
                else:
                    done.append(outcome)
        for put in puts:
            put.result()
        _save(self._store, done)
        return Classified(
            len(done), len(rows) - len(done), dict(Counter(row.reading.verdict.kind.value for row in done))
        )

    def _read(
        self, frame: bytes | None, row: StoredRow, put: Callable[[StoredAttachment, Attachment], None]
    ) -> ClassifiedRow | str:
        """The classified row, or the reason why the message is parked. The per-message guard: no mail stops an inbox."""
        read = read_row(frame, row, self._context, self._objects)
        if isinstance(read, str):
            return read
        for file, attachment in read.files:
            if attachment.detached is None:
                put(file, attachment)
        return ClassifiedRow(row.id, read.reading, read.bodies)

    def _put(self, file: StoredAttachment, attachment: Attachment) -> None:
        self._objects.put(
            file.storage_key, attachment.content, content_type=file.content_type, file_name=file.file_name
        )


@dataclass(frozen=True, slots=True)
class Read:
    """One stored mail, read. files: those that the reading names, with their content unless that stands apart from the mail."""

    message: ParsedMessage
    reading: Reading
    bodies: Bodies
    files: Sequence[tuple[StoredAttachment, Attachment]]


def read_row(frame: bytes | None, row: StoredRow, context: InboxContext, objects: Gets) -> Read | str:
    """What a stored mail says, or the reason why it can't be read: whatever is wrong with it is told of it alone.

    frame: its part of a pack, None when the object is gone. Raises TransientError when the object store is away.
    """
    if frame is None:
        return f"its raw bytes are gone: the object {row.storage_key} is missing, or ends before them"
    try:
        message = parsed(frame, row, context, objects)
        reading = read_stored(message, row, context)
        kept, left_out = within_limits(message.attachments)
        files = _named(kept, row, context.tenant_id)
    except ObjectMissing as exc:
        return f"its raw bytes are gone: {exc}"
    except InboxOpsError:
        raise
    except Exception as exc:  # a mail that we fail on is kept and shown, and the next one goes on
        return f"reading it failed: {type(exc).__name__}: {exc}"[:1000]
    if message.attachments:
        omitted = tuple(Omitted(a.file_name, a.size_bytes, reason) for a, reason in left_out)
        reading = replace(reading, attachments=tuple(files), omitted=omitted)
    bodies = Bodies(message.text, message.text_new, message.html)
    return Read(message, reading, bodies, tuple(zip(files, kept, strict=True)))


def read_stored(message: ParsedMessage, row: StoredRow, context: InboxContext) -> Reading:
    """`read_message` with what the row knows of the mail. context: of its inbox."""
    here = replace(context, in_spam_folder=row.in_spam_folder, received_at=row.received_at)
    return read_message(message, here, provider_thread_id=row.provider_thread_id, size_bytes=row.size_bytes)


def read_message(
    message: ParsedMessage, context: InboxContext, *, provider_thread_id: str | None, size_bytes: int
) -> Reading:
    """What a parsed message is and where it may belong, without its attachments. size_bytes: of its raw mail."""
    case = Case(message, context)
    found = judged(case, size_bytes=size_bytes)
    verdict = found.verdict
    if verdict.bounce is not None:
        ids = tuple(dict.fromkeys(map(id_key, verdict.bounce.original_ids)))
        verdict = replace(verdict, bounce=replace(verdict.bounce, original_ids=ids))
    keys = thread_keys(message, context, provider_thread_id)
    reading = Reading(
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
        loop=case.header(LOOP_HEADER) is not None,
        authentication=dict(message.authentication),
        marks=tuple(sorted(message.marks)),
        defects=message.defects,
        customer=found.customer,
        lines=line_marks(message.text),
        files=file_marks(message.attachments, message.content_hash),
        rulings=found.rulings,
    )
    why = doubt(reading, context.agents) if verdict.kind is VerdictKind.HUMAN else None
    return replace(reading, verdict=replace(verdict, evidence=(*verdict.evidence, why))) if why else reading


def _named(kept: Sequence[Attachment], row: StoredRow, tenant_id: int) -> list[StoredAttachment]:
    """Each attachment under a safe name that no other of the message has, and so under its final key."""
    taken: set[str] = set()
    files = []
    for number, attachment in enumerate(kept, start=1):
        name = safe_file_name(attachment.file_name, content_type=attachment.content_type, taken=taken)
        taken.add(name)
        files.append(
            StoredAttachment(
                file_name=name,
                storage_key=_key(tenant_id, row.message_id, number, name, attachment),
                content_type=attachment.content_type,
                size_bytes=attachment.size_bytes,
                content_id=attachment.content_id,
                inline=attachment.inline,
            )
        )
    return files


def _key(tenant_id: int, message_id: int, number: int, name: str, attachment: Attachment) -> str:
    if attachment.detached is not None:
        return detached_key(tenant_id, message_id, attachment.detached[0])
    return attachment_key(tenant_id, message_id, number, name)


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
            reason = f"storing what it says failed: {type(exc).__name__}: {exc}"[:1000]
            store.park(rows[0].id, reason)
            tell_parked(rows[0].id, reason)
            return
        for row in rows:
            _save(store, [row])
