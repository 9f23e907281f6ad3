"""The demonstration inboxes: connected once, before Airflow looks; shown when their mail has become tickets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from operator import itemgetter

from rich.console import Console

from inboxops.cli.show import table
from inboxops.composition import access, mailboxes
from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.errors import InboxOpsError, TransientError
from inboxops_local.demo.clouds import born
from inboxops_local.stack.checks import HOST
from inboxops_local.stack.home import CUSTOMER, SUPPORT, Home, read_env
from inboxops_local.stack.ports import Ports
from inboxops_local.standins import demo as standins
from inboxops_local.standins.client import settings_for

TENANT, INBOX = "demo", "support"
PATIENCE_SECONDS = 120.0
LINK_MINUTES = 24 * 60


def connect(world: World, home: Home, ports: Ports) -> list[Inbox]:
    """Tenant and inboxes of the demonstration, made on first call; a later one only follows what has moved since."""
    world.inboxes.add_tenant(TENANT, "Demonstration Ltd", cell=world.cell)
    ca_file = home.standins / "ca.pem"
    servers = {
        "gmail": settings_for("gmail", f"https://localhost:{ports.gmail}", ca_file),
        "microsoft": settings_for("graph", f"https://localhost:{ports.graph}", ca_file),
    }
    moment = datetime.fromtimestamp(born(home.standins), UTC)
    return [_imap(world, home, ports), *standins.connect(world, tenant=TENANT, born=moment, servers=servers)]


def _imap(world: World, home: Home, ports: Ports) -> Inbox:
    tenant_id = world.inboxes.tenant_id(TENANT)
    connection = {
        "host": HOST,
        "port": ports.imap,
        "security": "tls",
        "folder": "INBOX",
        "ca_file": str(home.ca_file),
        "smtp_host": HOST,
        "smtp_port": ports.smtp,
        "smtp_security": "starttls",
    }
    secrets = {"username": SUPPORT, "password": read_env(home.env_file)["STACK_SUPPORT_PASSWORD"]}
    found = next((inbox for inbox in world.inboxes.all(TENANT) if inbox.name == INBOX), None)
    if found is not None:
        kept = world.inboxes.credentials(found.id)
        if found.connection != connection or kept is None or world.vault.open(kept) != secrets:
            world.inboxes.reconnect(found.id, connection, world.vault.seal(secrets))
        return world.inboxes.get(found.id)
    mailboxes.try_connection(world, "imap", SUPPORT, connection, secrets)
    inbox_id = world.inboxes.add(
        tenant_id=tenant_id,
        name=INBOX,
        email_address=SUPPORT,
        display_name="Demonstration Support",
        connection_type="imap",
        connection=connection,
        credentials=world.vault.seal(secrets),
        first_sync_days=8,
        first_sync_messages=500,
    )
    assert inbox_id is not None
    return world.inboxes.get(inbox_id)


def wait_until_filed(world: World, inboxes: Sequence[Inbox], console: Console) -> None:
    """Wake the inboxes' DAGs and wait until their mail is filed. Raises TransientError when that takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    waiting, woken = list(inboxes), set[int]()
    with console.status("Airflow reads the demonstration mailboxes"):
        while waiting and time.monotonic() < deadline:
            now = [world.inboxes.get(inbox.id) for inbox in waiting]
            waiting = [inbox for inbox in now if inbox.cursor.is_start or world.inboxes.has_work(inbox.id)]
            for id_ in {inbox.id for inbox in waiting} - woken:
                with suppress(TransientError):  # Airflow has not parsed the DAG yet
                    world.airflow.wake(id_)
                    woken.add(id_)
            time.sleep(0.2)
    if waiting:
        raise TransientError(
            f"the demonstration was not read within {PATIENCE_SECONDS:.0f} s",
            fix=f"Look at the runs of {', '.join(inbox.dag_id for inbox in waiting)} in Airflow",
        )


def show(world: World, console: Console) -> None:
    """The tickets, and what became of every other message."""
    columns = ["ticket_number", "inbox", "subject", "requester_address", "messages", "attachments"]
    rows = sorted(world.tickets.listed(tenant=TENANT), key=itemgetter("ticket_number"))
    table(
        "Tickets",
        ["no", "inbox", "subject", "from", "msgs", "files"],
        ([row[c] for c in columns] for row in rows),
        to=console,
    )
    aside = world.inbound.listed(
        tenant=TENANT, states=["listed", "conflict", "duplicate", "dropped", "parked", "refused"]
    )
    columns = ["verdict", "subject", "from_address", "state", "reason"]
    titles = ["verdict", "subject", "from", "state", "why"]
    table("What opened no ticket", titles, ([row[c] for c in columns] for row in aside), to=console)
    console.print(
        f"Write to it yourself: user {CUSTOMER}, password in STACK_CUSTOMER_PASSWORD of the folder's inboxops.env.",
        style="dim",
        highlight=False,
    )


def demonstrate(world: World, home: Home, ports: Ports, console: Console) -> int:
    """Exit code of `python -m inboxops_local.demo`."""
    try:
        wait_until_filed(world, connect(world, home, ports), console)
    except InboxOpsError as exc:
        console.print(f"error: {exc}", style="red", markup=False)
        return 1
    finally:
        show(world, console)
        link = access.login_link(
            world, world.inboxes.tenant_id(TENANT), name="Demo Agent", role="admin", minutes=LINK_MINUTES
        )
        console.print(f"Answer them: {link}", highlight=False, soft_wrap=True)
        console.print(
            f"(works once, within a day; `inboxops login-link --tenant {TENANT}` makes another)",
            style="dim",
            highlight=False,
        )
    return 0
