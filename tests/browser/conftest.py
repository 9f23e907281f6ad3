"""An agent in front of the tickets page: a real browser, the API behind a port, a mail server that a customer reads."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from inboxops.composition import access
from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops_lab.testing.mailserver import MailServer
from tests.api.conftest import StandInAirflow
from tests.sending.conftest import Desk
from tests.sending.smtpserver import Submission, Taken
from tests.stories.conftest import connect
from tests.webserver import serving

WITHOUT_CHROMIUM = "needs Chromium, which is not installed (apt-get install chromium, or name one in CHROMIUM)"
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)


def chromium_binary() -> str | None:
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """No longer than a module: while it runs, no other test of this thread can have an event loop."""
    if chromium_binary() is None:
        pytest.skip(WITHOUT_CHROMIUM)
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    browser = playwright.chromium.launch(executable_path=chromium_binary(), args=arguments)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def url(services: Settings) -> Iterator[str]:
    """The API; what it starts in Airflow is started by the tests instead."""
    airflow = StandInAirflow()
    with serving(services.model_copy(update={"airflow_url": airflow.url})) as url:
        yield url
    airflow.stop()


@dataclass
class Agent:
    """Somebody at the page. `calls`: URLs of other servers that the browser wanted something from."""

    page: Page
    url: str
    tenant_id: int
    world: World
    calls: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def log_in(self, name: str = "Ann Agent", role: str = "agent") -> None:
        link = access.login_link(self.world, self.tenant_id, name=name, role=role, minutes=5)
        self.page.goto(self.url + link[link.index("/login") :])
        self.page.locator(".live.live").wait_for(state="attached")

    def row(self, subject: str) -> Any:
        return self.page.locator(".row", has_text=subject)

    def open(self, subject: str) -> None:
        self.row(subject).click()
        self.page.get_by_role("heading", name=subject).wait_for()

    def reply(self, text: str) -> None:
        self.page.get_by_label("Reply", exact=True).last.fill(text)
        self.page.get_by_role("button", name="Send", exact=True).click()
        self.page.locator(".message.outbound", has_text=text).wait_for()

    def newest_outbound(self) -> int:
        return int(self.page.locator(".message.outbound").last.get_attribute("data-id") or "0")


def watched(context: BrowserContext, url: str, world: World, tenant_id: int) -> Agent:
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    agent = Agent(page, url, tenant_id, world)
    context.on("request", lambda asked: None if asked.url.startswith((url, "data:")) else agent.calls.append(asked.url))
    page.on("pageerror", lambda error: agent.complaints.append(str(error)))
    page.on("console", lambda said: agent.complaints.append(said.text) if said.type == "error" else None)
    return agent


@pytest.fixture
def agent(browser: Browser, url: str, world: World, tenant: str) -> Iterator[Agent]:
    context = browser.new_context(viewport={"width": 1360, "height": 860}, locale="en-GB", timezone_id="Europe/Berlin")
    yield watched(context, url, world, world.inboxes.tenant_id(tenant))
    context.close()


@dataclass
class Customer:
    """Who wrote the tickets: answers reach this mailbox."""

    server: MailServer
    user: str
    address: str

    def inbox(self) -> list[bytes]:
        with self.server.client(self.user) as client:
            client.select_folder("INBOX", readonly=True)
            return [fetched[b"BODY[]"] for fetched in client.fetch(client.search(), ["BODY.PEEK[]"]).values()]


@pytest.fixture
def customer(mail_server: MailServer) -> Customer:
    user = f"c{uuid.uuid4().hex[:12]}"
    mail_server.add_user(user, "customer's password")
    return Customer(mail_server, user, f"{user}@customer.example")


@pytest.fixture
def desk(world: World, tenant: str, mail_server: MailServer, customer: Customer) -> Iterator[Desk]:
    """The tenant's inbox; what it sends arrives at the customer's."""
    box = connect(world, tenant, mail_server)

    def carry(taken: Taken) -> None:
        if customer.address in taken.recipients:
            mail_server.append(customer.user, taken.raw)

    submission = Submission(users={box.user: "secret password"}, on_taken=carry)
    desk = Desk(box, submission)
    desk.through(submission.port, smtp_security="plain")
    yield desk
    submission.stop()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where the pictures go: into the documentation when it is named, else away."""
    return Path(os.environ.get("INBOXOPS_PICTURES", str(tmp_path)))
