"""Connect: a person consents in a browser, and the mailbox becomes an inbox, or an inbox is read again from where it stopped.

The browser carries two things: the link (`core.connect_link`), which says for which tenant, and a sealed session, without
which the answer of the provider is worth nothing: it holds the state, the PKCE verifier and the link.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from inboxops.core.connect_link import ConnectLink
from inboxops.core.inbox import Inbox, inbox_name
from inboxops.errors import InboxOpsError, InvalidInput, OperatorError
from inboxops.ports import Consent, ConsentClient, NewInboxes

SESSION_SECONDS = 600
"""How long a person may take on the provider's pages."""


class Seal(Protocol):
    def seal(self, secrets: Mapping[str, str]) -> bytes: ...

    def open(self, sealed: bytes) -> dict[str, str]: ...


class Inboxes(NewInboxes, Protocol):
    """What connecting asks of the inboxes' table."""

    def get(self, inbox_id: int) -> Inbox: ...

    def all(self, tenant: str | None = None) -> list[Inbox]: ...

    def reconnect(self, inbox_id: int, connection: Mapping[str, Any], credentials: bytes) -> None: ...

    def pause(self, inbox_id: int, *, paused: bool) -> None: ...

    def credentials(self, inbox_id: int) -> bytes | None: ...


class Accounts(Protocol):
    """What is known of consents."""

    def inbox_of_account(self, tenant_id: int, connection_type: str, account_id: str, mailbox: str) -> int | None: ...

    def account_is_shared(self, tenant_id: int, inbox_id: int) -> bool: ...

    def forget(self, inbox_id: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Started:
    """Where to send the browser, and the session that it has to bring back."""

    url: str
    session: str


@dataclass(frozen=True, slots=True)
class Connected:
    inbox_id: int
    email_address: str
    again: bool


@dataclass(frozen=True, slots=True)
class Disconnected:
    """revoked: the provider took the consent back. why_not: why it did not, or was not asked."""

    revoked: bool
    why_not: str = ""


def start(link: ConnectLink, client: ConsentClient, seal: Seal, redirect_uri: str, *, now: datetime) -> Started:
    """Raises InvalidInput for a mailbox that can't be connected so, OperatorError when no client is set up."""
    request = client.request(redirect_uri, mailbox=link.mailbox, shared=link.shared)
    session = {
        "link": json.dumps(asdict(link)),
        "state": request.state,
        "redirect_uri": redirect_uri,
        "until": str(now.timestamp() + SESSION_SECONDS),
        "secrets": json.dumps(dict(request.secrets)),
    }
    return Started(request.url, seal.seal(session).decode("ascii"))


def finish(
    session: Mapping[str, str],
    answer: Mapping[str, str],
    client: ConsentClient,
    inboxes: Inboxes,
    accounts: Accounts,
    seal: Seal,
) -> Connected:
    """Redeem the answer that the browser came back with, and store the consent.

    An inbox of the tenant for the same account is connected again and keeps its cursor. Raises InvalidInput when the answer
    is not this session's or for another mailbox, AuthenticationFailed when too little was granted.
    """
    if not hmac.compare_digest(answer.get("state", "").encode(), session["state"].encode()):
        raise InvalidInput("this answer belongs to another browser session", fix="Open the connect link again")
    link = link_of(session)
    consent = client.redeem(
        json.loads(session["secrets"]), answer, session["redirect_uri"], mailbox=link.mailbox, shared=link.shared
    )
    if not link.inbox_id:
        _check_mailbox(link.mailbox, consent)
    sealed = seal.seal(consent.secrets)
    known = link.inbox_id or accounts.inbox_of_account(
        link.tenant_id, link.connection_type, consent.account_id, consent.connection.get("mailbox", "")
    )
    if known:
        inbox = inboxes.get(known)
        _check_account(inbox, link, consent)
        inboxes.reconnect(inbox.id, {**inbox.connection, **consent.connection}, sealed)
        return Connected(inbox.id, inbox.email_address, again=True)
    name = link.name or inbox_name(consent.email_address)
    inbox_id = inboxes.add(
        tenant_id=link.tenant_id,
        name=name,
        email_address=consent.email_address,
        display_name=link.display_name,
        connection_type=link.connection_type,
        connection=consent.connection,
        credentials=sealed,
        first_sync_days=link.first_sync_days,
        first_sync_messages=link.first_sync_messages,
    )
    if inbox_id is None:
        raise InvalidInput(f"there is an inbox {name!r} already", fix="Connect with another --name")
    if link.paused:
        inboxes.pause(inbox_id, paused=True)
    return Connected(inbox_id, consent.email_address, again=False)


def opened_session(text: str, seal: Seal, *, now: datetime) -> dict[str, str]:
    """The session that a browser brought. Raises InvalidInput for none, an old one, or one that we did not seal."""
    try:
        session = seal.open(text.encode("ascii"))
    except (OperatorError, ValueError) as exc:
        raise InvalidInput("there is no connect session in this browser", fix="Open the connect link again") from exc
    if float(session["until"]) < now.timestamp():
        raise InvalidInput("the connect session has expired", fix="Make a new connect link")
    return session


def link_of(session: Mapping[str, str]) -> ConnectLink:
    return ConnectLink(**json.loads(session["link"]))


def disconnect(inbox: Inbox, client: ConsentClient, inboxes: Inboxes, accounts: Accounts, seal: Seal) -> Disconnected:
    """Take the consent back at the provider and forget it here, whatever the provider says. The cursor and the tickets stay.

    A consent that another inbox lives on is not taken back: that would stop the other one.
    """
    sealed = inboxes.credentials(inbox.id)
    if sealed is None:
        return Disconnected(revoked=False, why_not="there was nothing to take back")
    if accounts.account_is_shared(inbox.tenant_id, inbox.id):
        outcome = Disconnected(revoked=False, why_not="another inbox lives on the same consent")
    else:
        outcome = _revoked(client, sealed, seal)
    accounts.forget(inbox.id)
    return outcome


def _revoked(client: ConsentClient, sealed: bytes, seal: Seal) -> Disconnected:
    try:
        revoked = client.revoke(seal.open(sealed))
    except InboxOpsError as exc:
        return Disconnected(revoked=False, why_not=str(exc))
    return Disconnected(
        revoked, "" if revoked else "the provider has no way to: remove the app in the account's settings"
    )


def _check_mailbox(wanted: str, consent: Consent) -> None:
    if wanted and wanted.lower() != consent.email_address.lower():
        raise InvalidInput(
            f"the account that signed in has the mailbox {consent.email_address}, not {wanted}",
            fix=f"Open the link again and sign in as {wanted}",
        )


def _check_account(inbox: Inbox, link: ConnectLink, consent: Consent) -> None:
    """An inbox goes on with the account it was connected with: its cursor means nothing in another one.

    An account keeps its id when its address is changed; a shared mailbox may be opened by another one.
    """
    if link.shared or "account_id" not in inbox.connection:
        is_the_same = inbox.email_address.lower() == consent.email_address.lower()
    else:
        is_the_same = inbox.connection["account_id"] == consent.account_id
    if inbox.tenant_id != link.tenant_id or inbox.connection_type != link.connection_type:
        raise InvalidInput(f"there is no such inbox {link.inbox_id}")
    if not is_the_same:
        raise InvalidInput(
            f"{inbox.name} was connected with another account than the one that signed in now",
            fix=f"Sign in as {inbox.email_address}, or connect the other account as a new inbox",
        )
