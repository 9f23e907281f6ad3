"""The API's connect pages and the stand-ins, with a browser between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from inboxops.composition import connecting, intake
from inboxops.composition.connecting import SIGN_INS
from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.oauth.http import trust
from inboxops.settings import Settings
from inboxops_local.standins.client import settings_for
from inboxops_local.standins.http import Serving
from tests.providers.cloud_kits import GmailServer, GraphServer


@dataclass
class Browser:
    """A person's browser: our API with its cookies on one side, the provider's consent page on the other."""

    api: TestClient
    ca_file: str
    provider: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.provider = httpx.Client(verify=trust(self.ca_file))

    def start(self, link: str) -> httpx.Response:
        return self.api.get(_path(link), follow_redirects=False)

    def consent(self, started: httpx.Response) -> str:
        """The page at the provider, answered: the address that it sends the browser back to."""
        return str(self.provider.get(started.headers["location"]).headers["location"])

    def back(self, address: str) -> httpx.Response:
        return self.api.get(_path(address))

    def connect(self, link: str) -> httpx.Response:
        return self.back(self.consent(self.start(link)))


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


@dataclass
class Stage:
    """One kind of mailbox, an installation that points at its stand-in, and a tenant."""

    kind: str
    server: GmailServer | GraphServer
    world: World
    tenant: str
    address: str
    keep: ExitStack

    @property
    def tenant_id(self) -> int:
        return self.world.inboxes.tenant_id(self.tenant)

    @property
    def sign_in(self) -> str:
        return SIGN_INS[self.kind]

    def browser(self) -> Browser:
        """A new one, without cookies."""
        api = self.keep.enter_context(TestClient(create_app(self.world.settings)))
        return Browser(api, self.server.ca_file)

    def link(self, **about: object) -> str:
        return connecting.link(self.world, self.kind, self.tenant_id, **{"mailbox": self.address, **about})  # type: ignore[arg-type]

    def connected(self) -> Inbox:
        assert self.browser().connect(self.link()).status_code == 200
        return self.inbox()

    def inbox(self) -> Inbox:
        [inbox] = self.world.inboxes.all(self.tenant)
        return inbox

    def deliver(self, raw: bytes) -> None:
        self.server.stand_in.deliver(self.address, raw)

    def subjects(self) -> list[str]:
        with self.world.database.transaction() as t:
            rows = t.connection.execute(
                "SELECT subject FROM tickets t JOIN tenants n ON n.id = t.tenant_id WHERE n.slug = %s ORDER BY 1",
                (self.tenant,),
            )
            return [str(row["subject"]) for row in rows]

    def run(self) -> None:
        inbox_id = self.inbox().id
        intake.fetch(self.world, inbox_id)
        intake.file(self.world, inbox_id)


def pointed_at(settings: Settings, kind: str, serving: Serving) -> Settings:
    names = settings_for("gmail" if kind == "gmail" else "graph", serving.url, serving.ca_file)
    values: dict[str, object] = {name.removeprefix("INBOXOPS_").lower(): value for name, value in names.items()}
    values |= {name: SecretStr(str(value)) for name, value in values.items() if name.endswith("_secret")}
    return settings.model_copy(update=values)


@pytest.fixture(params=["gmail", "microsoft"])
def stage(request: pytest.FixtureRequest, services: Settings, tenant: str) -> Iterator[Stage]:
    server = request.getfixturevalue("gmail_server" if request.param == "gmail" else "graph_server")
    world = World(pointed_at(services, request.param, server.serving))
    address = f"{tenant}@example.org"
    server.stand_in.mailbox(address)
    with ExitStack() as keep:
        yield Stage(request.param, server, world, tenant, address, keep)
    server.stand_in.heal()
    world.close()


def answer_of(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))
