"""Tenants and inboxes: who they are, how they stand, how far they were read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from inboxops.core import template
from inboxops.core.authentication import server_names
from inboxops.core.cells import MAIN
from inboxops.core.inbox import Inbox
from inboxops.core.model import Cursor
from inboxops.db.database import Database, Row, Transaction, jsonb
from inboxops.db.outbox import add_event
from inboxops.errors import InboxOpsError, InvalidInput, NotFound

Asked = tuple[Inbox, bool, bytes | None]
"""What a probe begins with: the inbox, whether mail of it is durable and not yet filed, and its sealed credentials."""


class InboxStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    # -- tenants

    def add_tenant(self, slug: str, name: str, *, cell: str = MAIN) -> int | None:
        """The new tenant's id, or None when the slug is taken. cell: whose Airflow works for it."""
        with self._database.transaction() as t:
            made: int | None = t.value("add_tenant", slug=slug, name=name, cell=cell)
            return made

    def set_agents(self, slug: str, agents: Sequence[str]) -> None:
        """Who the tenant's people are: addresses and whole domains. Raises InvalidInput for an unknown tenant."""
        self._set_tenant("set_agents", slug, agents=sorted({agent.lower() for agent in agents}))

    def set_tenant(self, slug: str, *, name: str | None = None, reopen_days: int | None = None) -> None:
        """Change what is given. Raises InvalidInput for an unknown tenant."""
        self._set_tenant("set_tenant", slug, name=name, reopen_days=reopen_days)

    def _set_tenant(self, statement: str, slug: str, **values: Any) -> None:
        with self._database.transaction() as t:
            if t.value(statement, slug=slug, **values) is None:
                raise InvalidInput(f"there is no tenant {slug!r}", fix="`inboxops tenant list` shows those there are")

    def tenants(self) -> list[Row]:
        with self._database.transaction() as t:
            return t.rows("tenants")

    def tenant_id(self, slug: str) -> int:
        """Raises InvalidInput for a tenant that does not exist."""
        with self._database.transaction() as t:
            found: int | None = t.value("tenant_id", slug=slug)
        if found is None:
            raise InvalidInput(
                f"there is no tenant {slug!r}",
                fix="`inboxops tenant list` shows those there are, `inboxops tenant add NAME` makes one",
            )
        return found

    def tenant_name(self, tenant_id: int) -> str:
        with self._database.transaction(tenant_id=tenant_id) as t:
            return str(t.value("tenant_name", id=tenant_id))

    def tenant_slug(self, tenant_id: int) -> str:
        with self._database.transaction() as t:
            return str(t.value("tenant_slug", id=tenant_id))

    def cell_of(self, tenant_id: int) -> str:
        """Whose Airflow works for the tenant."""
        with self._database.transaction(tenant_id=tenant_id) as t:
            return str(t.value("tenant_cell", id=tenant_id))

    # -- inboxes

    def add(
        self,
        *,
        tenant_id: int,
        name: str,
        email_address: str,
        display_name: str,
        connection_type: str,
        connection: Mapping[str, Any],
        credentials: bytes,
        first_sync_days: int,
        first_sync_messages: int,
    ) -> int | None:
        """The new inbox's id, or None when the tenant has one of that name."""
        with self._database.transaction() as t:
            made: int | None = t.value(
                "add_inbox",
                tenant_id=tenant_id,
                name=name,
                email_address=email_address,
                display_name=display_name,
                connection_type=connection_type,
                connection=jsonb(connection),
                credentials=credentials,
                first_sync_days=first_sync_days,
                first_sync_messages=first_sync_messages,
            )
            return made

    def all(self, tenant: str | None = None) -> list[Inbox]:
        return self._inboxes(tenant=tenant)

    def of_tenant(self, tenant_id: int) -> list[Inbox]:
        return self._inboxes(tenant_id=tenant_id)

    def get(self, inbox_id: int, *, removed: bool = False) -> Inbox:
        """Raises NotFound when there is none, or none any more. removed: one that was removed is found, too."""
        found = self._inboxes(id=inbox_id, removed=removed)
        if not found:
            raise _missing(inbox_id)
        return found[0]

    def to_probe(self, inbox_id: int) -> Asked:
        """What a probe begins with, read in one transaction. One that was removed is found, too. Raises NotFound as `get` does."""
        with self._database.transaction() as t:
            row = t.row("inbox_columns", id=inbox_id, tenant_id=None, tenant=None, removed=True)
            if row is None:
                raise _missing(inbox_id)
            return _inbox(row), bool(t.value("has_work", id=inbox_id)), t.value("credentials", id=inbox_id)

    def named(self, name: str, tenant: str | None = None) -> Inbox:
        """The inbox called `name`, or with that e-mail address. Raises InvalidInput when there is none or more than one."""
        found = [i for i in self._inboxes(tenant=tenant) if name in (i.name, i.email_address, str(i.id))]
        if len(found) == 1:
            return found[0]
        if found:
            tenants = ", ".join(sorted(i.tenant for i in found))
            raise InvalidInput(f"several tenants have an inbox {name!r}: {tenants}", fix="Say which with --tenant")
        if tenant is not None:
            self.tenant_id(tenant)
        known = ", ".join(i.name for i in self._inboxes(tenant=tenant)) or "none yet"
        raise InvalidInput(f"there is no inbox {name!r}", fix=f"Known inboxes: {known}")

    def _inboxes(
        self, *, id: int | None = None, tenant_id: int | None = None, tenant: str | None = None, removed: bool = False
    ) -> list[Inbox]:
        with self._database.transaction() as t:
            rows = t.rows("inbox_columns", id=id, tenant_id=tenant_id, tenant=tenant, removed=removed)
            return list(map(_inbox, rows))

    def credentials(self, inbox_id: int) -> bytes | None:
        with self._database.transaction() as t:
            sealed: bytes | None = t.value("credentials", id=inbox_id)
            return sealed

    def reconnect(self, inbox_id: int, connection: Mapping[str, Any], credentials: bytes) -> None:
        with self._database.transaction() as t:
            row = t.row("reconnect", id=inbox_id, connection=jsonb(connection), credentials=credentials)
            if row is not None and row["was_disconnected"]:
                add_event(t, row["tenant_id"], "inbox.connected", {"inbox_id": inbox_id})

    def change(
        self,
        inbox_id: int,
        *,
        display_name: str | None = None,
        auto_response_enabled: bool | None = None,
        auto_response_body: str | None = None,
        body_marker: bool | None = None,
        trusted_authserv_ids: Sequence[str] | None = None,
        spam_headers: Sequence[str] | None = None,
    ) -> None:
        """Change what is given. Raises InvalidInput for a template with unknown variables, and for what is no server's name."""
        if auto_response_body is not None:
            template.check(auto_response_body)
        with self._database.transaction() as t:
            t.run(
                "patch_inbox",
                id=inbox_id,
                display_name=display_name,
                auto_response_enabled=auto_response_enabled,
                auto_response_body=auto_response_body,
                body_marker=body_marker,
                trusted_authserv_ids=None if trusted_authserv_ids is None else server_names(trusted_authserv_ids),
                spam_headers=None if spam_headers is None else list(spam_headers),
            )

    def pause(self, inbox_id: int, *, paused: bool) -> None:
        with self._database.transaction() as t:
            t.run("pause", id=inbox_id, paused=paused)

    def remove(self, inbox_id: int) -> None:
        """Stops the inbox and forgets its credentials; its tickets stay."""
        with self._database.transaction() as t:
            t.run("remove", id=inbox_id)

    def disconnect(self, inbox: Inbox, error: InboxOpsError) -> bool:
        """Invariant 6: `last_error` set, `connected_at` cleared, one event for the admins. False when that was so before.

        inbox: as it stood when its credentials were read. One that was connected again since then has others, and stays.
        """
        with self._database.transaction() as t:
            tenant_id = t.value("disconnect", id=inbox.id, connected_at=inbox.connected_at, error=str(error))
            if tenant_id is None:
                return False
            add_event(t, tenant_id, "inbox.disconnected", {"inbox_id": inbox.id, "error": str(error)})
            return True

    def note_error(self, inbox_id: int, error: InboxOpsError) -> None:
        with self._database.transaction() as t:
            t.run("note_error", id=inbox_id, error=str(error), kind=error.kind)

    def is_read(self, inbox_id: int) -> None:
        """Looked at just now, and nothing is in the way."""
        with self._database.transaction() as t:
            t.run("is_read", id=inbox_id)

    def resync(self, inbox_id: int, since: datetime) -> None:
        """Have the inbox compared with its mailbox from then on, at its next fetch."""
        with self._database.transaction() as t:
            t.run("resync", id=inbox_id, since=since)

    def resynced(self, inbox_id: int, since: datetime, note: str) -> None:
        """That is done."""
        with self._database.transaction() as t:
            t.run("resynced", id=inbox_id, since=since, note=note)

    def take_fetch_slot(self, inbox_id: int, *, per_hour: int) -> bool:
        """Whether the hourly limit has room for a fetch now; takes the room if so."""
        interval = room_after(per_hour)
        with self._database.transaction() as t:
            return t.value("take_fetch_slot", id=inbox_id, interval=interval) is not None

    def has_work(self, inbox_id: int) -> bool:
        """Whether mail of the inbox is durable and not yet filed, e.g. after a crash, or its mailbox is to be compared."""
        with self._database.transaction() as t:
            return bool(t.value("has_work", id=inbox_id))

    def left_behind(self, *, cell: str, minutes: int) -> list[int]:
        """Inboxes of a cell with mail that no run moved on for so long: a crash left it, or the inbox was disconnected since."""
        with self._database.transaction() as t:
            return [row["inbox_id"] for row in t.rows("inboxes_left_behind", cell=cell, minutes=minutes)]

    def to_hold(self, *, cell: str, limit: int) -> list[Row]:
        """IMAP inboxes of a cell that may be held in IDLE: live, and read once."""
        with self._database.transaction() as t:
            return t.rows("to_hold", cell=cell, limit=limit)

    def note_held(self, inbox_ids: Collection[int], *, cell: str) -> None:
        """Remember which inboxes of a cell are held in IDLE now; all others of it are not."""
        with self._database.transaction() as t:
            t.run("note_held", ids=list(inbox_ids), cell=cell)
            t.run("note_hub", cell=cell)

    def idling(self, *, cell: str, limit: int) -> Row:
        """inboxes: how many `to_hold` names; held: in IDLE now; seconds: since `note_held`, or the first reading."""
        with self._database.transaction() as t:
            [found] = t.rows("idling", cell=cell, limit=limit)
            return found

    def own_addresses(self, tenant_id: int) -> frozenset[str]:
        with self._database.transaction() as t:
            return frozenset(row["lower"] for row in t.rows("own_addresses", tenant_id=tenant_id))


