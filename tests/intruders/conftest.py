"""A victim with one of everything, and strangers who want it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg.types.json import Jsonb

from inboxops.composition import replaying
from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops_lab.testing.mailserver import MailServer
from tests.api.conftest import Api, StandInAirflow, airflow, http_client, keys
from tests.sending.conftest import set_up
from tests.stories.conftest import mail

__all__ = ["airflow", "http_client"]  # fixtures

SECRET = "zebra-7c1e"
"""Stands in whatever the victim has: no answer to a stranger may hold it."""


@dataclass
class Victim:
    """A tenant with one of everything that an id can name."""

    api: Api
    world: World
    ids: dict[str, Any] = field(default_factory=dict)

    def rows(self) -> str:
        """A mark of every row of the tenant but its keys, which note their use: the same as long as nothing of it changed."""
        tables = [
            row["name"]
            for row in self._ask(
                "SELECT c.relname AS name FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
                " WHERE a.attname = 'tenant_id' AND c.relkind = 'r' AND c.relname <> 'api_keys'"
                " AND c.relnamespace = 'public'::regnamespace ORDER BY 1"
            )
        ]
        each = " UNION ALL ".join(
            f"SELECT '{name}' || coalesce(string_agg(t::text, '' ORDER BY t::text), '') AS said FROM {name} t"
            " WHERE tenant_id = %(id)s"
            for name in tables
        )
        (row,) = self._ask(
            f"SELECT md5(string_agg(said, '' ORDER BY said)) AS mark FROM ({each}) every", id=self.api.tenant_id
        )
        return str(row["mark"])

    def share_an_account(self) -> None:
        """Another inbox of the tenant lives on the same consent from now on."""
        one, account = self.ids["inbox_id"], Jsonb({"account_id": f"account-{self.api.tenant_id}"})
        self._ask(
            "UPDATE inboxes SET connection = connection || %(account)s WHERE id = %(id)s RETURNING 1",
            id=one,
            account=account,
        )
        known = self.world.inboxes.get(one)
        self.world.inboxes.add(
            tenant_id=self.api.tenant_id,
            name=f"twin-{uuid.uuid4().hex[:8]}",
            email_address=known.email_address,
            display_name="",
            connection_type=known.connection_type,
            connection=known.connection,
            credentials=self.world.vault.seal({"password": SECRET}),
            first_sync_days=7,
            first_sync_messages=500,
        )

    def _ask(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        with self.world.database.transaction() as t:
            return t.connection.execute(sql.encode(), parameters).fetchall()


@pytest.fixture(scope="session")
def far_numbers(services: Settings) -> None:
    """Ids of every kind from a range of their own: none is by chance another's, or part of a text."""
    with psycopg.connect(services.owner_dsn) as connection:
        names = "SELECT relname FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace ORDER BY 1"
        for number, (name,) in enumerate(connection.execute(names).fetchall(), start=1):
            connection.execute("SELECT setval(%s::regclass, %s)", (name, 700_000_000 + number * 1_000_000))


@pytest.fixture(scope="session")
def owner(services: Settings, far_numbers: None) -> Iterator[World]:
    world = World(services)
    yield world
    world.close()


@pytest.fixture(scope="session")
def victim(owner: World, http_client: TestClient, mail_server: MailServer, airflow: StandInAirflow) -> Iterator[Victim]:
    slug = f"v{uuid.uuid4().hex[:12]}"
    owner.inboxes.add_tenant(slug, f"Victim {SECRET}")
    api = keys(http_client, owner, slug, airflow)
    with set_up(owner, slug, mail_server) as desk:
        ticket, second = (desk.ticket(subject=f"{SECRET} {number}", body=SECRET) for number in (1, 2))
        message = api.post(f"/tickets/{ticket}/replies", {"body_text": SECRET}).json()["message_id"]
        file = api.http.post("/v1/attachments", files={"file": (f"{SECRET}.txt", b"x")}, headers=api.agent).json()["id"]
        correction = api.post("/corrections", {"kind": "merge", "ticket_id": second, "to_ticket_id": ticket}).json()[
            "id"
        ]
        rule = {"conditions": [{"on": "subject", "op": "contains", "values": [SECRET]}], "actions": {"stop": True}}
        name = f"rule-{SECRET}"
        made = api.http.put(f"/v1/mail-rules/{name}", json=rule, headers=api.admin)
        assert made.status_code == 200, made.text
        desk.box.deliver(mail(f"{SECRET} spam", more="X-Spam-Flag: YES"))
        desk.box.run()
        [inbound] = api.get("/inbound").json()["items"]
        replay = api.http.post("/v1/replays", json={"ticket_id": ticket}, headers=api.admin)
        assert replay.status_code == 202, replay.text
        replaying.run(owner, replay.json()["id"])
        ids = {
            "ticket_id": ticket,
            "message_id": message,
            "attachment_id": file,
            "inbox_id": desk.box.inbox_id,
            "inbound_id": inbound["id"],
            "correction_id": correction,
            "replay_id": replay.json()["id"],
            "name": name,
        }
        yield Victim(api, owner, ids)


@pytest.fixture
def stranger(http_client: TestClient, owner: World, airflow: StandInAirflow) -> Callable[[], Api]:
    """Makes tenants that have nothing yet."""

    def make() -> Api:
        slug = f"s{uuid.uuid4().hex[:12]}"
        owner.inboxes.add_tenant(slug, "Stranger Ltd")
        return keys(http_client, owner, slug, airflow)

    return make
