"""The demonstration inbox: connected once, before Airflow looks; shown when its mail has become tickets."""

from __future__ import annotations

import time

from rich.console import Console

from inboxops.cli.show import table
from inboxops.core.inbox import Inbox
from inboxops.errors import InboxOpsError, TransientError
from inboxops.settings import Ports
from inboxops.stack.checks import HOST
from inboxops.stack.home import CUSTOMER, SUPPORT, Home, read_env
from inboxops.wiring import World

TENANT, INBOX = "demo", "support"
PATIENCE_SECONDS = 120.0


def connect(world: World, home: Home, ports: Ports) -> Inbox:
    """Tenant and inbox of the demonstration, made on first call; a later one only follows the ports when they have moved."""
    world.inboxes.add_tenant(TENANT, "Demonstration Ltd")
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
        if found.connection != connection:
            world.inboxes.reconnect(found.id, connection, world.vault.seal(secrets))
        return world.inboxes.get(found.id)
    world.try_connection("imap", SUPPORT, connection, secrets)
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


def wait_until_filed(world: World, inbox: Inbox, console: Console) -> None:
    """Wake the inbox's DAG and wait until its mail is filed. Raises TransientError when that takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    woken = False
    with console.status("Airflow reads the demonstration mailbox"):
        while time.monotonic() < deadline:
            if not inbox.cursor.is_start and not world.inboxes.has_work(inbox.id):
                return
            if not woken:
                try:
                    world.airflow.wake(inbox.id)
                    woken = True
                except TransientError:
                    pass  # Airflow has not parsed the DAG yet
            time.sleep(0.2)
            inbox = world.inboxes.get(inbox.id)
    raise TransientError(
        f"the demonstration mailbox was not read within {PATIENCE_SECONDS:.0f} s",
        fix=f"Look at the runs of {inbox.dag_id} in Airflow",
    )


def show(world: World, console: Console) -> None:
    """The tickets, and what became of every other message."""
    columns = ["ticket_number", "subject", "requester_address", "messages", "attachments"]
    rows = world.tickets.listed(tenant=TENANT)
    table(
        "Tickets", ["no", "subject", "from", "msgs", "files"], ([row[c] for c in columns] for row in rows), to=console
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
    """Exit code of `python -m inboxops.demo`."""
    try:
        wait_until_filed(world, connect(world, home, ports), console)
    except InboxOpsError as exc:
        console.print(f"error: {exc}", style="red", markup=False)
        return 1
    finally:
        show(world, console)
    return 0
