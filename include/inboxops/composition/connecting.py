"""Mailboxes that come and go: with a password, or with a consent given in a browser."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from inboxops.composition import mailboxes, pushing, runs
from inboxops.composition.world import World
from inboxops.core import connect_link
from inboxops.core.connect_link import ConnectLink
from inboxops.core.inbox import Inbox
from inboxops.errors import InboxOpsError, InvalidInput, OperatorError
from inboxops.oauth.clients import consent_client, settings_of
from inboxops.ports import ConsentClient, MailboxInfo
from inboxops.providers import provider
from inboxops.stories import connect as by_password
from inboxops.stories import consent as story
from inboxops.stories import rehearse as rehearsing
from inboxops.stories.consent import Connected, Disconnected, Started

SIGN_INS = {"gmail": "google", "microsoft": "microsoft"}
"""connection_type -> whose sign-in it is, as in the paths of the API."""

LINK_MINUTES = 60

_WHERE = ("host", "port", "security", "url", "smtp_host", "smtp_port", "smtp_security", "ca_file")
"""What of a connection says who is told its secrets, and who can listen."""

_NAMES = ("username", "smtp_username")


def connect(world: World, tenant_id: int, new: by_password.NewInbox) -> tuple[int, MailboxInfo]:
    """Try a mailbox and keep it as an inbox: (its id, what was seen)."""
    return by_password.connect(
        tenant_id, new, world.inboxes, world.vault.seal, partial(mailboxes.try_connection, world)
    )


def reconnect(world: World, inbox: Inbox, connection: Mapping[str, Any], given: Mapping[str, str]) -> None:
    """Try the connection with the known secrets and what is given of new ones, and keep both when it works.

    Known secrets go to the servers that they were given for and to no other: whoever may change an inbox would else be told its
    password by a server of his own. Raises InvalidInput, naming the secret, where one has to be given again.
    """
    sealed = world.inboxes.credentials(inbox.id)
    leads_elsewhere = any(connection.get(name) != inbox.connection.get(name) for name in _WHERE)
    kept = world.vault.open(sealed) if sealed else {}
    known = {name: value for name, value in kept.items() if name in _NAMES or not leads_elsewhere}
    secrets = {"username": inbox.email_address, **known, **given}
    mailboxes.try_connection(world, inbox.connection_type, inbox.email_address, connection, secrets)
    world.inboxes.reconnect(inbox.id, connection, world.vault.seal(secrets))


def link(
    world: World,
    connection_type: str,
    tenant_id: int,
    *,
    inbox: Inbox | None = None,
    minutes: int = LINK_MINUTES,
    name: str = "",
    display_name: str = "",
    mailbox: str = "",
    shared: bool = False,
    paused: bool = False,
    first_sync_days: int = 7,
    first_sync_messages: int = 500,
) -> str:
    """The URL that whoever owns the mailbox opens in a browser. inbox: connect this one again.

    Raises InvalidInput for a kind of mailbox that is connected in another way, OperatorError without a client.
    """
    client = _client(world, connection_type, inbox)
    if inbox is not None:
        mailbox, shared = inbox.email_address, "mailbox" in inbox.connection
    client.request(_redirect_uri(world, connection_type), mailbox=mailbox, shared=shared)  # says now what is missing
    link = ConnectLink(
        connection_type=connection_type,
        tenant_id=tenant_id,
        expires=int((datetime.now(UTC) + timedelta(minutes=minutes)).timestamp()),
        inbox_id=inbox.id if inbox else 0,
        name=name,
        display_name=display_name,
        mailbox=mailbox,
        shared=shared,
        paused=paused,
        first_sync_days=first_sync_days,
        first_sync_messages=first_sync_messages,
    )
    token = connect_link.sign(link, world.signing_key)
    return f"{_base(world)}/v1/oauth/{SIGN_INS[connection_type]}/start?link={token}"


def start(world: World, sign_in: str, token: str) -> Started:
    """Raises InvalidInput for a link that we did not sign, that has expired, or that is for the other sign-in."""
    now = datetime.now(UTC)
    link = connect_link.read(token, world.signing_key, now=now)
    if link is None or SIGN_INS.get(link.connection_type) != sign_in:
        raise InvalidInput("this connect link is not valid any more", fix="Have a new one made")
    client = _client(world, link.connection_type, _known(world, link))
    return story.start(link, client, world.vault, _redirect_uri(world, link.connection_type), now=now)


def session(world: World, text: str) -> dict[str, str]:
    """What a browser brought back, opened. Raises InvalidInput."""
    return story.opened_session(text, world.vault, now=datetime.now(UTC))


def finish(world: World, sign_in: str, session: Mapping[str, str], answer: Mapping[str, str]) -> Connected:
    """Store the consent and have the inbox read. Raises what `stories.consent.finish` does."""
    link = story.link_of(session)
    if SIGN_INS.get(link.connection_type) != sign_in:
        raise InvalidInput("this answer belongs to another sign-in", fix="Open the connect link again")
    done = story.finish(
        session,
        answer,
        _client(world, link.connection_type, _known(world, link)),
        world.inboxes,
        world.credentials,
        world.vault,
    )
    _appear(world, done.inbox_id)
    with suppress(OperatorError):
        pushing.ask(world, world.inboxes.get(done.inbox_id))
    return done


def disconnect(world: World, inbox: Inbox) -> Disconnected:
    """The push channel ends first, while there are credentials to end it with; if it can't, it dies of age."""
    with suppress(InboxOpsError):
        pushing.stop(world, inbox)
    done = story.disconnect(
        inbox, _client(world, inbox.connection_type, inbox), world.inboxes, world.credentials, world.vault
    )
    _appear(world, inbox.id)
    return done


def _appear(world: World, inbox_id: int) -> None:
    """Airflow learns of it now, if it runs; otherwise when it starts."""
    inbox = world.inboxes.get(inbox_id)
    runs.show_inboxes(world, inbox.cell)
    if inbox.is_live:
        with suppress(OperatorError):
            runs.wake(world, inbox_id)


def rehearse(world: World, inbox_id: int, *, days: int, most: int) -> rehearsing.Rehearsal:
    """What the inbox's last days would become; writes nothing. Raises the provider's errors."""
    inbox = world.inboxes.get(inbox_id)
    return rehearsing.rehearse(
        inbox,
        mailboxes.account(world, inbox),
        provider(inbox.connection_type),
        mailboxes.context(world, inbox),
        world.filing,
        days=days,
        most=most,
    )


def _client(world: World, connection_type: str, inbox: Inbox | None) -> ConsentClient:
    """inbox: the one that is connected again, which may live on servers of its own."""
    return consent_client(connection_type, settings_of(world.settings, inbox.connection if inbox else {}))


def _known(world: World, link: ConnectLink) -> Inbox | None:
    return world.of_tenant(link.tenant_id).inboxes.get(link.inbox_id) if link.inbox_id else None


def _redirect_uri(world: World, connection_type: str) -> str:
    """Exactly what is registered with the provider."""
    return f"{_base(world)}/v1/oauth/{SIGN_INS[connection_type]}/callback"


def _base(world: World) -> str:
    return world.settings.api_url.rstrip("/")
