"""What Airflow's UI shows of the life of a mail, as a picture. `make screenshots` keeps it for the documentation."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from inboxops.composition import runs
from inboxops.composition.world import World
from inboxops_local.demo.mails import demonstration
from tests.browser.conftest import browser, pictures, playwright
from tests.e2e.conftest import eventually
from tests.e2e.test_console import Console, framed, operator, visit
from tests.e2e.test_inbox_dags import mailbox
from tests.stories.conftest import Mailbox

__all__ = ["browser", "mailbox", "operator", "pictures", "playwright"]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
SUBJECT = "%Printer prints stripes%"


def test_picture_of_the_life_of_a_mail(
    operator: Console, mailbox: Mailbox, world: World, browser: Browser, pictures: Path
) -> None:
    for mail in demonstration(datetime.now(UTC)):
        mailbox.server.append(mailbox.user, mail.raw, when=mail.received)
    runs.wake(world, mailbox.inbox_id)

    def filed() -> object:
        statement = (
            "SELECT id FROM inbound WHERE inbox_id = %s AND subject LIKE %s AND state = 'persisted' ORDER BY id LIMIT 1"
        )
        return next((row[0] for row in mailbox.query(statement, mailbox.inbox_id, SUBJECT)), None)

    number = eventually("the mail is a ticket", filed)
    with visit(operator, browser) as page:
        page.goto(f"{operator.url}/plugin/trace")
        frame = framed(page, "/inboxops/trace")
        frame.get_by_label("Look for").fill(f"mail {number}")
        frame.get_by_label("Look for").press("Enter")
        expect(frame.get_by_role("main")).to_contain_text("Printer prints stripes")
        page.wait_for_timeout(500)  # what Airflow draws around it
        file = pictures / "console-trace.png"
        page.screenshot(path=file)
        assert file.stat().st_size > 10_000
