"""Inboxes: connect, look at, change, test, stop and wake them. Changing needs an admin's key."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, time
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Request

from api import paging
from api.access import Admin, Agent, Visit
from api.limits import Looks
from api.models import Canary, Connection, Id, Inbox, InboxPatch, InboxRequest, JmapConnection, Resync, Tested, Woken
from api.paging import Cursor, Limit, Page
from inboxops.composition import connecting, mailboxes, pushing, resyncing, runs
from inboxops.core import canary, template
from inboxops.core import inbox as core
from inboxops.core.authentication import server_names
from inboxops.errors import Conflict, InboxOpsError, InvalidInput
from inboxops.stories.connect import NewInbox

router = APIRouter(prefix="/v1/inboxes", tags=["inboxes"])


def _looks(request: Request) -> Looks:
    looks: Looks = request.app.state.looks
    return looks


LooksAtOnce = Annotated[Looks, Depends(_looks)]


@router.get("")
def list_inboxes(visit: Agent, limit: Limit = 50, cursor: Cursor = None) -> Page[Inbox]:
    """The tenant's inboxes in the order they were connected."""
    after = paging.decode(cursor, int)[0] if cursor is not None else 0
    rows = [inbox for inbox in visit.world.inboxes.all() if inbox.id > after]
    next_ = paging.encode(rows[limit - 1].id) if len(rows) > limit else None
    return Page(items=list(map(_shown, rows[:limit])), next=next_)


@router.post("", status_code=201)
def connect(visit: Admin, looks: LooksAtOnce, background: BackgroundTasks, wanted: InboxRequest) -> Inbox:
    """Connect a mailbox by IMAP or JMAP: log in, look at the folder, try the way out, and only then keep it."""
    new = NewInbox(
        email_address=wanted.email_address,
        name=wanted.name,
        display_name=wanted.display_name,
        connection_type=wanted.connection.type,
        connection=_connection(wanted.connection),
        secrets=wanted.credentials.model_dump(exclude_none=True),
        first_sync_days=wanted.first_sync_days,
        first_sync_messages=wanted.first_sync_messages,
    )
    with looks.one(visit.tenant_id):
        inbox_id, _ = connecting.connect(visit.world, visit.tenant_id, new)
    background.add_task(_show, visit)
    return _shown(visit.world.inboxes.get(inbox_id))


def _show(visit: Visit) -> None:
    """Have the Airflow that works for the tenant read the list of inboxes."""
    runs.show_inboxes(visit.world, visit.world.inboxes.cell_of(visit.tenant_id))


@router.get("/{inbox_id}")
def read_inbox(visit: Agent, inbox_id: Id) -> Inbox:
    """One inbox and how it stands."""
    return _shown(visit.world.inboxes.get(inbox_id))


@router.patch("/{inbox_id}")
def change_inbox(
    visit: Admin, looks: LooksAtOnce, background: BackgroundTasks, inbox_id: Id, change: InboxPatch
) -> Inbox:
    """Change what is given, all or nothing. New credentials are tried before they are kept, and connect the inbox again."""
    world, inbox = visit.world, visit.world.inboxes.get(inbox_id)
    _check(visit, change)
    if change.connection is not None or change.credentials is not None:
        if change.connection and change.connection.type != inbox.connection_type:
            raise InvalidInput(
                f"the inbox is of type {inbox.connection_type}", fix="Connect the mailbox as another inbox"
            )
        connection = _connection(change.connection) if change.connection else inbox.connection
        given = change.credentials.model_dump(exclude_none=True) if change.credentials else {}
        with looks.one(visit.tenant_id):
            connecting.reconnect(world, inbox, connection, given)
    world.inboxes.change(
        inbox_id,
        display_name=change.display_name,
        auto_response_enabled=change.auto_response_enabled,
        auto_response_body=change.auto_response_body,
        trusted_authserv_ids=change.trusted_servers,
    )
    if {change.canary_minutes, change.canary_from_id, change.canary_delete} != {None}:
        minutes = inbox.canary_minutes if change.canary_minutes is None else change.canary_minutes or None
        from_id = inbox.canary_from_id if change.canary_from_id is None else change.canary_from_id or None
        delete = inbox.canary_delete if change.canary_delete is None else change.canary_delete
        world.canaries.wish(inbox_id, minutes=minutes, from_id=from_id, delete=delete)
    if change.paused is not None:
        world.inboxes.pause(inbox_id, paused=change.paused)
    background.add_task(_show, visit)
    return _shown(world.inboxes.get(inbox_id))


