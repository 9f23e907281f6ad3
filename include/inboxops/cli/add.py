"""inboxops inbox add, add-jmap: a mailbox with a password or a token becomes an inbox"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inboxops.cli.arguments import FirstSyncDays, FirstSyncMessages, one_line
from inboxops.cli.show import say
from inboxops.cli.world import opened
from inboxops.errors import InvalidInput

if TYPE_CHECKING:
    from inboxops.composition.world import World


def register(app: typer.Typer) -> None:
    app.command()(add)
    app.command("add-jmap")(add_jmap)


class Security(StrEnum):
    tls = "tls"
    starttls = "starttls"
    plain = "plain"


class Auth(StrEnum):
    auto = "auto"
    login = "login"
    plain = "plain"
    xoauth2 = "xoauth2"


class JmapAuth(StrEnum):
    basic = "basic"
    bearer = "bearer"


class SmtpAuth(StrEnum):
    auto = "auto"
    login = "login"
    plain = "plain"
    xoauth2 = "xoauth2"
    none = "none"


def add(
    email_address: Annotated[str, typer.Argument(help="The mailbox's address, e.g. support@acme.example.")],
    host: Annotated[str, typer.Option(help="IMAP server, e.g. imap.acme.example.")],
    tenant: Annotated[str, typer.Option(help="The tenant's short name (`inboxops tenant add NAME` makes one).")],
    name: Annotated[str, typer.Option(help="Short name of the inbox; by default made from the address.")] = "",
    display_name: Annotated[str, typer.Option(callback=one_line, help="Name that replies are sent under.")] = "",
    port: Annotated[int | None, typer.Option(help="993 for tls, 143 otherwise.")] = None,
    security: Annotated[Security, typer.Option(help="starttls never falls back to plain text.")] = Security.tls,
    auth: Annotated[Auth, typer.Option(help="How to log in; auto takes what the server offers.")] = Auth.auto,
    username: Annotated[str, typer.Option(help="Log-in name; by default the address.")] = "",
    folder: Annotated[str, typer.Option(help="The folder to read.")] = "INBOX",
    ca_file: Annotated[
        Path | None, typer.Option(help="PEM of the authority that signed the server's certificate.")
    ] = None,
    smtp_host: Annotated[
        str, typer.Option(help="Server that takes outgoing mail; without it the inbox only reads.")
    ] = "",
    smtp_port: Annotated[int | None, typer.Option(help="465 for tls, 587 for starttls, 25 for plain.")] = None,
    smtp_security: Annotated[Security, typer.Option(help="As --security, for outgoing mail.")] = Security.tls,
    smtp_auth: Annotated[
        SmtpAuth, typer.Option(help="How to log in there; none for a relay that asks nothing.")
    ] = SmtpAuth.auto,
    save_sent: Annotated[
        bool, typer.Option(help="Put copies of what is sent into Sent; off where the server does so itself.")
    ] = True,
    first_sync_days: FirstSyncDays = 7,
    first_sync_messages: FirstSyncMessages = 500,
) -> None:
    """Connect an IMAP mailbox: log in, look at the folder, and only then keep it.

    The password (with --auth xoauth2 the access token) is asked for, or read from INBOXOPS_PASSWORD or from stdin.
    """
    connection: dict[str, Any] = {"host": host, "security": security.value, "folder": folder}
    if port is not None:
        connection["port"] = port
    if auth is not Auth.auto:
        connection["auth"] = auth.value
    if ca_file is not None:
        connection["ca_file"] = str(ca_file.absolute())
    if smtp_host:
        connection |= {"smtp_host": smtp_host, "smtp_security": smtp_security.value, "save_sent": save_sent}
        if smtp_port is not None:
            connection["smtp_port"] = smtp_port
        if smtp_auth is not SmtpAuth.auto:
            connection["smtp_auth"] = smtp_auth.value
    kind = "access_token" if auth is Auth.xoauth2 else "password"
    _keep(
        "imap",
        email_address,
        tenant,
        connection,
        kind,
        username=username,
        name=name,
        display_name=display_name,
        first_sync_days=first_sync_days,
        first_sync_messages=first_sync_messages,
    )


def add_jmap(
    email_address: Annotated[str, typer.Argument(help="The mailbox's address, e.g. support@acme.example.")],
    tenant: Annotated[str, typer.Option(help="The tenant's short name (`inboxops tenant add NAME` makes one).")],
    host: Annotated[str, typer.Option(help="Server whose /.well-known/jmap leads on, e.g. api.fastmail.com.")] = "",
    url: Annotated[str, typer.Option(help="The session resource itself, where the host does not lead to it.")] = "",
    name: Annotated[str, typer.Option(help="Short name of the inbox; by default made from the address.")] = "",
    display_name: Annotated[str, typer.Option(callback=one_line, help="Name that replies are sent under.")] = "",
    port: Annotated[int | None, typer.Option(help="443 unless it is given.")] = None,
    auth: Annotated[JmapAuth, typer.Option(help="bearer: an API token, as Fastmail wants.")] = JmapAuth.basic,
    username: Annotated[str, typer.Option(help="Log-in name; by default the address.")] = "",
    folder: Annotated[str, typer.Option(help="The mailbox to read, by its role or its name.")] = "inbox",
    ca_file: Annotated[
        Path | None, typer.Option(help="PEM of the authority that signed the server's certificate.")
    ] = None,
    first_sync_days: FirstSyncDays = 7,
    first_sync_messages: FirstSyncMessages = 500,
) -> None:
    """Connect a mailbox by JMAP (Fastmail, Stalwart, Cyrus, James): log in, look at the mailbox, and only then keep it.

    The password (with --auth bearer the token) is asked for, or read from INBOXOPS_PASSWORD or from stdin.
    """
    if bool(host) == bool(url):
        raise InvalidInput("give one of --host and --url")
    connection: dict[str, Any] = {"url": url} if url else {"host": host}
    connection |= {"auth": auth.value, "folder": folder}
    if port is not None:
        connection["port"] = port
    if ca_file is not None:
        connection["ca_file"] = str(ca_file.absolute())
    kind = "access_token" if auth is JmapAuth.bearer else "password"
    _keep(
        "jmap",
        email_address,
        tenant,
        connection,
        kind,
        username=username,
        name=name,
        display_name=display_name,
        first_sync_days=first_sync_days,
        first_sync_messages=first_sync_messages,
    )


def _keep(
    connection_type: str,
    email_address: str,
    tenant: str,
    connection: dict[str, Any],
    kind: str,
    *,
    username: str,
    **new: Any,
) -> None:
    """Try the mailbox with the password or token that is asked for now, and keep it. kind: what is asked for."""
    from inboxops.composition import connecting
    from inboxops.stories.connect import NewInbox

    with opened() as world:
        tenant_id = world.inboxes.tenant_id(tenant)
        given = password(f"{kind.replace('_', ' ')} of {email_address}")
        wanted = NewInbox(
            email_address=email_address,
            connection_type=connection_type,
            connection=connection,
            secrets={"username": username or email_address, kind: given},
            **new,
        )
        inbox_id, info = connecting.connect(world, tenant_id, wanted)
        inbox = world.inboxes.get(inbox_id)
        say(f"connected {email_address} as {inbox.name}: {info.messages} messages in {info.folder}")
        appear(world, inbox.cell)


def appear(world: World, cell: str) -> None:
    """Have the Airflow of a cell read the list of inboxes now."""
    from inboxops.composition import runs

    now = runs.show_inboxes(world, cell)
    say("Airflow shows it in a moment" if now else "Airflow is away and shows it when it starts")


def password(what: str) -> str:
    """From INBOXOPS_PASSWORD, from stdin when that is no terminal, else asked for. Never from the argument list."""
    given = os.environ.get("INBOXOPS_PASSWORD")
    if given is None:
        given = typer.prompt(what, hide_input=True) if sys.stdin and sys.stdin.isatty() else _line()
    if not given:
        raise InvalidInput(f"no {what} was given", fix="Type it, pipe it in, or set INBOXOPS_PASSWORD")
    return str(given)


def _line() -> str:
    """What is piped in; nothing where standard input was closed."""
    return sys.stdin.readline().rstrip("\r\n") if sys.stdin else ""
