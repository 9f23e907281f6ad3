"""The main states of the page as pictures. `make screenshots` keeps them for the documentation."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from inboxops.composition import certifying, sending
from inboxops.composition.world import World
from inboxops.core.outbound import ReplyRequest
from inboxops.errors import InboxOpsError
from inboxops_local.demo.mails import demonstration
from tests.browser.conftest import Agent, watched
from tests.sending.conftest import Desk


@pytest.fixture
def busy(desk: Desk, world: World) -> Desk:
    """The demonstration mailbox, read, with an answer that was sent, one that failed, and one that is in doubt."""
    for mail in demonstration(datetime.now(UTC)):
        desk.box.server.append(desk.box.user, mail.raw, when=mail.received)
    desk.box.run()
    for subject, text, answer in (
        (
            "Printer prints stripes",
            "Hello Anna,\n\nthe new drum is on its way and arrives on Thursday.\n\nBest regards\nAnn",
            "",
        ),
        ("Refund for order 4471", "Hello Maeve,\n\nthe refund was booked today.", "554 5.7.1 message refused: policy"),
        ("Logo is blurred", "Hello Li,\n\nplease send us the logo as SVG.", ""),
    ):
        ticket = desk.box.query(
            "SELECT id FROM tickets WHERE inbox_id = %s AND subject LIKE %s", desk.box.inbox_id, f"%{subject}%"
        )
        accepted = sending.reply(
            world, desk.tenant_id, int(str(ticket[0][0])), ReplyRequest(text), author="Ann Agent", idempotency_key=None
        )
        desk.submission.answer = answer
        try:
            desk.send(accepted)
        except InboxOpsError:
            assert answer
        desk.submission.answer = ""
        if subject.startswith("Logo"):
            desk.box.query(
                "UPDATE messages SET send_status = 'unknown', send_error = %s WHERE id = %s RETURNING 1",
                "the connection was lost after the last byte", accepted.message_id,
            )  # fmt: skip
    return desk


def test_pictures(agent: Agent, busy: Desk, browser: Browser, pictures: Path) -> None:
    page = agent.page

    def picture(name: str, of: Agent = agent) -> None:
        of.page.wait_for_timeout(250)  # frames that grow to their content, images that are drawn
        file = pictures / f"{name}.png"
        of.page.screenshot(path=file)
        assert file.stat().st_size > 10_000

    agent.log_in()
    agent.row("Printer prints stripes").wait_for()
    agent.open("Printer prints stripes")
    page.locator(".text", has_text="arrives on Thursday").wait_for()
    picture("page-ticket")
    agent.open("Refund for order 4471")
    page.get_by_text("Not sent.").wait_for()
    picture("page-failed")
    agent.open("Logo is blurred")
    page.get_by_text("It may have been sent, or not.").wait_for()
    page.get_by_role("button", name="Details").first.click()
    picture("page-unknown")
    agent.open("Price list?")
    picture("page-html")
    page.get_by_role("link", name="Spam and automatic").click()
    page.get_by_role("button", name="Why").first.click()
    picture("page-aside")
    certifying.certify(agent.world, agent.tenant_id)
    agent.log_in("Ada Admin", role="admin")
    page.get_by_role("link", name="Certificates").click()
    page.get_by_role("button", name="Details of certificate 1").click()
    page.get_by_text("Made", exact=True).wait_for()
    picture("page-certificates")
    agent.log_in()

    dark = watched(
        browser.new_context(viewport={"width": 1360, "height": 860}, color_scheme="dark", locale="en-GB"),
        agent.url, agent.world, agent.tenant_id,
    )  # fmt: skip
    dark.log_in()
    dark.open("Printer prints stripes")
    dark.page.locator(".text", has_text="arrives on Thursday").wait_for()
    picture("page-dark", dark)
    dark.page.context.close()

    phone = watched(
        browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True, has_touch=True),
        agent.url, agent.world, agent.tenant_id,
    )  # fmt: skip
    phone.log_in()
    phone.row("Printer prints stripes").wait_for()
    picture("page-phone-list", phone)
    phone.open("Printer prints stripes")
    phone.page.locator(".text", has_text="arrives on Thursday").wait_for()
    picture("page-phone-ticket", phone)
    phone.page.context.close()
    assert agent.complaints == []


def test_picture_of_the_empty_page(agent: Agent, pictures: Path) -> None:
    agent.log_in()
    agent.page.get_by_role("heading", name="Connect an inbox").wait_for()
    agent.page.screenshot(path=pictures / "page-empty.png")
    agent.page.get_by_role("button", name="Log out").click()
    agent.page.get_by_role("heading", name="InboxOps").wait_for()
    agent.page.screenshot(path=pictures / "page-login.png")
