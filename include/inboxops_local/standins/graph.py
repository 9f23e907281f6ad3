"""Microsoft's sign-in and Microsoft Graph v1.0, as far as a client that reads and sends mail speaks them."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from inboxops_local.standins.authority import Authority, User, base64url_json
from inboxops_local.standins.graph_delta import delta
from inboxops_local.standins.graph_mailbox import Mailbox, Message
from inboxops_local.standins.graph_query import chosen, failure, page_size, prefers_immutable_ids, received_filter
from inboxops_local.standins.graph_sending import Sending, found, sent
from inboxops_local.standins.graph_subscriptions import Subscriptions
from inboxops_local.standins.http import Call, Refused, Reply, StandIn

TENANT = "11111111-2222-3333-4444-555555555555"
WRITE, SEND, PERSON = ("Mail.ReadWrite",), ("Mail.Send",), ("User.Read",)
READ = ("Mail.Read", *WRITE)


class Graph(StandIn):
    """One server for login.microsoftonline.com and graph.microsoft.com. msal wants TLS, so it is served with a certificate.

    most_at_once: calls of one mailbox that may run together; the next is throttled, as Exchange Online does.
    replaces_message_id: sending puts an id of Exchange's own in place of ours.
    """

    def __init__(self, *, born: float | None = None) -> None:
        super().__init__(born=born)
        self.authority = Authority(
            issuer=f"https://login.microsoftonline.com/{TENANT}/v2.0",
            claims=lambda user: {"oid": user.id, "tid": TENANT, "preferred_username": user.address},
            extra=_client_info,
        )
        self.subscriptions = Subscriptions()
        self.replaces_message_id = False
        self.sending = Sending(lambda: self.replaces_message_id)
        self.most_at_once = 4
        self.most_seen_at_once = 0
        self._running: dict[str, int] = {}
        self._mailboxes: dict[str, Mailbox] = {}
        self._shared: dict[str, set[str]] = {}
        self._sign_in_routes()
        self._mail_routes()
        add = self.routes.add
        for method, pattern, handle in (
            ("POST", "/v1.0/subscriptions", self.subscriptions.create),
            ("GET", "/v1.0/subscriptions", self.subscriptions.list),
            ("GET", "/v1.0/subscriptions/{id}", self.subscriptions.get),
            ("PATCH", "/v1.0/subscriptions/{id}", self.subscriptions.renew),
            ("DELETE", "/v1.0/subscriptions/{id}", self.subscriptions.delete),
        ):
            add(method, pattern, self._signed_in(READ, handle, locked=False))  # it calls a listener and waits for it
        add("PUT", "/uploads/{token}", self._upload)
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
                mailbox = Mailbox(address, born=self.born)
                mailbox.on_created = lambda message: self.subscriptions.tell(mailbox, message)
                self._mailboxes[address.lower()] = mailbox
            return self._mailboxes[address.lower()]

    def rename(self, address: str, to: str) -> None:
        """The account gets another primary address, as when its organisation does, and keeps its mail."""
        with self.lock:
            self.authority.rename(address, to)
            mailbox = self._mailboxes[to.lower()] = self._mailboxes.pop(address.lower())
            mailbox.address = to

    def share(self, address: str, *, with_: str) -> None:
        """Let another account open this mailbox."""
        self._shared.setdefault(address.lower(), set()).add(with_.lower())

    def deliver(self, address: str, raw: bytes, *, folder: str = "inbox", when: datetime | None = None) -> Message:
        with self.lock:
            return self.mailbox(address).add(raw, folder=folder, when=when)

    # -- sign-in

    def _sign_in_routes(self) -> None:
        add = self.routes.add
        add("GET", "/{tenant}/v2.0/.well-known/openid-configuration", self._openid_configuration)
        add("GET", "/common/discovery/instance", self._instance_discovery)
        add("GET", "/{tenant}/oauth2/v2.0/authorize", lambda call, tenant: self.authority.authorize(call))
        add("POST", "/{tenant}/oauth2/v2.0/token", lambda call, tenant: self.authority.token(call))

    def _openid_configuration(self, call: Call, tenant: str) -> Reply:
        here = f"{call.base}/{tenant}"
        return Reply.json(
            {
                "issuer": self.authority.issuer,
                "authorization_endpoint": f"{here}/oauth2/v2.0/authorize",
                "token_endpoint": f"{here}/oauth2/v2.0/token",
                "jwks_uri": f"{here}/discovery/v2.0/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    def _instance_discovery(self, call: Call) -> Reply:
        host = call.base.partition("://")[2]
        return Reply.json(
            {
                "tenant_discovery_endpoint": f"{call.base}/common/v2.0/.well-known/openid-configuration",
                "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
            }
        )

    # -- who may

    def _signed_in(
        self, scopes: tuple[str, ...], handle: Callable[..., Reply], *, locked: bool = True
    ) -> Callable[..., Reply]:
        """The handler with the mailbox that the path names and the token may open, under the lock, few at a time."""

        def checked(call: Call, user: str = "", **parts: str) -> Reply:
            token = call.headers.get("authorization", "").removeprefix("Bearer ")
            caller = self.authority.user(token)
            if caller is None:
                return failure(401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.")
            if not any(self.authority.user(token, scope) for scope in scopes):
                return failure(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
            mailbox = self._opened(caller, user)
            with self.lock:
                running = self._running.get(mailbox.address, 0) + 1
                self.most_seen_at_once = max(self.most_seen_at_once, running)
                if running > self.most_at_once:
                    return failure(429, "ApplicationThrottled", "MailboxConcurrency limit.", {"Retry-After": "1"})
                self._running[mailbox.address] = running
            try:
                with self.lock if locked else nullcontext():
                    return handle(call, mailbox, **parts)
            finally:
                with self.lock:
                    self._running[mailbox.address] -= 1

        return checked

    def _opened(self, caller: User, user: str) -> Mailbox:
        if user in ("", caller.address, caller.id):
            return self.mailbox(caller.address)
        known = self._mailboxes.get(user.lower())
        if known is None:
            raise Refused(failure(404, "ErrorInvalidUser", f"The requested user '{user}' is invalid."))
        if caller.address.lower() not in self._shared.get(user.lower(), set()):
            raise Refused(failure(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again."))
        return known

    # -- mail

    def _mail_routes(self) -> None:
        for owner in ("/v1.0/me", "/v1.0/users/{user}"):
            for method, path, scope, handle in (
                ("GET", "", PERSON, self._person),
                ("GET", "/mailFolders", READ, self._folders),
                ("GET", "/mailFolders/{folder}", READ, self._folder),
                ("GET", "/mailFolders/{folder}/messages", READ, self._messages),
                ("GET", "/mailFolders/{folder}/messages/delta", READ, self._delta),
                ("GET", "/messages", READ, self._messages),
                ("GET", "/messages/{id}", READ, self._message),
                ("GET", "/messages/{id}/$value", READ, self._value),
                ("GET", "/mailFolders/{folder}/messages/{id}", READ, self._message),
                ("GET", "/mailFolders/{folder}/messages/{id}/$value", READ, self._value),
                ("POST", "/sendMail", SEND, self.sending.send_mail),
                ("POST", "/messages", WRITE, self.sending.create_draft),
                ("POST", "/mailFolders/{folder}/messages", WRITE, self.sending.create_draft),
                ("DELETE", "/messages/{id}", WRITE, self.sending.delete),
                ("POST", "/messages/{id}/move", WRITE, self._move),
                ("POST", "/messages/{id}/attachments", WRITE, self.sending.attach),
                ("POST", "/messages/{id}/attachments/createUploadSession", WRITE, self.sending.create_upload),
                ("POST", "/messages/{id}/send", SEND, self.sending.send_draft),
            ):
                self.routes.add(method, owner + path, self._signed_in(scope, handle))

    def _person(self, call: Call, mailbox: Mailbox) -> Reply:
        user = self.authority.add_user(mailbox.address)
        person = {
            "@odata.context": f"{call.base}/v1.0/$metadata#users/$entity",
            "id": user.id,
            "displayName": mailbox.address.partition("@")[0].title(),
            "mail": mailbox.address,
            "userPrincipalName": mailbox.address,
        }
        return Reply.json(chosen(person, call.query.get("$select", "")))

    def _folders(self, call: Call, mailbox: Mailbox) -> Reply:
        return Reply.json({"value": [self._folder_facts(mailbox, id_) for id_ in mailbox.folders]})

    def _folder(self, call: Call, mailbox: Mailbox, folder: str) -> Reply:
        return Reply.json(
            chosen(self._folder_facts(mailbox, _existing(mailbox, folder)), call.query.get("$select", ""))
        )

    def _move(self, call: Call, mailbox: Mailbox, id: str) -> Reply:
        message = found(mailbox, id)
        mailbox.move(message, _existing(mailbox, call.json()["destinationId"]))
        return Reply.json(message.resource(immutable=prefers_immutable_ids(call)), 201)

    def _folder_facts(self, mailbox: Mailbox, id_: str) -> dict[str, Any]:
        inside = list(mailbox.within(id_))
        return {
            "id": id_,
            "displayName": mailbox.folders[id_],
            "totalItemCount": len(inside),
            "unreadItemCount": sum(not m.is_read for m in inside),
            "childFolderCount": 0,
        }

    def _messages(self, call: Call, mailbox: Mailbox, folder: str = "") -> Reply:
        found = list(mailbox.within(_existing(mailbox, folder) if folder else None))
        expression = call.query.get("$filter", "")
        same_id = re.fullmatch(r"internetMessageId\s+eq\s+'([^']*)'", expression.strip())
        if same_id:
            found = [m for m in found if m.header("Message-ID") == same_id[1]]
        else:
            fits = received_filter(expression)
            found = [m for m in found if fits(m.received_at)]
        oldest_first = call.query.get("$orderby", "receivedDateTime desc").split()[-1].lower() != "desc"
        found.sort(key=lambda m: (m.received_at, m.number), reverse=not oldest_first)
        skip, size = int(call.query.get("$skip", 0)), page_size(call, usual=10)
        immutable = prefers_immutable_ids(call)
        page = [
            chosen(m.resource(immutable=immutable), call.query.get("$select", "")) for m in found[skip : skip + size]
        ]
        answer: dict[str, Any] = {"@odata.context": f"{call.base}/v1.0/$metadata#Collection(message)", "value": page}
        if skip + size < len(found):
            answer["@odata.nextLink"] = f"{call.base}{call.path}?{urlencode({**call.query, '$skip': skip + size})}"
        return Reply.json(answer)

    def _delta(self, call: Call, mailbox: Mailbox, folder: str) -> Reply:
        return delta(call, mailbox, _existing(mailbox, folder))

    def _message(self, call: Call, mailbox: Mailbox, id: str, folder: str = "") -> Reply:
        resource = found(mailbox, id).resource(immutable=prefers_immutable_ids(call))
        return Reply.json(chosen(resource, call.query.get("$select", "")))

    def _value(self, call: Call, mailbox: Mailbox, id: str, folder: str = "") -> Reply:
        message = found(mailbox, id)
        if not message.converts:
            return failure(500, "ErrorMimeContentConversionFailed", "MIME content conversion failed.")
        return Reply(200, message.raw, {"Content-Type": "text/plain"})

    def _upload(self, call: Call, token: str) -> Reply:
        with self.lock:
            return self.sending.upload(call, token)

    def _admin_count(self, call: Call) -> Reply:
        """GET /_admin/messages?to=ADDRESS: how many there are."""
        with self.lock:
            return Reply.json({"count": len(self.mailbox(call.query["to"]).messages)})

    def _admin_sent(self, call: Call) -> Reply:
        """GET /_admin/sent?from=ADDRESS: what the mailbox has sent, oldest first."""
        with self.lock:
            messages = sent(self.mailbox(call.query["from"]))
            return Reply.json(
                {"messages": [{"id": m.id, "raw": base64.urlsafe_b64encode(m.raw).decode()} for m in messages]}
            )

    def _admin_forget(self, call: Call) -> Reply:
        """POST /_admin/forget?user=ADDRESS: stored cursors mean nothing any more."""
        with self.lock:
            self.mailbox(call.query["user"]).forget_changes()
        return Reply(204)

    def _admin_deliver(self, call: Call) -> Reply:
        """POST /_admin/messages?to=ADDRESS[&folder=junkemail][&when=ISO]: the body is the message."""
        when = datetime.fromisoformat(call.query["when"]) if "when" in call.query else None
        folder = call.query.get("folder", "inbox")
        message = self.deliver(call.query["to"], call.body, folder=folder, when=when)
        return Reply.json({"id": message.immutable_id}, 201)


def _existing(mailbox: Mailbox, folder: str) -> str:
    found = mailbox.folder(folder)
    if found is None:
        raise Refused(failure(404, "ErrorItemNotFound", "The specified folder could not be found in the store."))
    return found


def _client_info(user: User) -> dict[str, str]:
    """What msal makes an account's name of."""
    return {"client_info": base64url_json({"uid": user.id, "utid": TENANT})}
