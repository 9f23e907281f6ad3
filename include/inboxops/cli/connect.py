"""inboxops inbox connect, disconnect, rehearse"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from inboxops.cli.arguments import MOST_DAYS, FirstSyncDays, FirstSyncMessages, InboxName, TenantOfName, one_line
from inboxops.cli.show import json_lines, say, table
from inboxops.cli.world import opened
from inboxops.errors import InvalidInput


class Kind(StrEnum):
    gmail = "gmail"
    microsoft = "microsoft"


def register(app: typer.Typer) -> None:
    for command in (connect, disconnect, rehearse):
        app.command()(command)


def connect(
    kind: Annotated[Kind, typer.Argument(help="Whose mailbox it is.")],
    tenant: Annotated[str | None, typer.Option(help="The tenant's short name; a new inbox needs it.")] = None,
    again: Annotated[str, typer.Option(help="Connect this inbox again; it goes on where it stopped.")] = "",
    mailbox: Annotated[str, typer.Option(help="The address that has to sign in, or of the shared mailbox.")] = "",
    shared: Annotated[
        bool, typer.Option("--shared", help="--mailbox is shared; someone who may open it signs in.")
    ] = False,
    name: Annotated[str, typer.Option(help="Short name of the inbox; by default made from the address.")] = "",
    display_name: Annotated[str, typer.Option(callback=one_line, help="Name that replies are sent under.")] = "",
    paused: Annotated[bool, typer.Option("--paused", help="Read nothing yet, so that you can rehearse it.")] = False,
    first_sync_days: FirstSyncDays = 7,
    first_sync_messages: FirstSyncMessages = 500,
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="How long the link is good for.")] = 60,
    browser: Annotated[
        bool | None,
        typer.Option("--browser/--no-browser", help="Open the link here, too; by default where there is a terminal."),
    ] = None,
) -> None:
    """Make the link on which the mailbox's owner gives consent, and open it.

    It works in any browser that reaches this installation's API: send it to whoever owns the mailbox.
    """
    import webbrowser

    from inboxops.composition import connecting

    with opened() as world:
        inbox = world.inboxes.named(again, tenant) if again else None
        if inbox is None and tenant is None:
            raise InvalidInput(
                "a new inbox needs a tenant", fix="Name it with --tenant; `inboxops tenant list` shows them"
            )
        tenant_id = inbox.tenant_id if inbox else world.inboxes.tenant_id(str(tenant))
        link = connecting.link(
            world,
            kind.value,
            tenant_id,
            inbox=inbox,
            minutes=minutes,
            name=name,
            display_name=display_name,
            mailbox=mailbox,
            shared=shared,
            paused=paused,
            first_sync_days=first_sync_days,
            first_sync_messages=first_sync_messages,
        )
    typer.echo(link)
    if browser or (browser is None and sys.stdout and sys.stdout.isatty()):
        webbrowser.open(link)


def disconnect(name: InboxName, tenant: TenantOfName = None) -> None:
    """Take the consent back and forget it. Tickets stay; `connect --again` goes on where the inbox stopped."""
    from inboxops.composition import connecting
    from inboxops.oauth.clients import CLIENTS

    with opened() as world:
        inbox = world.inboxes.named(name, tenant)
        if inbox.connection_type not in CLIENTS:
            raise InvalidInput(
                f"{inbox.name} is connected without a consent",
                fix="`inboxops inbox pause NAME` stops it, `inboxops inbox remove NAME` forgets its password",
            )
        done = connecting.disconnect(world, inbox)
    said = "its consent is taken back" if done.revoked else f"its consent is forgotten, not taken back: {done.why_not}"
    say(f"{inbox.name} is disconnected; {said}")


def rehearse(
    name: InboxName,
    tenant: TenantOfName = None,
    days: Annotated[int, typer.Option(min=0, max=MOST_DAYS, help="How far back to read.")] = 7,
    messages: Annotated[int, typer.Option(min=1, help="At most so many of the newest.")] = 500,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a message.")] = False,
) -> None:
    """Show what the mailbox's last days would have become. Writes nothing, and reads a paused inbox, too."""
    from inboxops.composition import connecting

    with opened() as world:
        done = connecting.rehearse(world, world.inboxes.named(name, tenant).id, days=days, most=messages)
    if json:
        json_lines(done.scenes)
        return
    columns = ["received", "from", "subject", "verdict", "would be", "why"]
    table(
        f"The last {days} days of {name}",
        columns,
        ([s.received_at, s.sender, s.subject, s.verdict, s.outcome, s.reason or s.rule] for s in done.scenes),
    )
    table("Together", ["would be", "messages"], sorted(done.outcomes.items()))
    say("Nothing was written.")
