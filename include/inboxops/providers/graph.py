"""Microsoft 365 through Graph: what stands behind a delta link, in bounded batches, without marking anything as read.

An inbox is one folder. `Account.connection`: `folder` (a well-known name or an id, by default inbox), `mailbox` (the address
of a shared one), `account_id` (who consented); `api_url` and `ca_file` only where the endpoint is not Microsoft's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote

from inboxops.core import model
from inboxops.core.model import Batch, Cursor, RawMessage, Removed
from inboxops.errors import CursorExpired, ServerRefused
from inboxops.ports import Account, FetchLimits, MailboxInfo
from inboxops.providers.graph_errors import MessageUnreadable
from inboxops.providers.graph_session import CALLS_AT_ONCE, MOST_PAGES, GraphSession
from inboxops.providers.patience import Patience
from inboxops.providers.place import Place, Step, batched, delta_cursor, mark, milliseconds, moment
from inboxops.providers.probing import RequestProber

_SELECT = "id,receivedDateTime,conversationId,isDraft"
_PAGE = 50  # of delta; a batch that ends within a page remembers what it took of it
_LISTING_PAGE = 500
_DELTA_MOST = 4500
"""A first delta round with a filter shows 5,000 messages and no more, so the filter is set where fewer are behind it."""


class GraphProvider:
    """Opens mailboxes of Exchange Online."""

    def __init__(self, *, timeout_seconds: float = 60, patience_seconds: float = 60) -> None:
        self._timeout_seconds = timeout_seconds
        self._patience_seconds = patience_seconds

    @contextmanager
    def open(self, account: Account) -> Iterator[GraphMailbox]:
        """Says nothing to Graph yet: the first call does."""
        session = self.session(account)
        with ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="graph") as threads:
            try:
                yield GraphMailbox(session, threads, str(account.connection.get("folder", "inbox")))
            finally:
                threads.shutdown(cancel_futures=True)
                session.close()

    def session(self, account: Account) -> GraphSession:
        """Graph for one mailbox, for what is not reading. The caller closes it."""
        return GraphSession(account, timeout_seconds=self._timeout_seconds, patience=Patience(self._patience_seconds))


class GraphProber(RequestProber):
    def __init__(self) -> None:
        super().__init__(GraphProvider(timeout_seconds=20))


@dataclass(frozen=True, slots=True)
class _Listed:
    id: str
    thread_id: str
    received_at: datetime

    @classmethod
    def of(cls, entries: Iterable[Mapping[str, Any]]) -> list[_Listed]:
        """Messages among the entries of a page: neither removed ones nor drafts."""
        return [
            cls(entry["id"], entry.get("conversationId", ""), datetime.fromisoformat(entry["receivedDateTime"]))
            for entry in entries
            if "@removed" not in entry and "receivedDateTime" in entry and not entry.get("isDraft")
        ]


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a run begins: messages to import (oldest first), then everything behind the place's link."""

    place: Place
    listed: Sequence[_Listed]
    page: Mapping[str, Any]
    note: str = ""


