"""Google's sign-in and the Gmail API v1, as far as a client that reads and sends mail speaks them."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from email import message_from_bytes, policy
from typing import Any

from inboxops.standins.authority import Authority
from inboxops.standins.gmail_batch import answer_batch
from inboxops.standins.gmail_mailbox import Change, Mailbox, Message
from inboxops.standins.http import Call, Refused, Reply, StandIn

READ = "https://www.googleapis.com/auth/gmail.readonly"
SEND = "https://www.googleapis.com/auth/gmail.send"
WATCH_SECONDS = 7 * 24 * 3600
_HISTORY_FIELDS = {
    "messageAdded": "messagesAdded",
    "messageDeleted": "messagesDeleted",
    "labelAdded": "labelsAdded",
    "labelRemoved": "labelsRemoved",
}


class Gmail(StandIn):
    """One server for accounts.google.com, oauth2.googleapis.com and gmail.googleapis.com.

    replaces_message_id: sending puts an id of Gmail's own in place of ours, as the real one may.
    """

    def __init__(self, *, born: float | None = None) -> None:
        super().__init__(born=born)
        self.authority = Authority(
            issuer="https://accounts.google.com",
            claims=lambda user: {"email": user.address, "email_verified": True},
        )
        self.replaces_message_id = False
        self._mailboxes: dict[str, Mailbox] = {}
        add = self.routes.add
        add("GET", "/o/oauth2/v2/auth", self.authority.authorize)
        add("POST", "/token", self.authority.token)
        add("POST", "/revoke", self.authority.revoke)
        add("POST", "/batch/gmail/v1", self._batch)
        user = "/gmail/v1/users/{user}"
        for method, path, scope, handle in (
            ("GET", "profile", READ, self._profile),
            ("GET", "messages", READ, self._list),
            ("GET", "messages/{id}", READ, self._get),
            ("GET", "history", READ, self._history),
            ("POST", "messages/send", SEND, self._send),
            ("POST", "watch", READ, self._watch),
            ("POST", "stop", READ, self._stop),
        ):
            add(method, f"{user}/{path}", self._signed_in(scope, handle))
        add("POST", "/upload/gmail/v1/users/{user}/messages/send", self._signed_in(SEND, self._upload))
        add("POST", "/_admin/messages", self._admin_deliver)
        add("GET", "/_admin/messages", self._admin_count)
        add("POST", "/_admin/forget", self._admin_forget)
        add("POST", "/_admin/expire", self.authority.admin_expire)
        add("POST", "/_admin/revoke", self.authority.admin_revoke)

    def mailbox(self, address: str) -> Mailbox:
        """The account's mailbox; the account is made when it is new."""
        with self.lock:
            self.authority.add_user(address)
            return self._mailboxes.setdefault(address.lower(), Mailbox(address, born=self.born))

    def deliver(
        self, address: str, raw: bytes, *, labels: tuple[str, ...] = ("INBOX", "UNREAD"), when: datetime | None = None
    ) -> Message:
        with self.lock:
            when_ms = None if when is None else int(when.timestamp() * 1000)
            return self.mailbox(address).add(raw, labels=labels, when_ms=when_ms)

    def _signed_in(self, scope: str, handle: Callable[..., Reply]) -> Callable[..., Reply]:
        """The handler with the mailbox of whoever the access token belongs to, under the lock."""

        def checked(call: Call, user: str, **parts: str) -> Reply:
            token = call.headers.get("authorization", "").removeprefix("Bearer ")
            owner = self.authority.user(token)
            if owner is None:
                return failure(401, "authError", "Invalid Credentials", "UNAUTHENTICATED")
            if self.authority.user(token, scope) is None:
                return failure(403, "insufficientPermissions", "Insufficient Permission", "PERMISSION_DENIED")
            if user not in ("me", owner.address):
                return failure(403, "forbidden", f"Delegation denied for {owner.address}", "PERMISSION_DENIED")
            with self.lock:
                return handle(call, self.mailbox(owner.address), **parts)

        return checked

    def _batch(self, call: Call) -> Reply:
        return answer_batch(call, self.dispatch)

    def _profile(self, call: Call, mailbox: Mailbox) -> Reply:
        return Reply.json(
            {
                "emailAddress": mailbox.address,
                "messagesTotal": len(mailbox.messages),
                "threadsTotal": len({m.thread_id for m in mailbox.messages.values()}),
                "historyId": str(mailbox.history_id),
            }
        )

    def _list(self, call: Call, mailbox: Mailbox) -> Reply:
        spam_and_trash = call.query.get("includeSpamTrash", "false") == "true"
        found = mailbox.search(call.query.get("q", ""), spam_and_trash=spam_and_trash)
        for label in call.lists.get("labelIds", []):
            found = [m for m in found if label in m.labels]
        page, rest = _page(call, found, largest=500, usual=100)
        answer: dict[str, Any] = {"resultSizeEstimate": len(found)}
        if page:
            answer["messages"] = [{"id": m.id, "threadId": m.thread_id} for m in page]
        return Reply.json(answer | rest)

    def _get(self, call: Call, mailbox: Mailbox, id: str) -> Reply:
        message = mailbox.messages.get(id)
        if message is None:
            return failure(404, "notFound", "Requested entity was not found.", "NOT_FOUND")
        form = call.query.get("format", "full")
        resource = message.resource(form)
        if form == "raw":
            resource["raw"] = base64.urlsafe_b64encode(message.raw).decode()
        elif form == "metadata":
            wanted = {name.lower() for name in call.lists.get("metadataHeaders", [])}
            head = message_from_bytes(message.raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", policy=policy.compat32)
            headers = [{"name": n, "value": str(v)} for n, v in head.items() if not wanted or n.lower() in wanted]
            resource["payload"] = {"mimeType": head.get_content_type(), "headers": headers}
        return Reply.json(_selected(resource, call.query.get("fields", "")))

    def _history(self, call: Call, mailbox: Mailbox) -> Reply:
        start = call.query.get("startHistoryId", "")
        if not start.isdigit() or int(start) < 1:
            return failure(400, "invalidArgument", "Invalid startHistoryId", "INVALID_ARGUMENT")
        if int(start) < mailbox.oldest_history_id:
            return failure(404, "notFound", "Requested entity was not found.", "NOT_FOUND")
        kinds = set(call.lists.get("historyTypes", [])) or set(_HISTORY_FIELDS)
        label = call.query.get("labelId")
        behind = [
            change
            for change in mailbox.changes
            if change.id > int(start)
            and change.kind in kinds
            and (label is None or label in {*change.labels, *change.changed})
        ]
        page, rest = _page(call, behind, largest=500, usual=100)
        answer: dict[str, Any] = {"historyId": str(mailbox.history_id)}
        if page:
            answer["history"] = [_record(change) for change in page]
        return Reply.json(answer | rest)

    def _send(self, call: Call, mailbox: Mailbox) -> Reply:
        body = call.json()
        raw = base64.urlsafe_b64decode(body.get("raw", "") + "==")
        return self._sent(mailbox, raw, body.get("threadId"))

    def _upload(self, call: Call, mailbox: Mailbox) -> Reply:
        """uploadType=media: the body is the message itself."""
        return self._sent(mailbox, call.body, None)

    def _sent(self, mailbox: Mailbox, raw: bytes, thread_id: str | None) -> Reply:
        if not re.search(rb"^(?:To|Cc|Bcc):", raw.partition(b"\r\n\r\n")[0], re.IGNORECASE | re.MULTILINE):
            return failure(400, "invalidArgument", "Recipient address required", "INVALID_ARGUMENT")
        if self.replaces_message_id:
            fresh = f"Message-ID: <CA+{time.time_ns():x}@mail.gmail.com>".encode()
            raw = re.sub(rb"(?im)^Message-ID:.*$", lambda _: fresh + b"\r", raw, count=1).replace(b"\r\r\n", b"\r\n")
        message = mailbox.add(raw, labels=("SENT",))
        if thread_id and any(m.thread_id == thread_id for m in mailbox.messages.values()):
            message.thread_id = thread_id
        return Reply.json({"id": message.id, "threadId": message.thread_id, "labelIds": ["SENT"]})

    def _watch(self, call: Call, mailbox: Mailbox) -> Reply:
        body = call.json()
        if not re.fullmatch(r"projects/[^/]+/topics/[^/]+", body.get("topicName", "")):
            return failure(400, "invalidArgument", "Invalid topicName", "INVALID_ARGUMENT")
        expiration = int((time.time() + WATCH_SECONDS) * 1000)
        mailbox.watch = {"topicName": body["topicName"], "expiration": expiration}
        return Reply.json({"historyId": str(mailbox.history_id), "expiration": str(expiration)})

    def _stop(self, call: Call, mailbox: Mailbox) -> Reply:
        mailbox.watch = None
        return Reply(204)

    def _admin_count(self, call: Call) -> Reply:
        """GET /_admin/messages?to=ADDRESS: how many there are."""
        with self.lock:
            return Reply.json({"count": len(self.mailbox(call.query["to"]).messages)})

    def _admin_forget(self, call: Call) -> Reply:
        """POST /_admin/forget?user=ADDRESS: stored cursors mean nothing any more."""
        with self.lock:
            self.mailbox(call.query["user"]).forget_history()
        return Reply(204)

    def _admin_deliver(self, call: Call) -> Reply:
        """POST /_admin/messages?to=ADDRESS[&labels=A,B][&when=ISO]: the body is the message."""
        when = datetime.fromisoformat(call.query["when"]) if "when" in call.query else None
        labels = tuple(call.query.get("labels", "INBOX,UNREAD").split(","))
        return Reply.json({"id": self.deliver(call.query["to"], call.body, labels=labels, when=when).id}, 201)


def failure(status: int, reason: str, message: str, state: str, headers: Mapping[str, str] | None = None) -> Reply:
    """An error as Google words it."""
    error = {
        "code": status,
        "message": message,
        "errors": [{"message": message, "domain": "global", "reason": reason}],
        "status": state,
    }
    return Reply.json({"error": error}, status, headers)


def _page(call: Call, items: list[Any], *, largest: int, usual: int) -> tuple[list[Any], dict[str, str]]:
    size = min(int(call.query.get("maxResults", usual)), largest)
    token = call.query.get("pageToken", "0")
    if not token.isdigit():
        raise Refused(failure(400, "invalidArgument", "Invalid pageToken", "INVALID_ARGUMENT"))
    start = int(token)
    more = {"nextPageToken": str(start + size)} if start + size < len(items) else {}
    return items[start : start + size], more


def _record(change: Change) -> dict[str, Any]:
    message = {"id": change.message_id, "threadId": change.thread_id, "labelIds": list(change.labels)}
    entry: dict[str, Any] = {"message": message}
    if change.changed:
        entry["labelIds"] = list(change.changed)
    return {
        "id": str(change.id),
        "messages": [{"id": change.message_id, "threadId": change.thread_id}],
        _HISTORY_FIELDS[change.kind]: [entry],
    }


def _selected(resource: Mapping[str, Any], fields: str) -> Mapping[str, Any]:
    """A partial response: top-level names are all that is asked for here."""
    wanted = set(re.sub(r"\([^)]*\)", "", fields).split(",")) if fields else set(resource)
    return {name: value for name, value in resource.items() if name in wanted}
