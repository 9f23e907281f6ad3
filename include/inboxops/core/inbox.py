"""The inbox as the stories see it, and the names that everything around derives from its id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from inboxops.core import authentication
from inboxops.core.cells import MAIN
from inboxops.core.model import Cursor

DAG_PREFIX = "inbox"
ASSET_SCHEME = "x-inboxops"
SEND_DAG = "send_message"
REGISTRATION_DAGS = {"gmail": "register_gmail_watch", "microsoft": "create_graph_subscription"}
REPLAY_DAG = "replay_mail"
ROSTER_DAG = "drain_outbox"
"""A DAG that is always there, in the file that makes one of each inbox."""

STARTED = frozenset({SEND_DAG, REPLAY_DAG, ROSTER_DAG, *REGISTRATION_DAGS.values()})
"""The DAGs that the API's account may start: nothing else does it ask Airflow for, but for events of the inboxes' assets."""

POLL_MINUTES = 5
LOOK_RUN_MINUTES = 60
IDLE_INBOXES = 500
"""How often an inbox is polled, how often one that is looked at has a run all the same, and how many IMAP inboxes are held in IDLE,
unless a setting says otherwise. Here, because DAG files read these settings from the environment."""


@dataclass(frozen=True, slots=True)
class Inbox:
    """One connected mailbox of one tenant. Holds no credentials."""

    id: int
    tenant_id: int
    tenant: str
    name: str
    email_address: str
    display_name: str
    connection_type: str
    connection: Mapping[str, Any]
    connected_at: datetime | None
    paused_at: datetime | None
    last_error: str | None
    cursor: Cursor
    first_sync_days: int
    first_sync_messages: int
    spam_headers: tuple[str, ...]
    trusted_authserv_ids: frozenset[str]
    auto_response_enabled: bool
    auto_response_body: str
    note: str
    reopen_days: int
    tenant_name: str = ""
    agents: frozenset[str] = frozenset()  # the tenant's people: addresses and domains, lower-cased
    canary_minutes: int | None = None  # one so often; None: none
    canary_from_id: int | None = None  # the inbox that sends them; None: itself
    canary_delete: bool = False  # from the mailbox, once they were recognised there
    body_marker: bool = True  # replies end in a signed [ref:...]
    resync_since: datetime | None = None  # to be compared with its mailbox from then on, once
    cell: str = MAIN  # whose Airflow works for its tenant
    is_removed: bool = False

    @property
    def dag_id(self) -> str:
        return dag_id(self.id, self.tenant, self.name)

    @property
    def place(self) -> str:
        """The server that is asked for its mail, with the kind of mailbox."""
        host = self.connection.get("host") or urlsplit(str(self.connection.get("url") or "")).hostname or ""
        return f"{self.connection_type} {host}"

    @property
    def is_live(self) -> bool:
        """Whether it is to be read: connected and not paused."""
        return self.connected_at is not None and self.paused_at is None

    def is_read_by(self, cell: str) -> bool:
        """Whether that cell's Airflow is to read it."""
        return self.is_live and self.cell == cell

    @property
    def trusted_servers(self) -> tuple[str, ...]:
        """Whose Authentication-Results count: those that were named, else those of the cloud that the mailbox is in."""
        of_cloud = authentication.of_cloud(self.connection_type, str(self.connection.get("host", "")))
        return tuple(sorted(self.trusted_authserv_ids or of_cloud))

    @property
    def state(self) -> str:
        """One word for a person: connected, paused, disconnected or removed."""
        if self.is_removed:
            return "removed"
        if self.connected_at is None:
            return "disconnected"
        return "paused" if self.paused_at else "connected"


_SECRET = re.compile(r"secret|password|token|key$", re.IGNORECASE)


def without_secrets(connection: Mapping[str, Any]) -> dict[str, Any]:
    """How a connection may be shown to people: credentials are sealed elsewhere, and what else is named like one is cut."""
    return {
        name: without_secrets(value) if isinstance(value, Mapping) else "…" if _SECRET.search(name) else value
        for name, value in connection.items()
    }


def dag_id(inbox_id: int, tenant: str, name: str) -> str:
    """Stable (tenant slug and inbox name never change) and readable; the id in front makes it unique and parseable."""
    return (
        f"{DAG_PREFIX}_{inbox_id}__{re.sub(r'[^A-Za-z0-9_.-]', '-', tenant)}__{re.sub(r'[^A-Za-z0-9_.-]', '-', name)}"
    )


def inbox_id_of(dag: str) -> int:
    """The id in a `dag_id`. Raises ValueError for any other name."""
    match = re.match(rf"{DAG_PREFIX}_(\d+)__", dag)
    if match is None:
        raise ValueError(f"{dag!r} is not the DAG of an inbox")
    return int(match.group(1))


def asset_name(inbox_id: int) -> str:
    """The Airflow asset whose events wake the inbox."""
    return f"{DAG_PREFIX}_{inbox_id}"


def asset_uri(inbox_id: int) -> str:
    return f"{ASSET_SCHEME}://inbox/{inbox_id}"


def valid_slug(text: str) -> bool:
    """Whether a tenant can be called so; the schema checks the same."""
    return re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", text) is not None


def valid_name(text: str) -> bool:
    """Whether an inbox can be called so; the schema checks the same."""
    return re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", text) is not None


def inbox_name(email_address: str) -> str:
    """A name made from an address: `Support@Acme.example` becomes `support-acme.example`."""
    return re.sub(r"[^a-z0-9._-]+", "-", email_address.lower()).strip("-._")[:63]