class GraphMailbox:
    """One folder, on a session that the caller holds."""

    def __init__(self, session: GraphSession, threads: ThreadPoolExecutor, folder: str) -> None:
        self._session, self._threads = session, threads
        self._folder = f"/mailFolders/{quote(folder)}"
        self._is_junk: bool | None = {"inbox": False, "junkemail": True}.get(folder.lower())

    def info(self) -> MailboxInfo:
        facts, _ = self._session.get("folder", self._folder, {"$select": "id,displayName,totalItemCount"})
        return MailboxInfo(
            server=self._session.server, folder=facts["displayName"], messages=int(facts["totalItemCount"])
        )

    def has_news(self, cursor: Cursor) -> bool:
        place = Place.read(cursor.delta_token)
        if place is None or place.importing or place.taken or not self._session.leads_here(place.token):
            return True
        try:
            page, _ = self._session.get("delta", place.token, page=_PAGE, patient=False)
        except CursorExpired:
            return True
        return "@odata.nextLink" in page or bool(_Listed.of(page.get("value", [])))

    def batches(self, cursor: Cursor, limits: FetchLimits) -> Iterator[Batch]:
        stored = Place.read(cursor.delta_token)
        start = self._start(stored, limits)
        return batched(self._steps(start, limits), limits, start=stored, note=start.note, cursor=delta_cursor)

    def listing(self, since: datetime, until: datetime) -> Iterator[model.Listed]:
        for one in self._within(f"receivedDateTime ge {_text(since)} and receivedDateTime lt {_text(until)}"):
            yield model.Listed(one.id, None, one.received_at, one.thread_id)

    def named(self, wanted: Sequence[model.Listed], cursor: Cursor, limits: FetchLimits) -> Iterator[Batch]:
        listed = [_Listed(one.key, one.thread_id or "", one.received_at) for one in wanted if one.received_at]
        found = self._messages(listed, limits, imported=True)
        here = Place("")
        return batched(
            (Step(message, here) for _, message in found), limits, start=here, note="", cursor=lambda _: cursor
        )

    def remove(self, key: str) -> Removed:
        here, _ = self._session.get("folder", self._folder, {"$select": "id"})
        if self._session.folder_of(key) != here["id"] or not self._session.move(key, "deleteditems"):
            return Removed.GONE
        return Removed.TRASHED

    def _start(self, stored: Place | None, limits: FetchLimits) -> _Start:
        if stored is not None and not self._session.leads_here(stored.token):
            why = f"the delta link is not one of {self._session.server}"  # the operator's setting has changed
            return self._begin_again(why, limits.rescan_days, None, limits)
        if stored is not None:
            try:
                page, _ = self._session.get("delta", stored.token, page=_page_size(limits))
            except CursorExpired as exc:
                why = f"Microsoft has forgotten the delta link ({exc})"
                return self._begin_again(why, limits.rescan_days, None, limits)
            listed = self._listed(moment(stored.importing[0]), None) if stored.importing else []
            return _Start(stored, listed, page)
        return self._begin_again("first sync", limits.first_sync_days, limits.first_sync_messages, limits)

    def _begin_again(self, why: str, days: int, most: int | None, limits: FetchLimits) -> _Start:
        """The delta link first and then the list: what arrives in between is in both, and never in neither."""
        now = datetime.now(UTC)
        link = self._delta_link(now - timedelta(days=max(days, limits.rescan_days)))
        since = now - timedelta(days=days)
        listed = self._listed(since, most)
        importing = (milliseconds(since), milliseconds(listed[-1].received_at)) if listed else None
        note = f"{why}: {len(listed)} messages since {since.date()} are imported"
        page, _ = self._session.get("delta", link, page=_page_size(limits))
        return _Start(Place(link, importing), listed, page, note)

    def _delta_link(self, since: datetime) -> str:
        """A link to what comes from now on. The first round has to be read for it, though nothing of it is used."""
        query = {
            "$orderby": "receivedDateTime desc",
            "$select": "receivedDateTime",
            "$top": "1",
            "$skip": str(_DELTA_MOST),
        }
        beyond, _ = self._session.get("list", f"{self._folder}/messages", query)
        if beyond.get("value"):
            since = max(since, datetime.fromisoformat(beyond["value"][0]["receivedDateTime"]))
        first = {"changeType": "created", "$select": _SELECT, "$filter": f"receivedDateTime ge {_text(since)}"}
        link: str = f"{self._folder}/messages/delta"
        parameters: dict[str, str] | None = first
        for _ in range(MOST_PAGES):
            page, _ = self._session.get("delta", link, parameters, page=_LISTING_PAGE)
            link, ended = self._link(page)
            if ended:
                return link
            parameters = None
        raise ServerRefused(f"{self._session.server} gives no end to its pages (delta)")

    def _listed(self, since: datetime, most: int | None) -> list[_Listed]:
        """Messages of the folder since then, oldest first; with `most` only so many of the newest."""
        if most == 0:
            return []
        size = _LISTING_PAGE if most is None else min(_LISTING_PAGE, most)
        return list(islice(self._within(f"receivedDateTime ge {_text(since)}", page=size), most))[::-1]

    def _within(self, expression: str, *, page: int = _LISTING_PAGE) -> Iterator[_Listed]:
        """Messages of the folder that a filter lets through, newest first.

        Each page begins with the second in which the one before it ended. Graph's own next links count ($skip), so that for each
        message that goes meanwhile another one would be left out; they are followed where a second fills pages.
        """
        path = f"{self._folder}/messages"
        query = {"$orderby": "receivedDateTime desc", "$select": _SELECT, "$top": str(page)}
        known, last, link = set[str](), "", path
        parameters: dict[str, str] | None = {**query, "$filter": expression}
        for _ in range(MOST_PAGES):
            answer, _ = self._session.get("list", link, parameters, page=page)
            entries = [one for one in answer.get("value", []) if one["id"] not in known]
            yield from _Listed.of(entries)
            if "@odata.nextLink" not in answer:
                return
            if not entries:
                link, parameters = str(answer["@odata.nextLink"]), None
                continue
            before, last = last, entries[-1]["receivedDateTime"]
            known = (known if last == before else set()) | {
                one["id"] for one in entries if one["receivedDateTime"] == last
            }
            until = _text(datetime.fromisoformat(last) + timedelta(seconds=1))
            link, parameters = path, {**query, "$filter": f"{expression} and receivedDateTime lt {until}"}
        raise ServerRefused(f"{self._session.server} gives no end to its pages (list)")

    def _steps(self, start: _Start, limits: FetchLimits) -> Iterator[Step]:
        token, importing = start.place.token, start.place.importing
        if importing:
            wanted = [one for one in start.listed if importing[0] <= milliseconds(one.received_at) <= importing[1]]
            for one, message in self._messages(wanted, limits, imported=True):
                yield Step(message, Place(token, (milliseconds(one.received_at), importing[1])))
            yield Step(None, Place(token))
        yield from self._news(replace(start.place, importing=None), start.page, limits)

    def _news(self, place: Place, page: Mapping[str, Any], limits: FetchLimits) -> Iterator[Step]:
        for _ in range(MOST_PAGES):
            link, ended = self._link(page)
            behind = Place(link)
            fresh = [one for one in _Listed.of(page.get("value", [])) if mark(one.id) not in place.taken]
            for one, message in self._messages(fresh, limits):
                place = behind if one is fresh[-1] else Place(place.token, taken=place.taken | {mark(one.id)})
                yield Step(message, place)
            place = behind
            yield Step(None, place)
            if ended:
                return
            page, _ = self._session.get("delta", place.token, page=_page_size(limits))
        raise ServerRefused(f"{self._session.server} gives no end to its pages (delta)")

    def _messages(
        self, listed: Sequence[_Listed], limits: FetchLimits, *, imported: bool = False
    ) -> Iterator[tuple[_Listed, RawMessage | None]]:
        """Each with its message in their order, a few of them on the way at a time; None for one that was deleted meanwhile."""
        waiting: deque[tuple[_Listed, Future[tuple[bytes | None, int] | None]]] = deque()
        ahead = min(CALLS_AT_ONCE, limits.batch_messages)
        in_spam_folder = bool(listed) and self._in_spam_folder()
        for position, one in enumerate(listed):
            waiting.append((one, self._threads.submit(self._session.content, one.id, most_bytes=limits.message_bytes)))
            while waiting and (len(waiting) >= ahead or position == len(listed) - 1):
                first, content = waiting.popleft()
                yield first, _message(first, content, limits, imported=imported, in_spam=in_spam_folder)

    def _link(self, page: Mapping[str, Any]) -> tuple[str, bool]:
        """What stands behind a page of changes, and whether the round ends with it."""
        ended = "@odata.deltaLink" in page
        link = page.get("@odata.deltaLink") or page.get("@odata.nextLink")
        if not link:
            raise ServerRefused(f"{self._session.server} ended a page of changes with neither a next nor a delta link")
        return self._session.pinned(str(link)), ended

    def _in_spam_folder(self) -> bool:
        if self._is_junk is None:
            here, _ = self._session.get("folder", self._folder, {"$select": "id"})
            junk, _ = self._session.get("folder", "/mailFolders/junkemail", {"$select": "id"})
            self._is_junk = here["id"] == junk["id"]
        return self._is_junk


def _message(
    listed: _Listed,
    content: Future[tuple[bytes | None, int] | None],
    limits: FetchLimits,
    *,
    imported: bool,
    in_spam: bool,
) -> RawMessage | None:
    refusal = ""
    try:
        found = content.result()
        if found is None:
            return None
        raw, size_bytes = found
        if raw is None:
            refusal = f"{size_bytes} bytes are more than the {limits.message_bytes} that are taken in"
    except MessageUnreadable as exc:
        raw, size_bytes, refusal = None, 0, str(exc)
    return RawMessage(
        key=listed.id,
        raw=raw,
        received_at=listed.received_at,
        size_bytes=size_bytes,
        in_spam_folder=in_spam,
        thread_id=listed.thread_id or None,
        imported=imported,
        refusal=refusal,
    )


def _page_size(limits: FetchLimits) -> int:
    return min(_PAGE, limits.batch_messages)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
