"""Mail out through the Gmail API: one upload of the message into its thread. Gmail keeps the copy, and may change the Message-ID.

Whom it goes to stands in the message's own To and Cc. Gmail takes no null reverse-path: what bounces of an automatic answer
comes back to the mailbox, where it is told by its headers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import datetime
from itertools import islice

from inboxops.core.ids import normalise_message_id
from inboxops.core.model import Copy
from inboxops.core.rules.own_loop import LOOP_HEADER, loop_mark
from inboxops.errors import InboxOpsError, MessageRefused
from inboxops.ports import Account, Envelope, Sent, Trace
from inboxops.providers.gmail import GmailProvider
from inboxops.providers.gmail_errors import answered
from inboxops.providers.gmail_session import CALLS_PER_BATCH, GmailSession
from inboxops.providers.https import refused
from inboxops.providers.sent_mark import message_id_of

LARGEST_BYTES = 36_700_160
"""What messages.send takes: 35 MB of a message as it is on the wire (the method's maxSize in the API's discovery document)."""

_MOST_LOOKED_AT = 500


class GmailSender:
    """`ports.Sender` for Gmail accounts."""

    def __init__(self, provider: GmailProvider | None = None) -> None:
        self._provider = provider or GmailProvider()

    def send(
        self,
        account: Account,
        raw: bytes,
        envelope: Envelope,
        *,
        commit: Callable[[], None],
        thread_id: str | None = None,
    ) -> Sent:
        if len(raw) > LARGEST_BYTES:
            raise MessageRefused(
                f"the message has {len(raw)} bytes and Gmail takes {LARGEST_BYTES} at most", fix="Send less in it"
            )
        with closing(self._provider.session(account)) as session:
            answer = session.send(raw, thread_id, commit=commit)
            if answer.status_code == 404 and thread_id:
                # The thread was deleted. Nothing was taken, so the permission still stands for this one message.
                answer = session.send(raw, None, commit=_is_permitted)
            if not answer.is_success:
                raise refused(answered(answer.status_code, answer.content, answer.headers, session.server, "send"))
            id_ = _id(answer.content)
            return Sent(_wire_id(session, id_, message_id_of(raw)), answer=f"Gmail took it as {id_}")

    def check(self, account: Account) -> str:
        with closing(self._provider.session(account)) as session:
            session.profile()
            return session.server

    def find_sent(self, account: Account, message_id: str, *, since: datetime) -> Trace:
        """By our id, and, because Gmail may have put another in its place, by our mark in what was sent since."""
        with closing(self._provider.session(account)) as session:
            if session.ids(f"rfc822msgid:{message_id} in:sent", most=1):
                return Trace(True)
            ids = session.ids(f"in:sent after:{int(since.timestamp())}", most=_MOST_LOOKED_AT)
            mark = loop_mark(message_id)
            for headers in session.headers(ids, LOOP_HEADER, "Message-ID").values():
                if headers.get(LOOP_HEADER.lower()) == mark:
                    return Trace(True, normalise_message_id(headers.get("message-id", "")))
            return Trace(False if len(ids) < _MOST_LOOKED_AT else None)

    def copies(self, account: Account, *, since: datetime) -> Iterator[Copy]:
        with closing(self._provider.session(account)) as session:
            ids = session.each_id(f"in:sent after:{int(since.timestamp())}")
            while some := list(islice(ids, CALLS_PER_BATCH)):
                for headers in session.headers(some, LOOP_HEADER, "Message-ID").values():
                    id_ = normalise_message_id(headers.get("message-id", ""))
                    yield Copy(id_, headers.get(LOOP_HEADER.lower(), ""))

    def keep_copy(self, account: Account, raw: bytes) -> None:
        """Gmail has put one under its label Sent."""


def _is_permitted() -> None:
    """The permission was taken for a request that did nothing."""


def _id(content: bytes) -> str:
    """Gmail's own id of the message it took, "" where it told none."""
    with suppress(ValueError, LookupError):
        return str(json.loads(content)["id"])
    return ""


def _wire_id(session: GmailSession, id_: str, ours: str) -> str:
    """The id that a sent message really bears, "" where it is ours. The message has left: no failure here may say otherwise."""
    with suppress(InboxOpsError, ValueError, LookupError):
        wire = normalise_message_id(session.headers([id_], "Message-ID")[id_]["message-id"])
        return "" if wire == ours else wire
    return ""
