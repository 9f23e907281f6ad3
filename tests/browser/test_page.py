"""What an agent does at the page, and what happens there by itself."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Route, expect
from pydantic import SecretStr

from inboxops.composition import access, correcting, intake, mail_rules, sending
from inboxops.composition.world import World
from inboxops.core.corrections import Kind, Request
from inboxops.core.mail_rules.wire import read_rule
from inboxops.core.mime import parse
from inboxops.errors import AuthenticationFailed, InboxOpsError
from inboxops.settings import Settings
from inboxops_lab.testing.processes import free_ports
from tests.browser.conftest import PATIENCE_MS, Agent, Customer, watched
from tests.events.conftest import Valkey
from tests.events.conftest import valkey as valkey
from tests.sending.conftest import Desk
from tests.stories.conftest import mail
from tests.webserver import serving


def test_an_empty_page_says_how_to_connect_an_inbox(agent: Agent) -> None:
    agent.log_in()
    expect(agent.page.get_by_role("heading", name="Connect an inbox")).to_be_visible()
    expect(agent.page.get_by_text("inboxops inbox add", exact=False).first).to_be_visible()
    assert (agent.calls, agent.complaints) == ([], [])


def test_a_mail_that_arrives_appears_without_reload(agent: Agent, desk: Desk) -> None:
    agent.log_in()
    expect(agent.page.get_by_role("heading", name="All done")).to_be_visible()
    desk.ticket(subject="It came by itself", sender="Zoë Kraft <zoe@kunde.example>", id="first")
    expect(agent.row("It came by itself")).to_contain_text("Zoë Kraft")
    agent.open("It came by itself")
    desk.ticket(subject="Re: It came by itself", answers="first", body="And one thing more.")
    expect(agent.page.locator(".message")).to_have_count(2)
    expect(agent.page.locator(".message").last).to_contain_text("And one thing more.")
    assert agent.complaints == []


def test_a_reply_reaches_the_customers_mailbox(agent: Agent, desk: Desk, customer: Customer) -> None:
    desk.ticket(subject="Where is my parcel?", sender=f"Carl Customer <{customer.address}>", id="parcel")
    agent.log_in("Ann Agent")
    agent.open("Where is my parcel?")
    agent.reply("It arrives today.\n\nAnn")
    expect(agent.page.get_by_text("Waits to be sent")).to_be_visible()
    sending.send(desk.world, agent.newest_outbound(), 0)
    expect(agent.page.locator(".sent-state.sent")).to_be_visible()
    (raw,) = customer.inbox()
    received = parse(raw, received_at=None, trusted_authserv_ids=frozenset())
    assert (received.subject, received.in_reply_to) == ("Re: Where is my parcel? [#1]", ("parcel@customer.example",))
    assert received.text.startswith("It arrives today.\n\nAnn")


def test_a_reply_that_failed_is_tried_again(agent: Agent, desk: Desk, customer: Customer) -> None:
    desk.ticket(subject="Refund please", sender=customer.address)
    agent.log_in()
    agent.open("Refund please")
    agent.reply("It is booked.")
    message = agent.newest_outbound()
    desk.submission.answer = "554 5.7.1 refused by policy"
    with pytest.raises(InboxOpsError, match="554"):
        sending.send(desk.world, message, 0)
    expect(agent.page.locator(".message .notice.bad")).to_contain_text("refused by policy")
    expect(agent.row("Refund please")).to_contain_text("Not sent")
    desk.submission.answer = ""
    agent.page.get_by_role("button", name="Try again").click()
    expect(agent.page.get_by_text("Waits to be sent")).to_be_visible()
    sending.send(desk.world, message, 1)
    expect(agent.page.locator(".sent-state.sent")).to_be_visible()
    assert len(customer.inbox()) == 1


def test_another_try_that_did_not_get_through_can_be_asked_for_once_more(agent: Agent, desk: Desk) -> None:
    desk.ticket(subject="Bad line")
    agent.log_in()
    agent.open("Bad line")
    agent.reply("It is booked.")
    desk.submission.answer = "554 5.7.1 refused by policy"
    with pytest.raises(InboxOpsError, match="554"):
        sending.send(desk.world, agent.newest_outbound(), 0)
    agent.page.route("**/retry", lambda route: route.abort())
    agent.page.get_by_role("button", name="Try again").click()
    expect(agent.page.get_by_text("The server can’t be reached.")).to_be_visible()
    agent.page.unroute_all()
    agent.page.get_by_role("button", name="Try again").click()
    expect(agent.page.get_by_text("Waits to be sent")).to_be_visible()


def test_what_is_unknown_is_explained_and_sent_again_only_when_asked(
    agent: Agent, desk: Desk, customer: Customer
) -> None:
    ticket = desk.ticket(subject="Did you get it?", sender=customer.address)
    accepted = desk.reply(ticket)
    desk.box.query("UPDATE messages SET send_status = 'unknown' WHERE id = %s RETURNING 1", accepted.message_id)
    agent.log_in()
    agent.open("Did you get it?")
    expect(agent.page.get_by_text("It may have been sent, or not.")).to_be_visible()
    assert customer.inbox() == []
    agent.page.get_by_role("button", name="Send again").click()
    expect(agent.page.get_by_text("Waits to be sent")).to_be_visible()


def test_a_bounce_stands_at_the_message_that_it_returned(agent: Agent, desk: Desk) -> None:
    ticket = desk.ticket(subject="Typo in my address", sender="ann@custmer.example")
    accepted = desk.reply(ticket)
    desk.send(accepted)
    agent.log_in()
    agent.open("Typo in my address")
    report = "\r\n".join(
        [
            "--b", "Content-Type: message/delivery-status", "", "Reporting-MTA: dns; mx.example", "",
            "Final-Recipient: rfc822; ann@custmer.example", "Action: failed", "Status: 5.1.2",
            "Diagnostic-Code: smtp; 550 no such domain", "--b", "Content-Type: text/rfc822-headers", "",
            f"Message-ID: <{accepted.message_id_header}>", "--b--",
        ]
    )  # fmt: skip
    kind = 'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary="b"'
    desk.box.deliver(mail("Undelivered", sender="MAILER-DAEMON@mx.example", more=kind, body=report))
    desk.box.run()
    expect(agent.page.locator(".message.outbound .notice.bad")).to_contain_text("550 no such domain")
    expect(agent.row("Typo in my address")).to_contain_text("Bounced")


def test_files_go_up_with_a_reply_and_come_down_from_a_mail(
    agent: Agent, desk: Desk, customer: Customer, tmp_path: Path
) -> None:
    kind = 'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"'
    body = (
        "--b\r\nContent-Type: text/plain\r\n\r\nSee the list.\r\n--b\r\nContent-Type: text/csv\r\n"
        'Content-Disposition: attachment; filename="list.csv"\r\n\r\na,b\r\n1,2\r\n--b--'
    )
    desk.ticket(subject="Our list", sender=customer.address, more=kind, body=body)
    agent.log_in()
    agent.open("Our list")
    with agent.page.expect_download() as down:
        agent.page.get_by_role("link", name="list.csv").click()
    assert down.value.suggested_filename == "list.csv"
    assert Path(down.value.path()).read_bytes().replace(b"\r\n", b"\n").strip() == b"a,b\n1,2"

    content = b"\x00\x01 not a text " * 150_000  # 2 MB
    file = tmp_path / "Prüfbericht.bin"
    file.write_bytes(content)
    agent.page.locator(".composer input[type=file]").set_input_files(file)
    expect(agent.page.locator(".uploads .uploaded")).to_be_visible()
    agent.reply("Here is ours.")
    sending.send(desk.world, agent.newest_outbound(), 0)
    (raw,) = customer.inbox()
    (sent,) = parse(raw, received_at=None, trusted_authserv_ids=frozenset()).attachments
    assert (sent.file_name, hashlib.sha256(sent.content).hexdigest()) == (
        "Prüfbericht.bin",
        hashlib.sha256(content).hexdigest(),
    )
    expect(agent.page.locator(".message.outbound").get_by_role("link", name="Prüfbericht.bin")).to_be_visible()


def test_a_copy_goes_to_whom_the_agent_names(agent: Agent, desk: Desk, customer: Customer) -> None:
    desk.ticket(subject="Copy the depot", sender=customer.address)
    agent.log_in()
    agent.open("Copy the depot")
    agent.page.get_by_role("button", name="Cc").click()
    agent.page.get_by_label("Cc", exact=True).last.fill("depot@example.com; not an address")
    agent.page.get_by_label("Reply", exact=True).last.fill("On its way.")
    agent.page.get_by_role("button", name="Send", exact=True).click()
    expect(agent.page.locator(".composer .error")).to_contain_text("not an address")
    agent.page.get_by_label("Cc", exact=True).last.fill("depot@example.com")
    agent.reply("On its way.")
    sending.send(desk.world, agent.newest_outbound(), 0)
    assert desk.taken[0].recipients == [customer.address, "depot@example.com"]


def test_a_draft_survives_news_and_a_reload(agent: Agent, desk: Desk) -> None:
    desk.ticket(subject="Long story", id="long")
    agent.log_in()
    agent.open("Long story")
    agent.page.get_by_label("Reply", exact=True).last.fill("Half a sentence")
    desk.ticket(subject="Re: Long story", answers="long")
    expect(agent.page.locator(".message")).to_have_count(2)
    expect(agent.page.get_by_label("Reply", exact=True).last).to_have_value("Half a sentence")
    agent.page.reload()
    expect(agent.page.get_by_label("Reply", exact=True).last).to_have_value("Half a sentence")


def test_a_draft_is_still_there_when_a_colleague_merged_its_ticket(agent: Agent, desk: Desk) -> None:
    into, asked_twice = desk.ticket(subject="Asked first"), desk.ticket(subject="Asked twice")
    agent.log_in()
    agent.open("Asked twice")
    agent.page.get_by_label("Reply", exact=True).last.fill("A long answer")
    merge = Request(Kind.MERGE, by="Ben Agent", ticket_id=asked_twice, to_ticket_id=into)
    correcting.correct(desk.world, desk.tenant_id, merge)
    agent.page.reload()
    expect(agent.page.get_by_label("Reply", exact=True).last).to_have_value("A long answer")
    agent.page.get_by_role("button", name="Send", exact=True).click()
    expect(agent.page.locator(".composer .error")).to_contain_text("became part of ticket #1. Answer that one")
    expect(agent.page.get_by_label("Reply", exact=True).last).to_have_value("A long answer")


def test_a_draft_keeps_its_files_over_a_session_that_ended(agent: Agent, desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "invoice.txt"
    file.write_text("12.50")
    ticket = desk.ticket(subject="The invoice, please")
    agent.log_in()
    agent.open("The invoice, please")
    agent.page.get_by_label("Attach files").set_input_files(file)
    expect(agent.page.locator(".uploaded")).to_be_visible()
    agent.page.get_by_label("Reply", exact=True).last.fill("Here it is.")

    def end_session(route: Route) -> None:
        assert desk.box.query("DELETE FROM page_sessions WHERE tenant_id = %s RETURNING 1", desk.tenant_id)
        route.continue_()

    agent.page.route("**/replies", end_session, times=1)
    agent.page.get_by_role("button", name="Send", exact=True).click()
    expect(agent.page.get_by_label("API key")).to_be_visible()
    agent.page.get_by_label("API key").fill(desk.world.api_keys.add(desk.tenant_id, name="Ann Agent", role="agent"))
    agent.page.get_by_role("button", name="Log in").click()
    expect(agent.page.get_by_label("Reply", exact=True).last).to_have_value("Here it is.")
    expect(agent.page.get_by_label("Files of the reply")).to_contain_text("invoice.txt")
    agent.page.get_by_role("button", name="Send", exact=True).click()
    expect(agent.page.locator(".message.outbound")).to_contain_text("invoice.txt")
    assert len(desk.box.query("SELECT 1 FROM messages WHERE ticket_id = %s AND direction = 'outbound'", ticket)) == 1


def test_nothing_that_is_typed_while_a_reply_is_on_its_way_is_lost(agent: Agent, desk: Desk) -> None:
    desk.ticket(subject="Slow line")
    agent.log_in()
    agent.open("Slow line")
    held: list[Route] = []
    agent.page.route("**/replies", lambda route: held.append(route))
    box = agent.page.get_by_label("Reply", exact=True).last
    box.fill("First.")
    agent.page.get_by_role("button", name="Send", exact=True).click()
    expect(box).not_to_be_editable()
    held[0].continue_()
    expect(agent.page.locator(".message.outbound")).to_contain_text("First.")
    expect(box).to_be_editable()
    expect(box).to_have_value("")


def test_a_long_list_loses_no_ticket_when_news_push_it_down(agent: Agent, desk: Desk) -> None:
    root = desk.ticket(subject="Ticket 0")
    desk.box.query(
        "INSERT INTO tickets (tenant_id, inbox_id, ticket_number, subject, requester_address, updated_at)"
        " SELECT tenant_id, inbox_id, 1000 + n, 'Ticket ' || n, 'ann@customer.example', updated_at - n * interval '1 minute'"
        " FROM tickets, generate_series(1, 69) AS n WHERE id = %s RETURNING id",
        root,
    )
    agent.log_in()
    expect(agent.page.locator(".row")).to_have_count(50)
    agent.page.get_by_role("button", name="Show more").click()
    expect(agent.page.locator(".row")).to_have_count(70)
    desk.ticket(subject="News")
    expect(agent.row("News")).to_be_visible()
    expect(agent.page.locator(".row")).to_have_count(71)


def test_what_happens_between_reading_the_list_and_the_stream_is_not_missed(agent: Agent, desk: Desk) -> None:
    held: list[Route] = []
    agent.page.route("**/v1/events", lambda route: held.append(route))
    link = access.login_link(desk.world, desk.tenant_id, name="Ann Agent", role="agent", minutes=5)
    agent.page.goto(agent.url + link[link.index("/login") :])
    expect(agent.page.get_by_role("heading", name="All done")).to_be_visible()
    desk.ticket(subject="In between")
    held[0].continue_()
    expect(agent.row("In between")).to_be_visible()


def test_more_that_can_not_be_read_says_so_and_can_be_asked_for_again(agent: Agent, desk: Desk) -> None:
    agent.page.route(re.compile("/v1/inbound"), lambda route: route.abort())
    agent.log_in()
    agent.page.get_by_role("link", name="Spam and automatic").click()
    expect(agent.page.get_by_role("alert").last).to_contain_text("can’t be reached")
    agent.page.unroute_all()
    agent.page.get_by_role("button", name="Show more").last.click()
    expect(agent.page.get_by_role("heading", name="Nothing here")).to_be_visible()


def test_a_file_that_is_called_inline_and_stands_nowhere_in_the_text_is_listed(agent: Agent, desk: Desk) -> None:
    kind = 'MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary="b"'
    part = "--b\r\nContent-Type: {}\r\nContent-ID: <{}>\r\nContent-Disposition: inline; filename={}\r\n\r\nx\r\n"
    body = (
        "--b\r\nContent-Type: text/html\r\n\r\n<p>See <img src='cid:logo@x'></p>\r\n"
        + part.format("image/png", "logo@x", "logo.png")
        + part.format("image/png", "photo@x", "photo.png")
        + part.format("application/pdf", "contract@x", "contract.pdf")
        + "--b--"
    )
    desk.ticket(subject="The contract", more=kind, body=body)
    agent.log_in()
    agent.open("The contract")
    expect(agent.page.get_by_label("Attachments")).to_contain_text("contract.pdf")
    expect(agent.page.get_by_label("Attachments")).to_contain_text("photo.png")
    expect(agent.page.get_by_label("Attachments")).not_to_contain_text("logo.png")


def test_a_message_that_can_not_be_shown_just_now_says_so_and_is_shown_when_asked_again(
    agent: Agent, desk: Desk
) -> None:
    kind = "MIME-Version: 1.0\r\nContent-Type: text/html"
    desk.ticket(subject="In colours", more=kind, body="<p>Where is <b>my parcel</b>?</p>")
    away = {"status": 503, "content_type": "application/problem+json", "body": "{}"}
    agent.page.route(
        "**/view", lambda route: route.fulfill(**away, headers={"Content-Security-Policy": "frame-ancestors 'none'"})
    )
    agent.log_in()
    agent.open("In colours")
    expect(agent.page.locator(".mail")).to_contain_text("can’t be shown just now")
    agent.page.unroute_all()
    agent.page.locator(".mail").get_by_role("button", name="Try again").click()
    expect(agent.page.frame_locator(".mail iframe").locator("body")).to_contain_text("Where is my parcel?")


@pytest.mark.parametrize("pressed", ["the row of a ticket", "a button of the ticket"])
def test_news_that_come_while_the_mouse_is_down_take_no_click_away(agent: Agent, desk: Desk, pressed: str) -> None:
    ticket = desk.ticket(subject="Slow finger", id="slow-finger")
    agent.log_in()
    page = agent.page
    if pressed == "the row of a ticket":
        target = agent.row("Slow finger")
    else:
        agent.open("Slow finger")
        target = page.get_by_role("group", name="Status").get_by_role("button", name="Pending")
    target.hover()
    asked = "/v1/tickets?" if pressed == "the row of a ticket" else f"/v1/corrections?ticket={ticket}"
    with page.expect_response(lambda response: asked in response.url) as news:
        page.mouse.down()
        desk.box.deliver(mail("Re: Slow finger", answers="slow-finger"))
        desk.box.run()
    news.value.finished()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    page.mouse.up()
    if pressed == "the row of a ticket":
        page.get_by_role("heading", name="Slow finger").wait_for()
    else:
        expect(target).to_have_attribute("aria-pressed", "true")


def test_a_name_turns_no_address_around(agent: Agent, desk: Desk) -> None:
    desk.ticket(subject="Hello", sender="=?utf-8?q?=E2=80=AEAnn?= <mallory@evil.example>")
    agent.log_in()
    agent.open("Hello")
    agent.page.get_by_role("button", name="Details").click()
    expect(agent.page.locator(".details dd").first).to_have_text("Ann <mallory@evil.example>")


def test_what_is_written_from_right_to_left_is_shown_so(agent: Agent, desk: Desk) -> None:
    kind = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit"
    desk.ticket(subject="Shalom", more=kind, body="שלום, איפה החבילה שלי?")
    agent.log_in()
    agent.open("Shalom")
    expect(agent.page.locator(".message .text")).to_have_css("direction", "rtl")
    box = agent.page.get_by_label("Reply", exact=True).last
    box.fill("Hello")
    expect(box).to_have_css("direction", "ltr")
    box.fill("שלום")
    expect(box).to_have_css("direction", "rtl")


def test_another_tenants_ticket_is_not_there(
    agent: Agent, desk: Desk, world: World, url: str, browser: Browser
) -> None:
    ticket = desk.ticket(subject="None of your business")
    world.inboxes.add_tenant(f"{desk.box.inbox.tenant}-other", "Other Ltd")
    other = watched(browser.new_context(), url, world, world.inboxes.tenant_id(f"{desk.box.inbox.tenant}-other"))
    other.log_in()
    other.page.goto(f"{url}/tickets/{ticket}")
    expect(other.page.get_by_role("heading", name="There is no such ticket")).to_be_visible()
    answers = [
        other.page.request.get(f"{url}/v1/{path}").status
        for path in (f"tickets/{ticket}", f"messages/{ticket}/view", f"inboxes/{desk.box.inbox_id}")
    ]
    assert answers == [404, 404, 404]
    expect(other.row("None of your business")).to_have_count(0)
    other.page.context.close()


def test_spam_is_released_into_a_ticket(agent: Agent, desk: Desk) -> None:
    desk.box.deliver(mail("You have won", more="X-Spam-Flag: YES"))
    desk.box.run()
    agent.log_in()
    agent.page.get_by_role("link", name="Spam and automatic").click()
    agent.page.get_by_role("button", name="Why").click()
    expect(agent.page.get_by_role("cell", name="X-Spam-Flag")).to_be_visible()
    agent.page.get_by_role("button", name="Not spam").click()
    expect(agent.page.get_by_text("It becomes a ticket")).to_be_visible()
    intake.file(desk.world, desk.box.inbox_id)
    agent.page.get_by_role("link", name="Open").click()
    expect(agent.row("You have won")).to_be_visible()


def test_what_is_wrong_is_put_right_and_taken_back_at_the_page(agent: Agent, desk: Desk) -> None:
    desk.ticket(subject="The lamp", id="lamp", sender="Zoë <zoe@kunde.example>")
    desk.box.deliver(mail("And the chair", id="chair", answers="lamp", sender="zoe@kunde.example"))
    desk.box.run()
    desk.ticket(subject="The chair", sender="zoe@kunde.example")
    page = agent.page
    agent.log_in("Ann Agent")
    agent.open("The lamp")
    stray = page.locator(".message").last
    stray.get_by_role("button", name="Details").click()
    stray.get_by_role("button", name="Move …").click()
    page.get_by_label("To ticket").fill("#2")
    page.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(page.locator(".message")).to_have_count(1)
    expect(page.get_by_role("list", name="Put right here")).to_contain_text("Ann Agent moved a message to #2")

    agent.open("The chair")
    expect(page.locator(".message")).to_have_count(2)
    violations = [v["id"] for v in Axe().run(page).response["violations"]]
    assert violations == []
    page.get_by_role("button", name="Merge …").click()
    page.get_by_label("Into ticket").fill("1")
    page.keyboard.press("Enter")
    expect(page.get_by_text("became part of #1")).to_be_visible()
    expect(agent.row("The chair")).to_have_count(0)

    agent.open("The lamp")
    expect(page.locator(".message")).to_have_count(3)
    page.get_by_role("button", name="Take back: Ann Agent made #2 part of this").click()
    page.get_by_role("button", name="Take back: Ann Agent moved a message to #2").click()
    expect(page.locator(".message")).to_have_count(2)
    expect(page.get_by_role("list", name="Put right here")).to_have_count(0)
    expect(agent.row("The chair")).to_be_visible()

    page.get_by_role("button", name="Merge …").click()
    page.get_by_label("Into ticket").fill("99")
    page.keyboard.press("Enter")
    expect(page.get_by_text("There is no ticket #99")).to_be_visible()
    assert agent.complaints == []


def test_the_list_is_searched_and_filtered(agent: Agent, desk: Desk) -> None:
    for subject in ("Broken lamp", "Broken chair", "Invoice 2026"):
        desk.ticket(subject=subject)
    agent.log_in()
    expect(agent.page.locator(".row")).to_have_count(3)
    agent.page.get_by_label("Search tickets").fill("brok cha")
    expect(agent.page.locator(".row")).to_have_count(1)
    expect(agent.row("Broken chair")).to_be_visible()
    agent.page.get_by_label("Search tickets").fill("")
    agent.open("Invoice 2026")
    agent.page.get_by_role("group", name="Status").get_by_role("button", name="Closed").click()
    expect(agent.row("Invoice 2026")).to_have_count(0)
    agent.page.get_by_role("link", name="Closed").click()
    expect(agent.row("Invoice 2026")).to_be_visible()
    agent.page.get_by_role("link", name="Open").click()
    agent.page.get_by_role("button", name="Unread").click()
    expect(agent.page.locator(".row.unread")).to_have_count(2)


def test_everything_is_done_by_keys(agent: Agent, desk: Desk, customer: Customer) -> None:
    for subject in ("First", "Second"):
        desk.ticket(subject=subject, sender=customer.address)
    agent.log_in()
    agent.row("First").wait_for()
    keys = agent.page.keyboard
    for key in ("j", "j", "Enter"):
        keys.press(key)
    expect(agent.page.get_by_role("heading", name="First")).to_be_visible()
    expect(agent.page.get_by_label("Reply", exact=True).last).to_be_visible()
    keys.press("r")
    keys.type("Done by keys")
    keys.press("Control+Enter")
    expect(agent.page.locator(".message.outbound")).to_contain_text("Done by keys")
    keys.press("Escape")
    keys.press("e")
    expect(agent.page.get_by_role("button", name="Closed", pressed=True)).to_be_visible()
    keys.press("?")
    expect(agent.page.get_by_role("dialog")).to_contain_text("Search")
    keys.press("Escape")
    keys.press("/")
    keys.type("second")
    expect(agent.page.locator(".row")).to_have_count(1)


def test_a_disconnected_inbox_is_told_of_and_forgotten_when_it_is_back(agent: Agent, desk: Desk) -> None:
    inbox = desk.box.inbox
    sealed = desk.world.inboxes.credentials(inbox.id)
    assert sealed is not None
    agent.log_in()
    desk.world.inboxes.disconnect(inbox, AuthenticationFailed("the server refuses the password"))
    sending.publish(desk.world, desk.tenant_id)
    expect(agent.page.locator(".inbox-trouble")).to_contain_text("refuses the password")
    desk.world.inboxes.reconnect(inbox.id, inbox.connection, sealed)
    sending.publish(desk.world, desk.tenant_id)
    expect(agent.page.locator(".inbox-trouble .notice")).to_have_count(0)


def test_a_link_logs_in_once_and_the_key_logs_in_until_it_is_revoked(agent: Agent, world: World, url: str) -> None:
    link = access.login_link(world, agent.tenant_id, name="Ann", role="agent", minutes=5).partition("#")[2]
    key = world.api_keys.add(agent.tenant_id, name="Ben", role="agent")
    first, second = (httpx.post(f"{url}/v1/session", json={"link": link}, headers={"Origin": url}) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 401)
    cookie = first.headers["set-cookie"]
    assert all(flag in cookie for flag in ("HttpOnly", "SameSite=strict", "Max-Age=43200"))
    agent.page.goto(f"{url}/login#{link}")
    expect(agent.page.get_by_role("alert")).to_contain_text("was used")
    agent.page.get_by_label("API key").fill(key)
    with agent.page.expect_response("**/v1/tickets?*"), agent.page.expect_response("**/v1/inboxes?*"):
        agent.page.get_by_role("button", name="Log in").click()
    expect(agent.page.get_by_text("Ben")).to_be_visible()
    expect(agent.page.get_by_text("Live", exact=True)).to_be_visible()
    world.api_keys.revoke(key.split("_")[1])
    # Where the list is read again just now, that ends the session, and nothing is left to click.
    agent.page.get_by_role("link", name="Pending").evaluate_all("links => links.forEach((link) => link.click())")
    expect(agent.page.get_by_role("button", name="Log in")).to_be_visible()


def test_another_site_changes_nothing_in_a_session(agent: Agent, desk: Desk, url: str) -> None:
    ticket = desk.ticket()
    agent.log_in()
    cookies = {each["name"]: each["value"] for each in agent.page.context.cookies()}
    for origin in ("http://evil.example", url.replace("127.0.0.1", "localhost"), "null", ""):
        headers = {"Origin": origin} if origin else {}
        answer = httpx.patch(f"{url}/v1/tickets/{ticket}", json={"status": "closed"}, headers=headers, cookies=cookies)
        assert answer.status_code == 403, origin
    own = httpx.patch(f"{url}/v1/tickets/{ticket}", json={"status": "closed"}, headers={"Origin": url}, cookies=cookies)
    assert own.status_code == 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(browser: Browser, url: str, world: World, desk: Desk, scheme: str) -> None:
    html = "MIME-Version: 1.0\r\nContent-Type: text/html"
    desk.ticket(subject="A picture", more=html, body="<p>Hi <img src='https://pictures.example/x.png'></p>", id="a")
    failed = desk.reply(desk.ticket(subject="Failed"))
    desk.box.query(
        "UPDATE messages SET send_status = 'failed', send_error = '554 no' WHERE id = %s RETURNING 1", failed.message_id
    )
    desk.box.deliver(mail("You have won", more="X-Spam-Flag: YES"))
    desk.box.run()
    context = browser.new_context(viewport={"width": 1360, "height": 860}, color_scheme=scheme)  # type: ignore[arg-type]
    agent = watched(context, url, world, desk.tenant_id)
    page = agent.page

    def check(what: str) -> None:
        page.wait_for_timeout(200)  # colours change over a tenth of a second
        violations = [
            f"{v['id']}: {n['html']} {n['failureSummary']}"
            for v in Axe().run(page).response["violations"]
            for n in v["nodes"]
        ]
        assert violations == [], what

    page.goto(url)
    page.get_by_role("button", name="Log in").wait_for()
    check("log-in")
    agent.log_in()
    agent.row("A picture").wait_for()
    check("list")
    agent.open("Failed")
    page.get_by_text("Not sent.").wait_for()
    page.get_by_role("button", name="Details").first.click()
    check("failed")
    agent.open("A picture")
    page.get_by_role("button", name="Show images").wait_for()
    check("html")
    page.keyboard.press("?")
    check("keys")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Spam and automatic").click()
    page.get_by_role("button", name="Why").click()
    check("aside")
    context.close()


def test_a_link_in_a_text_is_a_link(agent: Agent, desk: Desk) -> None:
    desk.ticket(subject="Links", body="See https://shop.example/a?b=(c). <b>No markup</b> javascript:alert(1)")
    agent.log_in()
    agent.open("Links")
    link = agent.page.locator(".text a")
    expect(link).to_have_attribute("href", "https://shop.example/a?b=(c")
    expect(link).to_have_attribute("rel", re.compile("noopener"))
    expect(agent.page.locator(".text")).to_contain_text("<b>No markup</b>")


def test_the_server_may_restart_and_nothing_is_missed(
    browser: Browser, world: World, desk: Desk, services: Settings
) -> None:
    (port,) = free_ports(1)
    context = browser.new_context()
    with serving(services, port) as url:
        agent = watched(context, url, world, desk.tenant_id)
        agent.log_in()
        expect(agent.page.get_by_role("heading", name="All done")).to_be_visible()
    expect(agent.page.locator(".live.away")).to_be_attached()
    desk.ticket(subject="While you were away")
    with serving(services, port):
        expect(agent.row("While you were away")).to_be_visible()
        expect(agent.page.locator(".live.live")).to_be_attached()
    context.close()


def test_without_redis_the_page_is_not_live_and_shows_what_came_all_the_same(
    browser: Browser, world: World, desk: Desk, services: Settings, valkey: Valkey
) -> None:
    context = browser.new_context()
    with serving(services.model_copy(update={"redis_url": SecretStr(valkey.url)})) as url:
        agent = watched(context, url, world, desk.tenant_id)
        agent.log_in()
        valkey.stop()
        expect(agent.page.locator(".live.away")).to_be_attached()
        desk.ticket(subject="Nobody tells of me")
        expect(agent.row("Nobody tells of me")).to_be_visible(timeout=2 * PATIENCE_MS)
        valkey.start()
        expect(agent.page.locator(".live.live")).to_be_attached()
    context.close()


def test_what_a_mail_rule_did_is_shown_on_the_ticket_and_where_mail_was_set_aside(agent: Agent, desk: Desk) -> None:
    vip = {"on": "subject", "op": "contains", "values": ["order"]}
    ads = {"on": "sender", "op": "contains", "values": ["@ads.example"]}
    rules = (
        {"name": "vip", "conditions": [vip], "actions": {"tags": ["vip"], "priority": "urgent", "queue": "sales"}},
        {"name": "no-ads", "conditions": [ads], "actions": {"set_aside": "advertising"}},
    )
    enabled = tuple(read_rule(rule | {"enabled": True}) for rule in rules)
    mail_rules.put(desk.world, desk.tenant_id, enabled, by="Ann")
    desk.ticket(subject="My order")
    desk.box.deliver(mail("Buy", sender="x@ads.example"))
    desk.box.run()
    agent.log_in()
    for badge in ("Urgent", "sales", "#vip"):
        expect(agent.row("My order")).to_contain_text(badge)
    agent.open("My order")
    expect(agent.page.locator(".thread-title")).to_contain_text("Urgent")
    agent.page.get_by_role("button", name="Details").click()
    expect(agent.page.locator(".message")).to_contain_text(
        "Mail rule vip (version 1): tagged vip; priority urgent; queue sales"
    )
    agent.page.get_by_role("link", name="Spam and automatic").click()
    aside = agent.page.locator(".aside-row")
    expect(aside).to_contain_text("mail rule no-ads: advertising")
    agent.page.get_by_role("button", name="Why").click()
    expect(aside).to_contain_text('sender contains "@ads.example"')
    assert agent.complaints == []
