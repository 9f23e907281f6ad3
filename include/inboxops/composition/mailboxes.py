"""An inbox opened: the account behind it, with its secrets or its tokens, and its provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.core.looking import Standing, idling
from inboxops.core.model import Cursor, InboxContext
from inboxops.core.reach import Reach
from inboxops.errors import AuthenticationFailed, InvalidInput, OperatorError
from inboxops.oauth.clients import CLIENTS, consent_client, endpoint, settings_of
from inboxops.oauth.tokens import StoredTokens
from inboxops.ports import Account, MailboxInfo
from inboxops.providers import provider, sender
from inboxops.stories import connect as story
from inboxops.stories import trust

if TYPE_CHECKING:
    from inboxops.providers.imap_idle import IdleHub as IdleHub  # the triggerer's alone: no other process loads it


def account(world: World, inbox: Inbox) -> Account:
    """Raises AuthenticationFailed for an inbox without credentials."""
    return opened(world, inbox, world.inboxes.credentials(inbox.id))


def opened(world: World, inbox: Inbox, sealed: bytes | None) -> Account:
    """As `account`, with credentials that were read already."""
    if sealed is None:
        raise AuthenticationFailed(f"inbox {inbox.name} has no credentials", fix="Connect it again")
    plain = Account(
        inbox_id=inbox.id,
        tenant_id=inbox.tenant_id,
        email_address=inbox.email_address,
        connection_type=inbox.connection_type,
        connection=inbox.connection,
        secrets=world.vault.open(sealed),
        reach=_reach(world, inbox.connection),
    )
    return _with_tokens(world, plain) if inbox.connection_type in CLIENTS else plain


def _with_tokens(world: World, account: Account) -> Account:
    """The account of an inbox that lives on a consent: its secrets stay behind the tokens."""
    settings = settings_of(world.settings, account.connection)
    tokens = StoredTokens(
        account.inbox_id,
        account.secrets,
        client=consent_client(account.connection_type, settings),
        store=world.credentials,
        seal=world.vault,
    )
    connection = {**endpoint(account.connection_type, settings), **account.connection}
    return replace(account, connection=connection, secrets={}, tokens=tokens)


def idle_hub(world: World) -> IdleHub:
    """What holds mailboxes in IDLE, as many as the setting allows; `to_hold` says which."""
    from inboxops.providers.imap_idle import IdleHub

    return IdleHub(limit=world.settings.idle_inboxes)


def to_hold(world: World) -> tuple[list[tuple[Account, Cursor]], dict[int, OperatorError]]:
    """The IMAP inboxes to hold in IDLE, with where each was read to; as many as the setting allows. And those whose credentials
    don't open, and why: they are left out.
    """
    found, locked = list[tuple[Account, Cursor]](), dict[int, OperatorError]()
    for row in world.inboxes.to_hold(cell=world.cell, limit=world.settings.idle_inboxes):
        try:
            secrets = world.vault.open(row["credentials_encrypted"])
        except OperatorError as exc:
            locked[row["id"]] = exc
            continue
        account = Account(
            inbox_id=row["id"],
            tenant_id=row["tenant_id"],
            email_address=row["email_address"],
            connection_type=row["connection_type"],
            connection=row["connection"],
            secrets=secrets,
            reach=_reach(world, row["connection"]),
        )
        found.append((account, Cursor(uid_validity=row["imap_uid_validity"], last_uid=row["imap_last_uid"])))
    return found, locked


def idle_state(world: World) -> Standing:
    """Whether something holds mailboxes of our cell in IDLE, and how many."""
    return idling(**world.inboxes.idling(cell=world.cell, limit=world.settings.idle_inboxes))


def _reach(world: World, connection: Mapping[str, Any]) -> Reach | None:
    """Where an inbox's servers may stand: anywhere when the operator named them, else in public."""
    return Reach.of(world.settings.private_hosts) if connection.get("public_only") else None


def try_connection(
    world: World,
    connection_type: str,
    email_address: str,
    connection: Mapping[str, Any],
    secrets: Mapping[str, str],
) -> MailboxInfo:
    """Log in and look, in and out; writes nothing. Raises MailboxUnreachable and the provider's errors.

    Raises InvalidInput for a kind of mailbox that is opened with a consent: there are no secrets to try.
    """
    if connection_type in CLIENTS:
        raise InvalidInput(f"a mailbox of {connection_type} has no password", fix="Its owner connects it in a browser")
    reach = _reach(world, connection)
    tried = Account(0, 0, email_address, connection_type, connection, secrets, reach=reach)
    return story.look(tried, provider(connection_type), sender(connection_type))


def unguarded(world: World) -> list[trust.Unguarded]:
    """Inboxes that answer by themselves and know of no server that says which mail is forged."""
    return trust.unguarded(world.inboxes.all(), world.inbound, world.objects)


def look(world: World, inbox: Inbox) -> MailboxInfo:
    """Log in as the inbox does and look, in and out. Raises what `try_connection` does."""
    return story.look(account(world, inbox), provider(inbox.connection_type), sender(inbox.connection_type))


def context(world: World, inbox: Inbox) -> InboxContext:
    """What reading and judging a mail has to know of its inbox."""
    return InboxContext(
        tenant_id=inbox.tenant_id,
        inbox_id=inbox.id,
        email_address=inbox.email_address,
        own_addresses=world.inboxes.own_addresses(inbox.tenant_id),
        agents=inbox.agents,
        trusted_authserv_ids=frozenset(inbox.trusted_servers),
        spam_headers=inbox.spam_headers,
        signing_key=world.signing_key,
        mail_rules=world.mail_rules.current(inbox.tenant_id),
    )
