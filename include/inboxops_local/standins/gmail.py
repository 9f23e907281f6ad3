"""Google's sign-in and the Gmail API v1, as far as a client that reads and sends mail speaks them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from email import message_from_bytes, policy
from typing import Any

from inboxops_local.standins.authority import Authority
from inboxops_local.standins.gmail_batch import answer_batch
from inboxops_local.standins.gmail_errors import failure
from inboxops_local.standins.gmail_mailbox import Change, Mailbox, Message
from inboxops_local.standins.gmail_sending import Sending, wire
from inboxops_local.standins.http import Call, Refused, Reply, StandIn
from inboxops_local.standins.pubsub import PubSub

READ = "https://www.googleapis.com/auth/gmail.readonly"
MODIFY = "https://www.googleapis.com/auth/gmail.modify"
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
    pubsub: where watched mailboxes publish their changes.
    """

    def __init__(self, *, born: float | None = None) -> None:
        super().__init__(born=born)
        self.authority = Authority(
            issuer="https://accounts.google.com",
            claims=lambda user: {"email": user.address, "email_verified": True},
        )
        self.replaces_message_id = False
        self.pubsub = PubSub()
        self._mailboxes: dict[str, Mailbox] = {}
        add = self.routes.add
        add("GET", "/o/oauth2/v2/auth", self.authority.authorize)
        add("POST", "/token", self.authority.token)
        add("POST", "/revoke", self.authority.revoke)
        add("POST", "/batch/gmail/v1", self._batch)
        add("GET", "/oauth2/v3/certs", lambda call: Reply.json(self.pubsub.keys()))
        sending = Sending(lambda: self.replaces_message_id)
        user = "/gmail/v1/users/{user}"
        for method, path, scope, handle in (
            ("GET", "profile", READ, self._profile),
            ("GET", "messages", READ, self._list),
            ("GET", "messages/{id}", READ, self._get),
            ("GET", "history", READ, self._history),
            ("POST", "messages/send", SEND, sending.from_json),
            ("POST", "messages/{id}/trash", MODIFY, self._trash),
            ("POST", "watch", READ, self._watch),
            ("POST", "stop", READ, self._stop),
        ):
            add(method, f"{user}/{path}", self._signed_in(scope, handle))
        upload = "/upload/gmail/v1/users/{user}/messages/send"
        add("POST", upload, self._signed_in(SEND, sending.from_upload))
        add("POST", "/_admin/messages", self._admin_deliver)
        add("GET", "/_admin/messages", self._admin_count)
        add("GET", "/_admin/sent", self._admin_sent)
        add("POST", "/_admin/forget", self._admin_forget)
        add("POST", "/_admin/expire", self.authority.admin_expire)
        add("POST", "/_admin/revoke", self.authority.admin_revoke)

    def mailbox(self, address: str) -> Mailbox:
        """The account's mailbox; the account is made when it is new."""
        with self.lock:
            self.authority.add_user(address)
            if address.lower() not in self._mailboxes:
                self._mailboxes[address.lower()] = Mailbox(address, born=self.born, on_change=self.pubsub.publish)
            return self._mailboxes[address.lower()]

    def rename(self, address: str, to: str) -> None:
        """The account gets another primary address, as when its organisation does, and keeps its mail."""
        with self.lock:
            self.authority.rename(address, to)
            mailbox = self._mailboxes[to.lower()] = self._mailboxes.pop(address.lower())
            mailbox.address = to

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
            if not any(self.authority.user(token, one) for one in {scope, MODIFY if scope == READ else scope}):
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
            resource["raw"] = wire(message.raw)
        elif form == "metadata":
            wanted = {name.lower() for name in call.lists.get("metadataHeaders", [])}
            head = message_from_bytes(message.raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", policy=policy.compat32)
            headers = [{"name": n, "value": str(v)} for n, v in head.items() if not wanted or n.lower() in wanted]
            resource["payload"] = {"mimeType": head.get_content_type(), "headers": headers}
        return Reply.json(_selected(resource, call.query.get("fields", "")))

    def _trash(self, call: Call, mailbox: Mailbox, id: str) -> Reply:
        if id not in mailbox.messages:
            return failure(404, "notFound", "Requested entity was not found.", "NOT_FOUND")
        return Reply.json(mailbox.relabel(id, add=["TRASH"], remove=["INBOX"]).resource("minimal"))

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

    def _watch(self, call: Call, mailbox: Mailbox) -> Reply:
        body = call.json()
        if not re.fullmatch(r"projects/[^/]+/topics/[^/]+", body.get("topicName", "")):
            return failure(400, "invalidArgument", "Invalid topicName", "INVALID_ARGUMENT")
        known = mailbox.watch
        if known is not None and known["expiration"] > time.time() * 1000 and known["topicName"] != body["topicName"]:
            said = "Only one user push notification client allowed per developer (call /stop then try again)"
            return failure(400, "failedPrecondition", said, "FAILED_PRECONDITION")
        expiration = int((time.time() + WATCH_SECONDS) * 1000)
        mailbox.watch = {**body, "expiration": expiration}
        return Reply.json({"historyId": str(mailbox.history_id), "expiration": str(expiration)})

    def _stop(self, call: Call, mailbox: Mailbox) -> Reply:
        mailbox.watch = None
        return Reply(204)

    def _admin_count(self, call: Call) -> Reply:
        """GET /_admin/messages?to=ADDRESS: how many there are."""
        with self.lock:
            return Reply.json({"count": len(self.mailbox(call.query["to"]).messages)})

    def _admin_sent(self, call: Call) -> Reply:
        """GET /_admin/sent?from=ADDRESS: what the account has sent, oldest first."""
        with self.lock:
            sent = [m for m in self.mailbox(call.query["from"]).messages.values() if "SENT" in m.labels]
            return Reply.json({"messages": [{"id": m.id, "threadId": m.thread_id, "raw": wire(m.raw)} for m in sent]})

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
