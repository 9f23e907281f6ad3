"""Mail out through JMAP (RFC 8621, 7): stored as a draft, submitted, and filed under Sent by the server in the same request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from inboxops.core.ids import normalise_message_id
from inboxops.core.model import Copy
from inboxops.errors import (
    InboxOpsError,
    InvalidInput,
    MessageRefused,
    OutcomeUnknown,
    ServerRefused,
    Throttled,
    TransientError,
)
from inboxops.ports import Account, Envelope, Sent, Trace
from inboxops.providers.jmap import JmapProvider
from inboxops.providers.jmap_session import FAILED, JmapSession
from inboxops.providers.sent_mark import message_id_of

_FOR_NOW = re.compile(r"\s*(?:4\d\d\s+)?4\.\d{1,3}\.\d{1,3}\b")
"""What a relay behind the server said (RFC 3463, 3.1): try again later. Cyrus passes it on under the type forbiddenToSend."""

_SETUP = "Set up an identity for the address on the mail server"


class JmapSender:
    """`ports.Sender` for mailboxes of JMAP servers. Whom it goes to is the envelope's word, not the header's."""

    def __init__(self, provider: JmapProvider | None = None) -> None:
        self._provider = provider or JmapProvider()

    def send(
        self,
        account: Account,
        raw: bytes,
        envelope: Envelope,
        *,
        commit: Callable[[], None],
        thread_id: str | None = None,
    ) -> Sent:
        """thread_id is not needed: servers find the thread by the references."""
        with closing(self._provider.session(account)) as session:
            drafts, sent = _folders(session)
            identity = _identity(session, envelope.sender or account.email_address)
            _discard(session, _with_id(session, message_id_of(raw), draft=True))  # of a run that was killed
            email = _stored(session, raw, drafts)
            try:
                submission = _submit(session, email, identity, envelope, drafts, sent, commit)
            except OutcomeUnknown:
                raise
            except InboxOpsError:
                _discard(session, [email])
                raise
        return Sent(answer=f"{session.server} took it as submission {submission}")

    def check(self, account: Account) -> str:
        with closing(self._provider.session(account)) as session:
            _folders(session)
            _identity(session, account.email_address)
            return session.server

    def find_sent(self, account: Account, message_id: str, *, since: datetime) -> Trace:
        """By our id in any mailbox, for a person may have filed the copy. A draft proves nothing: it is filed after it has left."""
        with closing(self._provider.session(account)) as session:
            return Trace(True if _with_id(session, message_id, draft=False) else None)

    def copies(self, account: Account, *, since: datetime) -> Iterator[Copy]:
        with closing(self._provider.session(account)) as session:
            _, sent = _folders(session)
            span = {"inMailbox": sent, "after": f"{since:%Y-%m-%dT%H:%M:%SZ}"}
            newest_first = [{"property": "receivedAt", "isAscending": False}]
            for one in session.queried("find", span, newest_first, ["id", "messageId"]):
                yield from (Copy(normalise_message_id(id_)) for id_ in one.get("messageId") or ())

    def keep_copy(self, account: Account, raw: bytes) -> None:
        """The server has filed it under Sent."""


def _folders(session: JmapSession) -> tuple[str, str]:
    """The ids of Drafts and Sent. Raises ServerRefused where the account has none."""
    [answer] = session.call("mailboxes", ("Mailbox/get", {"ids": None, "properties": ["id", "role"]}))
    ids = {one["role"]: str(one["id"]) for one in answer["list"] if one.get("role")}
    if not {"drafts", "sent"} <= set(ids):
        raise ServerRefused(
            f"{session.server} has no mailbox with the role drafts or sent", fix="Make them in the account's settings"
        )
    return ids["drafts"], ids["sent"]


def _identity(session: JmapSession, address: str) -> str:
    """The id of the identity that may send as this address (RFC 8621, 6). Raises InvalidInput, naming those that there are."""
    [answer] = session.call("identities", ("Identity/get", {"ids": None}))
    wanted = address.casefold()
    domain = f"*@{wanted.rpartition('@')[2]}"
    for fits in (wanted, domain):
        for one in answer["list"]:
            if str(one["email"]).casefold() == fits:
                return str(one["id"])
    known = ", ".join(sorted(str(one["email"]) for one in answer["list"])) or "none"
    raise InvalidInput(f"{session.server} lets this login send as {known}, not as {address}", fix=_SETUP)


def _with_id(session: JmapSession, message_id: str, *, draft: bool) -> list[str]:
    """Ids of the account's messages with that Message-ID that are drafts, or that are none."""
    found = {"resultOf": "0", "name": "Email/query", "path": "/ids"}
    _, about = session.call(
        "find",
        ("Email/query", {"filter": {"header": ["Message-ID", message_id]}}),
        ("Email/get", {"#ids": found, "properties": ["id", "keywords", "messageId"]}),
    )
    return [
        str(one["id"])
        for one in about["list"]
        if message_id in (one.get("messageId") or ()) and ("$draft" in one["keywords"]) is draft
    ]


