"""Gmail through its API: what stands behind a history id, in bounded batches, without marking anything as read.

An inbox is the whole account but what is a draft, a chat, in the bin, or sent by the account itself to others; spam says
so by its label. `Account.connection`: `api_url` and `ca_file`, both only where the endpoint is not Google's own.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from inboxops.core import model
from inboxops.core.model import Batch, Cursor, RawMessage, Removed
from inboxops.errors import CursorExpired
from inboxops.ports import Account, FetchLimits, MailboxInfo
from inboxops.providers.gmail_session import CALLS_PER_BATCH, GmailSession, Listed
from inboxops.providers.patience import Pace, Patience
from inboxops.providers.place import Place, Step, batched, milliseconds
from inboxops.providers.probing import RequestProber

_UNREAD_LABELS = {"DRAFT", "CHAT", "TRASH"}
_OURS = "-in:sent -in:drafts -in:chats -in:trash"
_READ_AT_ONCE_BYTES = 8 * 1024 * 1024  # a batch answer is held about six times over while it is taken apart


class GmailProvider:
    """Opens Gmail accounts. units_per_minute: of the quota, which is 15,000 a minute and account."""

    def __init__(
        self, *, timeout_seconds: float = 60, patience_seconds: float = 60, units_per_minute: float = 12_000
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._patience_seconds = patience_seconds
        self._units_per_minute = units_per_minute

    @contextmanager
    def open(self, account: Account) -> Iterator[GmailMailbox]:
        """Says nothing to Google yet: the first call does."""
        session = self.session(account)
        try:
            yield GmailMailbox(session)
        finally:
            session.close()

    def session(self, account: Account) -> GmailSession:
        """The API of one account, for what is not reading. The caller closes it."""
        return GmailSession(
            account,
            timeout_seconds=self._timeout_seconds,
            patience=Patience(self._patience_seconds),
            pace=Pace(self._units_per_minute),
        )


class GmailProber(RequestProber):
    def __init__(self) -> None:
        super().__init__(GmailProvider(timeout_seconds=20))


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a run begins: ids to import (oldest first), then `page` of the history and those behind it."""

    place: Place
    ids: Sequence[str]
    page: Mapping[str, Any]
    note: str = ""