def _check(visit: Visit, change: InboxPatch) -> None:
    """Raises InvalidInput for what is refused, before anything of the rest is changed."""
    template.check(change.auto_response_body or "")
    server_names(change.trusted_servers or ())
    canary.check_minutes(change.canary_minutes or None)
    if change.canary_from_id:
        visit.world.inboxes.get(change.canary_from_id)


@router.delete("/{inbox_id}", status_code=204)
def remove_inbox(visit: Admin, background: BackgroundTasks, inbox_id: Id) -> None:
    """Stop an inbox for good and forget its credentials. Its tickets stay."""
    inbox = visit.world.inboxes.get(inbox_id)
    with suppress(InboxOpsError):  # a push channel that can't be ended dies of age
        pushing.stop(visit.world, inbox)
    visit.world.inboxes.remove(inbox_id)
    background.add_task(_show, visit)


@router.post("/{inbox_id}/test")
def test_inbox(visit: Admin, looks: LooksAtOnce, inbox_id: Id) -> Tested:
    """Log in as the inbox would, in and out; changes nothing."""
    inbox = visit.world.inboxes.get(inbox_id)
    with looks.one(visit.tenant_id):
        info = mailboxes.look(visit.world, inbox)
    return Tested(server=info.server, folder=info.folder, messages=info.messages)


@router.post("/{inbox_id}/fetch", status_code=202)
def fetch_inbox(visit: Agent, inbox_id: Id) -> Woken:
    """Have an inbox read now."""
    inbox = visit.world.inboxes.get(inbox_id)
    if not inbox.is_live:
        raise Conflict(f"the inbox is {inbox.state}", fix="Resume or reconnect it first")
    return Woken(inbox_id=inbox_id, woken=runs.wake(visit.world, inbox_id))


@router.post("/{inbox_id}/resync", status_code=202)
def resync_inbox(visit: Admin, inbox_id: Id, wanted: Resync) -> Woken:
    """Take in what the mailbox holds from a day on and is not here. Nothing of it is answered automatically."""
    woken = resyncing.wish(visit.world, inbox_id, datetime.combine(wanted.since, time(), UTC))
    return Woken(inbox_id=inbox_id, woken=woken)


@router.get("/{inbox_id}/canaries")
def list_canaries(visit: Agent, inbox_id: Id, limit: Limit = 50) -> list[Canary]:
    """The inbox's last canaries and whether they came back, the newest first."""
    inbox = visit.world.inboxes.get(inbox_id)
    rows = visit.world.canaries.listed(inbox_id=inbox.id, limit=limit)
    return [Canary.model_validate({name: row[name] for name in Canary.model_fields}) for row in rows]


def _connection(wanted: Connection) -> dict[str, object]:
    """As it is kept. What a tenant names has to be a public host, now and at every connection."""
    given = wanted.model_dump(exclude_none=True, exclude={"type"}) | {"public_only": True}
    if isinstance(wanted, JmapConnection) or wanted.smtp_host:
        return given
    return {key: value for key, value in given.items() if key != "smtp_security"}


def _shown(inbox: core.Inbox) -> Inbox:
    fields = Inbox.model_fields.keys() - {"connection"}
    return Inbox.model_validate(
        {name: getattr(inbox, name) for name in fields} | {"connection": core.without_secrets(inbox.connection)}
    )
