"""Connect: a mailbox is tried, in and out, and only then kept as an inbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from inboxops.core.compose import wire_address
from inboxops.core.inbox import Inbox, inbox_name, valid_name
from inboxops.errors import Conflict, InvalidInput, MailboxUnreachable, TransientError
from inboxops.ports import Account, MailboxInfo, NewInboxes, Provider, Sender


@dataclass(frozen=True, slots=True)
class NewInbox:
    """What somebody wants connected. name "": made from the address. secrets are never logged."""

    email_address: str
    name: str
    display_name: str
    connection_type: str
    connection: Mapping[str, Any]
    secrets: Mapping[str, str]
    first_sync_days: int
    first_sync_messages: int


class Seats(NewInboxes, Protocol):
    """What connect asks of the database."""

    def of_tenant(self, tenant_id: int) -> list[Inbox]: ...


def connect(
    tenant_id: int,
    new: NewInbox,
    seats: Seats,
    seal: Callable[[Mapping[str, str]], bytes],
    try_: Callable[[str, str, Mapping[str, Any], Mapping[str, str]], MailboxInfo],
) -> tuple[int, MailboxInfo]:
    """(the inbox's id, what was seen). Raises InvalidInput and Conflict before anything is tried, then what `try_` raises."""
    address = wire_address(new.email_address)
    name = new.name or inbox_name(address)
    if not valid_name(name):
        raise InvalidInput(f"{name!r} is no name for an inbox", fix="Use lower-case letters, digits, dots and dashes")
    taken = Conflict(f"there is an inbox {name!r} already", fix="Give this one another name")
    if any(inbox.name == name for inbox in seats.of_tenant(tenant_id)):
        raise taken
    secrets = {"username": address, **new.secrets}
    info = try_(new.connection_type, address, new.connection, secrets)
    inbox_id = seats.add(
        tenant_id=tenant_id,
        name=name,
        email_address=address,
        display_name=new.display_name,
        connection_type=new.connection_type,
        connection=new.connection,
        credentials=seal(secrets),
        first_sync_days=new.first_sync_days,
        first_sync_messages=new.first_sync_messages,
    )
    if inbox_id is None:
        raise taken
    return inbox_id, info


def look(account: Account, provider: Provider, sender: Sender) -> MailboxInfo:
    """Log in and look at the mailbox, and at its way out where it has one of its own; changes nothing.

    Raises MailboxUnreachable when a server does not answer, and the provider's other errors.
    """
    try:
        with provider.open(account) as mailbox:
            info = mailbox.info()
        if account.connection_type != "imap" or account.connection.get("smtp_host"):
            sender.check(account)
    except TransientError as exc:
        raise MailboxUnreachable(str(exc)) from exc
    return info