class GmailMailbox:
    """One account, on a session that the caller holds."""

    def __init__(self, session: GmailSession) -> None:
        self._session = session

    def info(self) -> MailboxInfo:
        profile = self._session.profile()
        return MailboxInfo(
            server=self._session.server, folder=profile["emailAddress"], messages=int(profile["messagesTotal"])
        )

    def has_news(self, cursor: Cursor) -> bool:
        place = Place.read(cursor.history_id)
        if place is None or place.importing:
            return True
        try:
            page = self._session.history(place.token, patient=False)
        except CursorExpired:
            return True
        # Behind a page without news there may be some: the worker looks and moves the cursor past the rest.
        return "nextPageToken" in page or any(ids for _, ids in _came(page))

    def batches(self, cursor: Cursor, limits: FetchLimits) -> Iterator[Batch]:
        stored = Place.read(cursor.history_id)
        start = self._start(stored, limits)
        return batched(self._steps(start, limits), limits, start=stored, note=start.note, cursor=_cursor)

    def listing(self, since: datetime, until: datetime) -> Iterator[model.Listed]:
        span = f"after:{int(since.timestamp()) - 1} before:{int(until.timestamp())}"
        return (model.Listed(id_) for id_ in self._session.each_id(f"{span} {_OURS}"))

    def named(self, wanted: Sequence[model.Listed], cursor: Cursor, limits: FetchLimits) -> Iterator[Batch]:
        found = self._messages([one.key for one in wanted], limits, imported=True)
        here = Place("")
        return batched(
            (Step(message, here) for _, message in found), limits, start=here, note="", cursor=lambda _: cursor
        )

    def remove(self, key: str) -> Removed:
        if not _is_read(self._session.listed([key]), key):
            return Removed.GONE
        self._session.trash(key)
        return Removed.TRASHED

    def _start(self, stored: Place | None, limits: FetchLimits) -> _Start:
        if stored is not None:
            try:
                page = self._session.history(stored.token)
            except CursorExpired:
                return self._begin_again(f"Gmail has forgotten history id {stored.token}", limits.rescan_days, None)
            ids = self._ids_since(stored.importing[0] // 1000 - 1) if stored.importing else []
            return _Start(stored, ids, page)
        return self._begin_again("first sync", limits.first_sync_days, limits.first_sync_messages)

    def _begin_again(self, why: str, days: int, most: int | None) -> _Start:
        """The history id first and then the list: what arrives in between is in both, and never in neither."""
        token = str(self._session.profile()["historyId"])
        since = datetime.now(UTC) - timedelta(days=days)
        ids = self._ids_since(int(since.timestamp()), most)
        newest = self._session.listed(ids[-1:])
        last = next(iter(newest.values())).received_at if newest else datetime.now(UTC)
        importing = (int(since.timestamp() * 1000), milliseconds(last)) if ids else None
        note = f"{why}: {len(ids)} messages since {since.date()} are imported"
        return _Start(Place(token, importing), ids, self._session.history(token), note)

    def _ids_since(self, second: int, most: int | None = None) -> list[str]:
        if most == 0:
            return []
        return self._session.ids(f"after:{second} {_OURS}", most=most)[::-1]

    def _steps(self, start: _Start, limits: FetchLimits) -> Iterator[Step]:
        token, importing = start.place.token, start.place.importing
        if importing:
            place = start.place
            for listed, message in self._messages(start.ids, limits, imported=True):
                if listed is not None:
                    at = milliseconds(listed.received_at)
                    if (
                        not importing[0] <= at <= importing[1]
                    ):  # durable, or came since and is news behind the history id
                        continue
                    place = Place(token, (max(at, importing[0]), importing[1]))
                yield Step(message, place)
            yield Step(None, Place(token))
        yield from self._news(token, start.page, limits)

    def _news(self, token: str, page: Mapping[str, Any], limits: FetchLimits) -> Iterator[Step]:
        start, seen = token, set[str]()
        while True:
            places: dict[str, Place] = {}
            place = Place(token)
            for record, ids in _came(page):
                fresh = [id_ for id_ in ids if id_ not in seen]
                seen.update(fresh)
                places |= dict.fromkeys(fresh, place)
                place = Place(record)
                if fresh:  # the record is behind us with the last of its messages
                    places[fresh[-1]] = place
            for (_, message), place in zip(self._messages(list(places), limits), places.values(), strict=True):
                token = place.token
                yield Step(message, place)
            if "nextPageToken" not in page:
                yield Step(None, Place(str(page.get("historyId", token))))
                return
            page = self._session.history(start, page["nextPageToken"])

    def _messages(
        self, ids: Sequence[str], limits: FetchLimits, *, imported: bool = False
    ) -> Iterator[tuple[Listed | None, RawMessage | None]]:
        """Facts and message for every id in its order: no facts when it is gone, no message when it is none of the inbox's."""
        size = min(CALLS_PER_BATCH, limits.batch_messages)
        for start in range(0, len(ids), size):
            chunk = ids[start : start + size]
            facts = self._session.listed(chunk)
            for group in _groups(chunk, facts, limits):
                wanted = [
                    id_ for id_ in group if _is_read(facts, id_) and facts[id_].size_bytes <= limits.message_bytes
                ]
                bodies = self._session.raw(wanted)
                for id_ in group:
                    listed = facts.get(id_)
                    message = None
                    if listed is not None and _is_read(facts, id_):
                        message = _message(listed, bodies.pop(id_, None), limits, imported=imported)
                    yield listed, message


def _came(page: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """(history id, ids) of what a page of the history brings into the inbox, by arrival or out of the bin."""
    for record in page.get("history", []):
        changes = [*record.get("messagesAdded", [])]
        changes += [one for one in record.get("labelsRemoved", []) if "TRASH" in one.get("labelIds", [])]
        ids = [one["message"]["id"] for one in changes if _is_ours(one["message"].get("labelIds", []))]
        yield record["id"], list(dict.fromkeys(ids))


def _is_ours(labels: Iterable[str]) -> bool:
    """Mail to oneself is sent and in the inbox; other sent mail is none of ours."""
    found = set(labels)
    return not found & _UNREAD_LABELS and ("SENT" not in found or "INBOX" in found)


def _is_read(facts: Mapping[str, Listed], id_: str) -> bool:
    return id_ in facts and _is_ours(facts[id_].labels)


def _groups(ids: Sequence[str], facts: Mapping[str, Listed], limits: FetchLimits) -> Iterator[list[str]]:
    """Neighbours that one request may ask for: together no more than is good for memory, or one large message alone."""
    group: list[str] = []
    size_bytes = 0
    for id_ in ids:
        weight = facts[id_].size_bytes if _is_read(facts, id_) else 0
        weight = 0 if weight > limits.message_bytes else weight
        if group and size_bytes + weight > _READ_AT_ONCE_BYTES:
            yield group
            group, size_bytes = [], 0
        group.append(id_)
        size_bytes += weight
    if group:
        yield group


def _message(listed: Listed, body: str | None, limits: FetchLimits, *, imported: bool) -> RawMessage | None:
    """None when it was deleted between the list and the get."""
    refusal = ""
    raw = None if body is None else base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    size_bytes = listed.size_bytes if raw is None else len(raw)
    if size_bytes > limits.message_bytes:
        raw, refusal = None, f"{size_bytes} bytes are more than the {limits.message_bytes} that are taken in"
    elif raw is None:
        return None
    return RawMessage(
        key=listed.id,
        raw=raw,
        received_at=listed.received_at,
        size_bytes=size_bytes,
        in_spam_folder="SPAM" in listed.labels,
        thread_id=listed.thread_id,
        imported=imported,
        refusal=refusal,
    )


def _cursor(text: str) -> Cursor:
    return Cursor(history_id=text)
