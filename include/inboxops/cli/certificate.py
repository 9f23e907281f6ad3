"""inboxops certificate ...: that every mail of a day is accounted for, made, shown and verified."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated

import typer

from inboxops.cli.arguments import Tenant
from inboxops.cli.show import Json, Limit, json_lines, listing, say
from inboxops.cli.world import opened

app = typer.Typer(help="Certificates: every mail of a day accounted for, or named.", no_args_is_help=True)


@app.command()
def make(tenant: Tenant, json: Json = False) -> None:
    """Make the next certificate now, as the DAG `certify` does every day. Ends with 1 unless each mail is accounted for."""
    from inboxops.composition import certifying

    with opened() as world:
        done = certifying.certify(world, world.inboxes.tenant_id(tenant))
    if json:
        json_lines([done])
    else:
        say(f"certificate {done.number} of {done.day}: {done.said}")
        if done.unaccounted:
            say(f"`inboxops certificate show --tenant {tenant}` names each and what to do")
    if done.unaccounted or done.skipped:
        raise typer.Exit(1)


@app.command("list")
def list_(tenant: Tenant, limit: Limit = 50, json: Json = False) -> None:
    """Show the certificates and what each says."""
    from inboxops.composition import certifying
    from inboxops.core.certificate import sentence

    with opened() as world:
        made = world.certificates.listed(world.inboxes.tenant_id(tenant), limit=limit + 1)
    rows = [
        {
            "number": one.number,
            "day": one.day.isoformat(),
            "mails": one.mails,
            "unaccounted": sum(one.unaccounted.values()),
            "digest": one.digest,
            "said": sentence(certifying.body(one)),
        }
        for one in made
    ]
    listing("Certificates", {"no": "number", "day": "day", "says": "said"}, rows, limit=limit, json=json)


@app.command()
def show(
    tenant: Tenant,
    day: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The last of this day (UTC).")] = None,
    json: Annotated[bool, typer.Option("--json", help="The very bytes that were signed, and a line end.")] = False,
) -> None:
    """Show the last certificate: what was looked at, and each thing that is not accounted for with what to do."""
    from inboxops.composition import certifying
    from inboxops.core.certificate import sentence

    with opened() as world:
        made = certifying.of_day(world, world.inboxes.tenant_id(tenant), day.date() if day else None)
    if json:
        sys.stdout.write(made.body + "\n")
        return
    body = certifying.body(made)
    say(f"certificate {made.number} of {made.day}: {sentence(body)}")
    say(
        f"  {body['objects']} objects, {body['packs_read']} packs read in full; {body['sent']} messages of ours looked for"
    )
    say(f"  {body['erased']} mails erased; tickets to #{body['last_ticket']}, {body['erased_tickets']} of them erased")
    for one in body["inboxes"]:
        listed = f"not asked: {one['skipped']}" if one["skipped"] else f"{one['listed']} listed by the provider"
        say(f"  {one['inbox']}: {one['since']} to {one['until']}, {listed}")
        if one.get("odd_sizes"):
            say(f"    {one['odd_sizes']} of other sizes than it tells, {one['compared']} of them compared")
        if one.get("sent_unchecked") and not one["skipped"]:
            say(f"    Sent not checked: {one['sent_unchecked']}")
    for one in body["findings"]:
        about = " ".join(filter(None, [one["inbox"], one["key"], f"({one['detail']})" if one["detail"] else ""]))
        say(f"  {'put right' if one['repaired'] else 'OPEN'}  {one['kind']}  {about}")
        if one["to_do"]:
            say(f"        {one['to_do']}")
    if body["findings_more"]:
        say(f"  and {body['findings_more']} more")
    say(f"  SHA-256 {made.digest}, follows {body['previous'] or 'none'}")


@app.command()
def verify(tenant: Tenant, json: Json = False) -> None:
    """Check every certificate's signature and that each follows the one before. Ends with 1 when one does not."""
    from inboxops.composition import certifying

    with opened() as world:
        last, wrong = certifying.verify(world, world.inboxes.tenant_id(tenant))
    if json:
        json_lines([{"last": last, "wrong": wrong}])
    else:
        for one in wrong:
            say(one)
        if not wrong:
            say(f"{last} certificates, each signed and following the one before" if last else "no certificate yet")
    if wrong:
        raise typer.Exit(1)