def room_after(per_hour: int) -> timedelta:
    """How long an inbox that used up its hourly limit waits for room: half the limit flows in evenly."""
    return timedelta(hours=1) / max(per_hour / 2, 1)


def move_cursor(t: Transaction, inbox_id: int, old: Cursor, new: Cursor, note: str) -> bool:
    """Compare and set: False when someone else moved it meanwhile."""
    before = {f"old_{name}": value for name, value in asdict(old).items()}
    return t.run("move_cursor", id=inbox_id, note=note, **asdict(new), **before) == 1


def _missing(inbox_id: int) -> NotFound:
    return NotFound(f"there is no inbox {inbox_id}", fix="`inboxops inbox list` shows them")


def _inbox(row: Row) -> Inbox:
    return Inbox(
        id=row["id"],
        tenant_id=row["tenant_id"],
        tenant=row["tenant"],
        name=row["name"],
        email_address=row["email_address"],
        display_name=row["display_name"],
        connection_type=row["connection_type"],
        connection=row["connection"],
        connected_at=row["connected_at"],
        paused_at=row["paused_at"],
        last_error=row["last_error"],
        cursor=Cursor(
            uid_validity=row["imap_uid_validity"],
            last_uid=row["imap_last_uid"],
            history_id=row["gmail_history_id"],
            delta_token=row["graph_delta_token"],
            import_until=row["imap_import_until"],
            last_seen=row["imap_last_seen"],
            went_back=row["imap_went_back"],
        ),
        first_sync_days=row["first_sync_days"],
        first_sync_messages=row["first_sync_messages"],
        spam_headers=tuple(row["spam_headers"]),
        trusted_authserv_ids=frozenset(row["trusted_authserv_ids"]),
        auto_response_enabled=row["auto_response_enabled"],
        auto_response_body=row["auto_response_body"],
        note=row["note"],
        reopen_days=row["reopen_days"],
        tenant_name=row["tenant_name"],
        agents=frozenset(row["agents"]),
        body_marker=row["body_marker"],
        canary_minutes=row["canary_minutes"],
        canary_from_id=row["canary_from_id"],
        resync_since=row["resync_since"],
        canary_delete=row["canary_delete"],
        cell=row["cell"],
        is_removed=row["is_removed"],
    )
