"""inboxops inbox ..."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inboxops.cli import push
from inboxops.cli.add import appear, password
from inboxops.cli.arguments import InboxName, OnlyTenant, TenantOfName, Yes, one_line, text_in
from inboxops.cli.show import Json, Limit, listing, say, table
from inboxops.cli.world import opened
from inboxops.core.inbox import without_secrets
from inboxops.core.push import RENEW_WITHIN
from inboxops.errors import InvalidInput

if TYPE_CHECKING:
    from inboxops.core.inbox import Inbox

app = typer.Typer(help="Inboxes: connect, look at, test, stop and wake them.", no_args_is_help=True)


class State(StrEnum):
    connected = "connected"
    paused = "paused"
    disconnected = "disconnected"


@app.command("list")
def list_(
    tenant: OnlyTenant = None,
    state: Annotated[State | None, typer.Option(help="Only these.")] = None,
    trouble: Annotated[bool, typer.Option("--trouble", help="Only those whose last try failed.")] = False,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Show the inboxes and how they stand."""
    with opened(asked_for=tenant) as world:
        inboxes = world.inboxes.all(tenant)[::-1]
    rows = [
        _facts(inbox)
        for inbox in inboxes
        if (state is None or inbox.state == state.value) and (inbox.last_error or not trouble)
    ]
    columns = {
        "name": "name",
        "tenant": "tenant",
        "address": "email_address",
        "type": "connection_type",
        "state": "state",
        "last error": "last_error",
    }
    listing("Inboxes", columns, rows, limit=limit, json=json)
    if not inboxes and not json:
        say("No inbox yet: `inboxops inbox add --help` says how to connect one.")


@app.command()
def show(name: InboxName, tenant: TenantOfName = None) -> None:
    """Show one inbox: settings without secrets, cursor, and what became of its mail."""
    with opened() as world:
        inbox = world.inboxes.named(name, tenant)
        counts = world.inbound.counts(inbox.id)
        channel = world.push.channels([inbox.id])[inbox.id]
    pushed = push.facts(channel) if channel.connection_type in RENEW_WITHIN else {}
    table(f"Inbox {inbox.name}", ["", ""], (_facts(inbox) | pushed).items())
    table("What became of its mail", ["state", "messages"], sorted(counts.items()))


@app.command()
def test(name: InboxName, tenant: TenantOfName = None) -> None:
    """Log in as the inbox would, in and out, and look at its folder; changes nothing."""
    from inboxops.composition import mailboxes

    with opened() as world:
        info = mailboxes.look(world, world.inboxes.named(name, tenant))
    say(f"{info.server} is fine: {info.messages} messages in {info.folder}")


@app.command()
def reconnect(name: InboxName, tenant: TenantOfName = None) -> None:
    """Give a disconnected inbox a new password; it goes on where it stopped."""
    from inboxops.composition import connecting
    from inboxops.oauth.clients import CLIENTS

    with opened() as world:
        inbox = world.inboxes.named(name, tenant)
        if inbox.connection_type in CLIENTS:
            raise InvalidInput(
                f"{inbox.name} has no password",
                fix=f"Use `inboxops inbox connect {inbox.connection_type} --again {name}`",
            )
        kind = "access_token" if inbox.connection.get("auth") in ("xoauth2", "bearer") else "password"
        given = {kind: password(f"new {kind.replace('_', ' ')} of {inbox.email_address}")}
        connecting.reconnect(world, inbox, inbox.connection, given)
        say(f"{inbox.name} is connected again")
        appear(world, inbox.cell)


@app.command("auto-response")
def auto_response(
    name: InboxName,
    tenant: TenantOfName = None,
    on: Annotated[bool | None, typer.Option("--on/--off", help="Answer new tickets by itself, or stop.")] = None,
    template: Annotated[
        Path | None,
        typer.Option(
            help="File with the text: {{ ticket_number }}, org_name, inbox_name, sender_name; HTML with a tag."
        ),
    ] = None,
) -> None:
    """Show or change what a person who opens a ticket is answered at once."""
    with opened() as world:
        inbox = world.inboxes.named(name, tenant)
        body = None if template is None else text_in(template)
        world.inboxes.change(inbox.id, auto_response_enabled=on, auto_response_body=body)
        inbox = world.inboxes.get(inbox.id)
    say(f"{inbox.name} {'answers' if inbox.auto_response_enabled else 'does not answer'} by itself:")
    for line in inbox.auto_response_body.splitlines() or ["(no text yet)"]:
        say(line)


@app.command("set")
def set_(
    name: InboxName,
    tenant: TenantOfName = None,
    display_name: Annotated[str | None, typer.Option(callback=one_line, help="The name that replies are from.")] = None,
    trusted_server: Annotated[
        list[str] | None,
        typer.Option(
            help="Whose Authentication-Results are believed (RFC 8601, 2.5), in place of those before; (none): one that names no"
            " server. Repeatable; '' for those of the mailbox's cloud."
        ),
    ] = None,
    canary_minutes: Annotated[
        int | None, typer.Option(help="Send it a canary so often (docs/canaries.md), 15 to 10080; 0 for none.")
    ] = None,
    canary_from: Annotated[
        str | None, typer.Option(help="The inbox that sends its canaries, of the same tenant; '' for itself.")
    ] = None,
    canary_delete: Annotated[
        bool | None,
        typer.Option(
            "--canary-delete/--canary-keep",
            help="Delete its canaries from the mailbox once they were recognised, or let them stay (which they do).",
        ),
    ] = None,
    spam_header: Annotated[
        list[str] | None,
        typer.Option(
            help="Headers by which your scanner tells spam, in place of those named before. Repeatable; '' for none."
        ),
    ] = None,
) -> None:
    """Change settings of an inbox, all or none. `auto-response`, `marker`, `pause` and `reconnect` have commands of their own."""
    from inboxops.core.canary import check_minutes

    with opened() as world:
        inbox = world.inboxes.named(name, tenant)
        check_minutes(canary_minutes or None)
        from_id = world.inboxes.named(canary_from, inbox.tenant).id if canary_from else None
        world.inboxes.change(
            inbox.id,
            display_name=display_name,
            trusted_authserv_ids=_names(trusted_server),
            spam_headers=_names(spam_header),
        )
        if canary_minutes is not None or canary_from is not None or canary_delete is not None:
            world.canaries.wish(
                inbox.id,
                minutes=inbox.canary_minutes if canary_minutes is None else canary_minutes or None,
                from_id=inbox.canary_from_id if canary_from is None else from_id,
                delete=inbox.canary_delete if canary_delete is None else canary_delete,
            )
        inbox = world.inboxes.get(inbox.id)
    table(f"Inbox {inbox.name}", ["", ""], _facts(inbox).items())


