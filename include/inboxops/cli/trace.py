"""inboxops trace: the whole life of a mail."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from inboxops.cli.arguments import OnlyTenant
from inboxops.cli.show import Json, json_lines, say
from inboxops.cli.world import opened


def register(app: typer.Typer) -> None:
    app.command()(trace)


def trace(
    what: Annotated[
        str,
        typer.Argument(
            help="A Message-ID, a ticket (#12), a mail's number (mail 481), a canary (canary 7), or an address."
        ),
    ],
    tenant: OnlyTenant = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many mails, the newest.")] = 20,
    json: Json = False,
) -> None:
    """Tell the life of a mail: provider, raw bytes, verdict, ticket, events, sends, bounces, corrections, replays, canaries."""
    from inboxops.core.trace import steps, unknown, wanted

    asked = wanted(what)
    with opened() as world:
        tenant_id = world.inboxes.tenant_id(tenant) if tenant else None
        found = world.traces.find(asked, tenant_id=tenant_id, limit=limit)
    if not found:
        raise unknown(what)
    if json:
        json_lines(_record(one.mail, steps(one)) for one in found)
        return
    for one in found:
        mail = one.mail
        say(f"{mail['message_id_header'] or '(no id)'}  {mail['from_address'] or ''}  {mail['subject'] or ''}")
        say(f"  inbox {mail['inbox']} of {mail['tenant']}")
        for step in steps(one):
            say(f"  {step.at:%Y-%m-%d %H:%M:%S}  {step.where:<9} {step.what}")


def _record(mail: Any, told: Any) -> dict[str, Any]:
    names = ("message_id_header", "inbound_id", "message_id", "ticket_number", "inbox", "tenant", "state")
    return {**{name: mail[name] for name in names}, "steps": told}