def _stored(session: JmapSession, raw: bytes, drafts: str) -> str:
    """The id of the message, stored as a draft byte for byte. Raises MessageRefused where the server does not take it."""
    most = session.limit("maxSizeUpload", at_least=len(raw))
    if len(raw) > most:
        raise MessageRefused(
            f"the message has {len(raw)} bytes and {session.server} takes {most} at most", fix="Send less in it"
        )
    email = {
        "blobId": session.upload(raw),
        "mailboxIds": {drafts: True},
        "keywords": {"$draft": True, "$seen": True},
    }
    [answer] = session.call("import", ("Email/import", {"emails": {"new": email}}))
    made = (answer.get("created") or {}).get("new")
    if made is None:
        why = (answer.get("notCreated") or {}).get("new") or {}
        if why.get("type") == "alreadyExists":  # somebody has the very same message there (RFC 8621, 4.8)
            return str(why["existingId"])
        raise _failed(session, why)
    return str(made["id"])


def _submit(
    session: JmapSession,
    email: str,
    identity: str,
    envelope: Envelope,
    drafts: str,
    sent: str,
    commit: Callable[[], None],
) -> str:
    """Make it leave; the submission's id. What the server does with the draft then is part of the same request.

    Raises OutcomeUnknown where the server does not say that it took the message or refused it.
    """
    submission = {
        "emailId": email,
        "identityId": identity,
        "envelope": {
            "mailFrom": {"email": envelope.sender},
            "rcptTo": [{"email": address} for address in envelope.recipients],
        },
    }
    filed = {f"mailboxIds/{drafts}": None, f"mailboxIds/{sent}": True, "keywords/$draft": None}
    answer = session.submit(
        ("EmailSubmission/set", {"create": {"new": submission}, "onSuccessUpdateEmail": {"#new": filed}}), commit=commit
    )[0]
    if "new" in (created := answer.get("created") or {}):
        return str((created["new"] or {}).get("id", ""))
    why = (answer.get("notCreated") or {}).get("new") or {"type": "serverFail"}
    if why.get("type") in FAILED:
        raise OutcomeUnknown(str(_failed(session, why).args[0]))
    raise _failed(session, why)


def _failed(session: JmapSession, why: Mapping[str, Any]) -> InboxOpsError:
    """What a SetError means (RFC 8620, 5.3; RFC 8621, 7.5)."""
    kind = str(why.get("type", ""))
    told = why.get("description") or ", ".join(map(str, why.get("invalidRecipients") or why.get("properties") or ()))
    said = f"{session.server} says {kind} {told}"[:400].strip()
    if kind in ("rateLimit", "overQuota"):
        return Throttled(said)
    if kind in FAILED or kind == "serverUnavailable" or _FOR_NOW.match(str(told)):
        return TransientError(said)
    return MessageRefused(said)


def _discard(session: JmapSession, emails: Sequence[str]) -> None:
    """Drafts of ours that did not leave. One that can't be removed is found and removed by the next try."""
    if emails:
        session.call("discard", ("Email/set", {"destroy": list(emails)}))