def _names(given: list[str] | None) -> list[str] | None:
    return None if given is None else [one.strip() for one in given if one.strip()]


@app.command()
def marker(
    name: InboxName,
    on: Annotated[bool, typer.Option("--on/--off", help="End replies in a signed [ref:...], or don't.")],
    tenant: TenantOfName = None,
) -> None:
    """Say whether replies end in a signed mark, which finds the ticket where a mail program drops the thread's headers."""
    with opened() as world:
        inbox = world.inboxes.named(name, tenant)
        world.inboxes.change(inbox.id, body_marker=on)
        say(f"{inbox.name}: replies {'end' if on else 'do not end'} in a mark")


@app.command()
def pause(name: InboxName, tenant: TenantOfName = None) -> None:
    """Stop reading an inbox until `resume`."""
    _pause(name, tenant, paused=True)


@app.command()
def resume(name: InboxName, tenant: TenantOfName = None) -> None:
    """Read a paused inbox again, from where it stopped."""
    _pause(name, tenant, paused=False)


@app.command()
def remove(name: InboxName, tenant: TenantOfName = None, yes: Yes = False) -> None:
    """Stop an inbox for good and forget its password, or take its consent back. Its tickets stay."""
    from inboxops.composition import connecting
    from inboxops.oauth.clients import CLIENTS

    with opened() as world:
        inbox = world.inboxes.named(name, tenant)
        if not yes and not typer.confirm(f"Remove {inbox.name} ({inbox.email_address})?"):
            raise typer.Exit(1)
        if inbox.connection_type in CLIENTS:
            connecting.disconnect(world, inbox)
        world.inboxes.remove(inbox.id)
        say(f"{inbox.name} removed")
        appear(world, inbox.cell)


@app.command()
def fetch(
    name: InboxName,
    tenant: TenantOfName = None,
    here: Annotated[
        bool, typer.Option("--here", help="Run the three stages in this process, without Airflow.")
    ] = False,
) -> None:
    """Have an inbox read now: wake its DAG, or run the stages here."""
    from inboxops.composition import intake, runs

    with opened() as world:
        inbox = world.inboxes.named(name, tenant)
        if not here:
            if not inbox.is_live:
                raise InvalidInput(f"{inbox.name} is {inbox.state}", fix="Resume or reconnect it first")
            now = runs.wake(world, inbox.id)
            say(f"{inbox.name} is woken" if now else "Airflow takes no wake-up now: woken once it does")
            return
        fetched = intake.fetch(world, inbox.id)
        persisted = intake.file(world, inbox.id)
    if fetched.skipped:
        say(fetched.skipped)
    counts = {"stored": fetched.stored, "refused": fetched.refused, "tickets opened": persisted.tickets}
    table("Fetched", ["", ""], (counts | persisted.outcomes).items())


@app.command()
def resync(
    name: InboxName,
    since: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The day from which on to compare (UTC).")],
    tenant: TenantOfName = None,
) -> None:
    """Take in what the mailbox holds from a day on and is not here, e.g. because its first sync was bounded."""
    from inboxops.composition import resyncing

    with opened() as world:
        inbox = world.inboxes.named(name, tenant)
        now = resyncing.wish(world, inbox.id, since.replace(tzinfo=UTC))
        said = f"{inbox.name} is compared with its mailbox from {since:%Y-%m-%d} on"
        say(said if now else f"{said} once Airflow is back")


def _pause(name: str, tenant: str | None, *, paused: bool) -> None:
    with opened() as world:
        inbox = world.inboxes.named(name, tenant)
        world.inboxes.pause(inbox.id, paused=paused)
        say(f"{inbox.name} is {'paused' if paused else 'resumed'}")
        appear(world, inbox.cell)


def _facts(inbox: Inbox) -> dict[str, Any]:
    return {
        "id": inbox.id,
        "name": inbox.name,
        "tenant": inbox.tenant,
        "email_address": inbox.email_address,
        "display_name": inbox.display_name,
        "connection_type": inbox.connection_type,
        "connection": without_secrets(inbox.connection),
        "state": inbox.state,
        "connected_at": inbox.connected_at,
        "last_error": inbox.last_error,
        "cursor": inbox.cursor,
        "auto_response": inbox.auto_response_enabled,
        "body_marker": inbox.body_marker,
        "trusted_servers": list(inbox.trusted_servers),
        "canary_minutes": inbox.canary_minutes,
        "canary_from": inbox.canary_from_id,
        "canary_delete": inbox.canary_delete,
        "spam_headers": list(inbox.spam_headers),
        "resync_since": inbox.resync_since,
        "note": inbox.note,
    }
