"""Mail out through Microsoft Graph: as MIME in one request, or, where that is too large for one, as a draft that is filled first.

Whom it goes to stands in the message's own To and Cc. Exchange keeps the copy and takes no null reverse-path.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from inboxops.core.ids import normalise_message_id
from inboxops.core.model import Copy
from inboxops.core.rules.own_loop import loop_mark
from inboxops.errors import InboxOpsError, OutcomeUnknown, TransientError
from inboxops.ports import Account, Envelope, Sent, Trace
from inboxops.providers import graph_draft
from inboxops.providers.graph import GraphProvider
from inboxops.providers.graph_session import GraphSession
from inboxops.providers.sent_mark import mark_of, message_id_of

_SELECT = "id,internetMessageId,isDraft"
_MOST_LOOKED_AT = 200
_LISTING_PAGE = 500
_LOOK_BACK = timedelta(minutes=10)  # how far Microsoft's clock and ours may be apart


class GraphSender:
    """`ports.Sender` for mailboxes of Exchange Online.

    looks_seconds: how long to wait before each look for the copy, which Exchange files a moment after it took the message.
    """

    def __init__(
        self, provider: GraphProvider | None = None, *, looks_seconds: Sequence[float] = (0, 0.5, 1, 2)
    ) -> None:
        self._provider = provider or GraphProvider()
        self._looks_seconds = looks_seconds

    def send(
        self,
        account: Account,
        raw: bytes,
        envelope: Envelope,
        *,
        commit: Callable[[], None],
        thread_id: str | None = None,
    ) -> Sent:
        """thread_id is not needed: Exchange finds the conversation by the references."""
        ours = message_id_of(raw)
        with closing(self._provider.session(account)) as session:
            encoded = base64.b64encode(raw)
            if len(encoded) > graph_draft.REQUEST_BYTES:
                wire, answer = _send_draft(session, raw, ours, commit)
            else:
                answer = session.send("/sendMail", encoded, content_type="text/plain", commit=commit)
                wire = self._wire_id(session, ours)
        return Sent("" if wire == ours else wire, answer=answer)

    def check(self, account: Account) -> str:
        with closing(self._provider.session(account)) as session:
            session.get("folder", "/mailFolders/sentitems", {"$select": "id"})
            return session.server

    def find_sent(self, account: Account, message_id: str, *, since: datetime) -> Trace:
        """By our id in any folder, for a person may have filed the copy, and by our mark in what was sent since.

        Raises TransientError while it is in the Outbox: Exchange has taken it and holds it back, as it does above 30 a minute.
        """
        with closing(self._provider.session(account)) as session:
            found = list(_with_id(session, "/messages", message_id))
            if any(not one["isDraft"] for one in found):
                return Trace(True)
            if found and any(_with_id(session, "/mailFolders/outbox/messages", message_id)):
                raise TransientError(f"{session.server} holds the message in the Outbox and has yet to send it")
            wire, looked_at = _marked(session, message_id, since)
            return Trace(True, wire) if wire else Trace(False if looked_at < _MOST_LOOKED_AT else None)

    def copies(self, account: Account, *, since: datetime) -> Iterator[Copy]:
        with closing(self._provider.session(account)) as session:
            for one in _sent_since(session, since, page=_LISTING_PAGE):
                yield Copy(normalise_message_id(str(one.get("internetMessageId", ""))))

    def keep_copy(self, account: Account, raw: bytes) -> None:
        """Exchange has put one into Sent Items."""

    def _wire_id(self, session: GraphSession, ours: str) -> str:
        """The id that the copy bears, "" where none is found in time. The message has left: no failure here may say otherwise."""
        since = datetime.now(UTC) - _LOOK_BACK
        with suppress(InboxOpsError):
            for seconds in self._looks_seconds:
                time.sleep(seconds)
                if any(not one["isDraft"] for one in _with_id(session, "/messages", ours)):
                    return ours
            return _marked(session, ours, since)[0]
        return ""


def _send_draft(session: GraphSession, raw: bytes, ours: str, commit: Callable[[], None]) -> tuple[str, str]:
    """The id that the draft bears, which sending leaves as it is, and Graph's answer. A draft that did not leave is taken back."""
    for left in _with_id(session, "/mailFolders/drafts/messages", ours):  # of a run that was killed
        graph_draft.delete(session, left["id"])
    text, files = graph_draft.split(raw)
    draft = graph_draft.create(session, text)
    try:
        for file in files:
            graph_draft.attach(session, draft, file)
        answer = session.send(graph_draft.path(draft, "/send"), b"", content_type="application/json", commit=commit)
    except OutcomeUnknown:
        raise
    except InboxOpsError:
        with suppress(InboxOpsError):
            graph_draft.delete(session, draft["id"])
        raise
    return normalise_message_id(str(draft.get("internetMessageId", ""))), answer


def _with_id(session: GraphSession, path: str, message_id: str) -> Iterator[dict[str, Any]]:
    same = message_id.replace("'", "''")
    query = {"$filter": f"internetMessageId eq '<{same}>'", "$select": _SELECT}
    for page in session.pages("find", path, query, page=10):
        yield from page


def _marked(session: GraphSession, message_id: str, since: datetime) -> tuple[str, int]:
    """(the id of the sent message with our mark, "" when there is none; how many were looked at), newest first."""
    mark, looked_at = loop_mark(message_id), 0
    for one in islice(_sent_since(session, since, page=50), _MOST_LOOKED_AT):
        looked_at += 1
        if mark_of(session.head(one["id"])) == mark:
            return normalise_message_id(str(one["internetMessageId"])), looked_at
    return "", looked_at


def _sent_since(session: GraphSession, since: datetime, *, page: int) -> Iterator[dict[str, Any]]:
    """Newest first."""
    query = {
        "$filter": f"receivedDateTime ge {since:%Y-%m-%dT%H:%M:%SZ}",
        "$orderby": "receivedDateTime desc",
        "$select": _SELECT,
    }
    for entries in session.pages("find", "/mailFolders/sentitems/messages", query, page=page):
        yield from entries
