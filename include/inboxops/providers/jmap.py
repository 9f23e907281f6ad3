"""JMAP for mail (RFC 8621): what was added to a mailbox behind a query state, in bounded batches, without marking anything as read.

An inbox is one mailbox. `Account.connection`: `folder` (a role or a name, by default inbox), and what `jmap_session` needs.

The cursor is the mailbox's id and the state of the query for it. The id stands there because a state means something only with
its mailbox: Cyrus answers one of another mailbox, or one that it has not reached since it was put back to a snapshot, with
"nothing new". A server may list a message again that only had its flags changed (RFC 8620, 5.6, on mutable properties; Cyrus
does): it keeps its key, and what is known under its key is absorbed.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

from inboxops.core import model
from inboxops.core.model import Batch, Cursor, RawMessage, Removed
from inboxops.errors import CursorExpired, InboxOpsError, MailboxNotFound, NotAllowed, Throttled, TransientError
from inboxops.ports import Account, FetchLimits, MailboxInfo
from inboxops.providers.jmap_session import CALLS_AT_ONCE, CHANGES_BYTES, FAILED, PAGE, JmapSession
from inboxops.providers.patience import Patience
from inboxops.providers.place import Place, Step, batched, delta_cursor, mark, milliseconds, moment
from inboxops.providers.probing import RequestProber

_ABOUT = ["id", "blobId", "size", "receivedAt", "threadId", "mailboxIds"]
_SORT = [{"property": "receivedAt", "isAscending": True}]
_NEWEST_FIRST = [{"property": "receivedAt", "isAscending": False}]
_CYRUS_STATE = re.compile(r"([0-9]{1,20}):[0-9]+")
_MAILBOX = ["id", "name", "role", "totalEmails", "parentId"]


class JmapProvider:
    """Opens mailboxes of JMAP servers (Fastmail, Stalwart, Cyrus, Apache James)."""

    def __init__(self, *, timeout_seconds: float = 60, patience_seconds: float = 60) -> None:
        self._timeout_seconds = timeout_seconds
        self._patience_seconds = patience_seconds

    @contextmanager
    def open(self, account: Account) -> Iterator[JmapMailbox]:
        """Says nothing to the server yet: the first call does."""
        session = self.session(account)
        with ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="jmap") as threads:
            try:
                yield JmapMailbox(session, threads, str(account.connection.get("folder", "inbox")))
            finally:
                threads.shutdown(cancel_futures=True)
                session.close()

    def session(self, account: Account) -> JmapSession:
        """JMAP for one account, for what is not reading. The caller closes it."""
        return JmapSession(account, timeout_seconds=self._timeout_seconds, patience=Patience(self._patience_seconds))


class JmapProber(RequestProber):
    def __init__(self) -> None:
        super().__init__(JmapProvider(timeout_seconds=20))


@dataclass(frozen=True, slots=True)
class _State:
    """A query state and the mailbox whose it is. As text, neither holds a space or a `#` any more."""

    mailbox_id: str
    query: str

    def __str__(self) -> str:
        return f"{quote(self.mailbox_id, safe='')} {quote(self.query, safe='')}"

    def went_back(self, before: _State) -> bool:
        """Whether it is an earlier one, where that can be told: Cyrus's states begin with its modseq, which only grows."""
        now, then = _CYRUS_STATE.fullmatch(self.query), _CYRUS_STATE.fullmatch(before.query)
        return bool(now and then and int(now[1]) < int(then[1]))

    @classmethod
    def read(cls, token: str) -> _State:
        mailbox_id, _, query = token.partition(" ")
        return cls(unquote(mailbox_id), unquote(query))


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a run begins: messages to import (oldest first), then the ids behind the state, then the place once all are durable."""

    place: Place
    imports: Sequence[str]
    news: Sequence[str]
    then: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Listed:
    id: str
    blob_id: str
    size_bytes: int
    received_at: datetime
    thread_id: str

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> _Listed:
        received_at = datetime.fromisoformat(about["receivedAt"])
        return cls(about["id"], about["blobId"], int(about["size"]), received_at, str(about.get("threadId") or ""))


class JmapMailbox:
    """One mailbox, on a session that the caller holds."""

    def __init__(self, session: JmapSession, threads: ThreadPoolExecutor, folder: str) -> None:
        self._session, self._threads, self._folder = session, threads, folder

    def info(self) -> MailboxInfo:
        here = self._mailbox()
        capabilities = tuple(sorted(self._session.resource.get("capabilities", {})))
        return MailboxInfo(self._session.server, str(here["name"]), int(here["totalEmails"]), capabilities)

    def has_news(self, cursor: Cursor) -> bool:
        place = Place.read(cursor.delta_token)
        if place is None or place.importing or place.taken:
            return True
        try:
            added, _ = self._added(_State.read(place.token), patient=False)
        except CursorExpired:
            return True
        return bool(added)

    def batches(self, cursor: Cursor, limits: FetchLimits) -> Iterator[Batch]:
        stored = Place.read(cursor.delta_token)
        start = self._start(stored, limits)
        return batched(self._steps(start, limits), limits, start=stored, note=start.note, cursor=delta_cursor)

    def listing(self, since: datetime, until: datetime) -> Iterator[model.Listed]:
        span = {"inMailbox": str(self._mailbox()["id"]), "after": _text(since), "before": _text(until)}
        for about in self._session.queried("list", span, _NEWEST_FIRST, ["id", "size", "receivedAt"]):
            received_at = datetime.fromisoformat(about["receivedAt"])
            if since <= received_at < until:  # Cyrus takes "before" for "until"
                yield model.Listed(str(about["id"]), int(about["size"]), received_at)

    def named(self, wanted: Sequence[model.Listed], cursor: Cursor, limits: FetchLimits) -> Iterator[Batch]:
        found = self._messages(str(self._mailbox()["id"]), [one.key for one in wanted], limits, imported=True)
        here = Place("")
        return batched(
            (Step(message, here) for _, message in found), limits, start=here, note="", cursor=lambda _: cursor
        )

    def remove(self, key: str) -> Removed:
        """Out of this mailbox and into the trash; a message that is filed elsewhere, too, stays there."""
        listed = self._mailboxes()
        here = str(self._among(listed)["id"])
        trash = next((str(one["id"]) for one in listed if one.get("role") == "trash"), here)
        found = self._filed(key)
        if here not in found:
            return Removed.GONE
        if trash == here and found == {here}:
            [answer] = self._session.call("remove", ("Email/set", {"destroy": [key]}))
        else:
            filed = {f"mailboxIds/{here}": None} | ({f"mailboxIds/{trash}": True} if trash != here else {})
            [answer] = self._session.call("remove", ("Email/set", {"update": {key: filed}}))
        refused = ((answer.get("notDestroyed") or {}) | (answer.get("notUpdated") or {})).get(key)
        if refused:
            raise _not_removed(self._session.server, refused)
        return Removed.DELETED if trash == here else Removed.TRASHED

    def _start(self, stored: Place | None, limits: FetchLimits) -> _Start:
        if stored is None:
            return self._begin_again("first sync", limits.first_sync_days, limits.first_sync_messages)
        state = _State.read(stored.token)
        try:
            added, behind = self._added(state)
        except CursorExpired as exc:
            return self._begin_again(f"the server has lost the state ({exc})", limits.rescan_days, None)
        imports = self._left(state.mailbox_id, stored.importing, frozenset(added)) if stored.importing else []
        return _Start(stored, imports, added, str(behind))

    def _left(self, mailbox_id: str, importing: tuple[int, int], added: frozenset[str]) -> list[str]:
        """What a first sync or a rescan left. Arrival times are seconds: in the last one of them stands what came later, too."""
        first, last = importing
        listed = self._listed(mailbox_id, moment(first), None)
        return [id_ for id_, at in listed if at <= moment(last) and not (at == moment(last) and id_ in added)]

    def _begin_again(self, why: str, days: int, most: int | None) -> _Start:
        """The state first and then the list: what arrives in between is in both, and never in neither."""
        mailbox_id = str(self._mailbox()["id"])
        query = {"filter": {"inMailbox": mailbox_id}, "sort": _SORT, "limit": 1}
        [answer] = self._session.call("query", ("Email/query", query))
        token = str(_State(mailbox_id, str(answer["queryState"])))
        since = datetime.now(UTC) - timedelta(days=days)
        listed = self._listed(mailbox_id, since, most)
        importing = (milliseconds(since), milliseconds(listed[-1][1])) if listed else None
        note = f"{why}: {len(listed)} messages since {since.date()} are imported"
        return _Start(Place(token, importing), [id_ for id_, _ in listed], [], token, note)

    def _added(self, state: _State, *, patient: bool = True) -> tuple[list[str], _State]:
        """Ids of what was added behind the state, oldest first, and the state now. Raises CursorExpired."""
        query = {"filter": {"inMailbox": state.mailbox_id}, "sort": _SORT, "sinceQueryState": state.query}
        mailboxes, answer = self._session.call(
            "changes",
            ("Mailbox/get", {"ids": None, "properties": _MAILBOX}),
            ("Email/queryChanges", query),
            patient=patient,
            most_bytes=CHANGES_BYTES,
        )
        if str(self._among(mailboxes["list"])["id"]) != state.mailbox_id:
            raise CursorExpired(f"{self._folder!r} is another mailbox of {self._session.server} than it was")
        behind = replace(state, query=str(answer["newQueryState"]))
        if behind.went_back(state):
            raise CursorExpired(f"{self._session.server} was put back to an older state than {state.query}")
        added = sorted(answer.get("added", []), key=lambda one: one["index"])
        return [str(one["id"]) for one in added], behind

    def _listed(self, mailbox_id: str, since: datetime, most: int | None) -> list[tuple[str, datetime]]:
        """The mailbox's messages since then and when they came, oldest first; with `most` only so many of the newest."""
        span = {"inMailbox": mailbox_id, "after": _text(since)}
        listed = self._session.queried("list", span, _NEWEST_FIRST, ["id", "receivedAt"], most=most)
        return [(str(one["id"]), datetime.fromisoformat(one["receivedAt"])) for one in listed][::-1]

    def _steps(self, start: _Start, limits: FetchLimits) -> Iterator[Step]:
        token, importing = start.place.token, start.place.importing
        mailbox_id = _State.read(token).mailbox_id
        if importing:
            for one, message in self._messages(mailbox_id, start.imports, limits, imported=True):
                yield Step(message, Place(token, (milliseconds(one.received_at), importing[1])))
            yield Step(None, Place(token))
        taken = start.place.taken
        fresh = [one for one in start.news if mark(one) not in taken]
        for one, message in self._messages(mailbox_id, fresh, limits):
            taken |= {mark(one.id)}
            yield Step(message, Place(token, taken=taken))
        yield Step(None, Place(start.then))

    def _messages(
        self, mailbox_id: str, ids: Sequence[str], limits: FetchLimits, *, imported: bool = False
    ) -> Iterator[tuple[_Listed, RawMessage | None]]:
        """Each with its message in their order, a few on the way at a time. One that was deleted or moved away is left out."""
        page = min(self._session.limit("maxObjectsInGet", at_least=PAGE), PAGE, limits.batch_messages)
        in_spam = bool(ids) and self._mailbox().get("role") == "junk"
        waiting: deque[tuple[_Listed, Future[bytes | None] | None]] = deque()
        for at in range(0, len(ids), page):
            wanted = list(ids[at : at + page])
            [answer] = self._session.call("get", ("Email/get", {"ids": wanted, "properties": _ABOUT}))
            about = {one["id"]: one for one in answer["list"] if mailbox_id in one["mailboxIds"]}
            for one in (_Listed.of(about[id_]) for id_ in wanted if id_ in about):
                too_large = one.size_bytes > limits.message_bytes
                waiting.append((one, None if too_large else self._threads.submit(self._session.download, one.blob_id)))
                if len(waiting) >= CALLS_AT_ONCE:
                    first, content = waiting.popleft()
                    yield first, self._message(first, content, mailbox_id, limits, imported=imported, in_spam=in_spam)
            while waiting:
                first, content = waiting.popleft()
                yield first, self._message(first, content, mailbox_id, limits, imported=imported, in_spam=in_spam)

    def _message(
        self,
        listed: _Listed,
        content: Future[bytes | None] | None,
        mailbox_id: str,
        limits: FetchLimits,
        *,
        imported: bool,
        in_spam: bool,
    ) -> RawMessage | None:
        """None when it was deleted meanwhile. content: on its way, None for a message that is too large."""
        raw, refusal = None, f"more than the {limits.message_bytes} bytes that are taken in"
        if content is not None and (raw := content.result()) is None:
            if mailbox_id not in self._filed(listed.id):
                return None
            refusal = f"{self._session.server} lists the message but does not deliver it"
        return RawMessage(
            key=listed.id,
            raw=raw,
            received_at=listed.received_at,
            size_bytes=listed.size_bytes if raw is None else len(raw),
            in_spam_folder=in_spam,
            thread_id=listed.thread_id or None,
            imported=imported,
            refusal=refusal if raw is None else "",
        )

    def _filed(self, key: str) -> set[str]:
        """The ids of the mailboxes that a message is in: none when it was deleted."""
        [answer] = self._session.call("get", ("Email/get", {"ids": [key], "properties": ["mailboxIds"]}))
        return {str(id_) for one in answer["list"] for id_ in one["mailboxIds"]}

    def _mailbox(self) -> dict[str, Any]:
        """The inbox's mailbox, by its role or its name. Raises MailboxNotFound with the names that there are."""
        return self._among(self._mailboxes())

    def _mailboxes(self) -> list[dict[str, Any]]:
        [answer] = self._session.call("mailboxes", ("Mailbox/get", {"ids": None, "properties": _MAILBOX}))
        return list(answer["list"])

    def _among(self, listed: Sequence[dict[str, Any]]) -> dict[str, Any]:
        wanted = self._folder.casefold()
        for key in ("role", "name"):
            for one in listed:
                if str(one.get(key) or "").casefold() == wanted:
                    return one
        names = ", ".join(sorted(str(one["name"]) for one in listed))
        raise MailboxNotFound(f"there is no mailbox {self._folder!r}", fix=f"Those there are: {names}")


def _text(moment: datetime) -> str:
    """UTCDate (RFC 8620, 1.4)."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _not_removed(server: str, why: Mapping[str, Any]) -> InboxOpsError:
    """What a SetError means (RFC 8620, 5.3)."""
    kind = str(why.get("type", ""))
    said = f"{server} says {kind} {why.get('description') or ''}"[:400].strip()
    if kind == "rateLimit":
        return Throttled(said)
    if kind in FAILED or kind == "notFound":
        return TransientError(said)  # not found: it went just now, and the next look says so
    return NotAllowed(said, fix="Give this login the right to remove messages, or let it stay")
