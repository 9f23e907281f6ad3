"""Admins look through their certificates at the page: what each says, what was missing, by keys alone."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from inboxops.composition import certifying
from inboxops.composition.world import World
from tests.browser.conftest import Agent, watched
from tests.sending.conftest import Desk


def violations(agent: Agent) -> list[str]:
    agent.page.wait_for_timeout(200)  # colours change over a tenth of a second
    return [v["id"] for v in Axe().run(agent.page).response["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_admin_sees_what_each_says_and_what_was_missing(
    scheme: str, browser: Browser, url: str, world: World, desk: Desk
) -> None:
    desk.ticket()
    certifying.certify(world, desk.tenant_id)
    with world.database.transaction() as t:
        t.connection.execute(b"UPDATE tenants SET last_ticket_number = 2 WHERE id = %s", (desk.tenant_id,))
    certifying.certify(world, desk.tenant_id)
    context = browser.new_context(viewport={"width": 1360, "height": 860}, color_scheme=scheme)  # type: ignore[arg-type]
    agent = watched(context, url, world, desk.tenant_id)
    agent.log_in("Ada Admin", role="admin")
    page = agent.page
    page.get_by_role("link", name="Certificates").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Certificates")).to_be_visible()
    rows = page.locator(".certificates .aside-row")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("1 not accounted for")
    page.get_by_role("button", name="Details of certificate 2").focus()
    page.keyboard.press("Enter")
    expect(rows.first).to_contain_text("number missing: #2")
    expect(rows.first).to_contain_text("restore it from a backup")
    expect(rows.first).to_contain_text("support")
    assert page.title() == "Certificates · InboxOps"
    assert violations(agent) == []
    page.reload()
    expect(rows).to_have_count(2)
    assert (agent.calls, agent.complaints) == ([], [])
    context.close()


def test_an_agent_has_no_such_page_and_a_tenant_without_one_is_told_when(agent: Agent) -> None:
    agent.log_in()
    expect(agent.page.get_by_role("link", name="Certificates")).to_have_count(0)
    agent.log_in("Ada Admin", role="admin")
    agent.page.get_by_role("link", name="Certificates").click()
    expect(agent.page.get_by_role("heading", name="None yet")).to_be_visible()
    assert violations(agent) == []
