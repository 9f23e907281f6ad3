"""The console within the real Airflow: what each role sees and may do, and what a browser shows."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import jwt
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Frame, Page, expect
from psycopg.types.json import Jsonb

from inboxops.composition import runs
from inboxops.composition.world import World
from inboxops.core import canary
from inboxops.core.model import Address
from inboxops.orchestrator.airflow import Airflow
from inboxops.settings import Settings
from inboxops_local.stack.home import read_env
from tests.browser.conftest import browser, playwright
from tests.e2e.conftest import eventually
from tests.e2e.test_inbox_dags import mailbox
from tests.stories.conftest import Mailbox, mail

__all__ = ["browser", "mailbox", "playwright"]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
ACTS = {"X-InboxOps-Console": "1"}


class Console:
    """Requests as a user of Airflow with a role."""

    def __init__(self, settings: Settings, home: Path, role: str) -> None:
        now = int(time.time())
        claims = {"sub": role.lower(), "role": role, "teams": None, "iss": "inboxops", "aud": "apache-airflow"}
        claims |= {"iat": now, "nbf": now, "exp": now + 600, "jti": uuid.uuid4().hex}
        self.token = jwt.encode(claims, read_env(home / "inboxops.env")["STACK_AIRFLOW_JWT_SECRET"], "HS512")
        self.url = settings.airflow_url.removesuffix("/")
        self.http = httpx.Client(
            base_url=f"{self.url}/inboxops/", headers={"Authorization": f"Bearer {self.token}"}, timeout=60
        )

    def act(self, dag: str, action: str, **more: object) -> httpx.Response:
        headers = more.pop("headers", ACTS)
        return self.http.post("act", params={"dag_id": dag}, json={"action": action, **more}, headers=headers)  # type: ignore[arg-type]


@contextmanager
def visit(user: Console, browser: Browser) -> Iterator[Page]:
    """A window of somebody who is logged in."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.add_cookies([{"name": "_token", "value": user.token, "url": user.url}])
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


@pytest.fixture
def operator(stack: Settings, stack_home: Path) -> Iterator[Console]:
    made = Console(stack, stack_home, "ADMIN")
    yield made
    made.http.close()


@pytest.fixture
def viewer(stack: Settings, stack_home: Path) -> Iterator[Console]:
    made = Console(stack, stack_home, "VIEWER")
    yield made
    made.http.close()


def test_nobody_sees_or_does_anything_without_a_login(operator: Console, mailbox: Mailbox) -> None:
    dag = mailbox.inbox.dag_id
    bare = httpx.Client(base_url=f"{operator.url}/inboxops/", timeout=60)
    for path in ("inboxes", "trace?q=%2312", f"inbox?dag_id={dag}", f"came?dag_id={dag}&run_id=x"):
        assert bare.get(path).status_code == 401
    assert bare.post("act", params={"dag_id": dag}, json={"action": "pause"}, headers=ACTS).status_code == 401
    assert mailbox.inbox.paused_at is None


def test_who_may_only_look_does_nothing(viewer: Console, mailbox: Mailbox) -> None:
    dag = mailbox.inbox.dag_id
    assert viewer.http.get("inbox", params={"dag_id": dag}).status_code == 200
    assert viewer.act(dag, "pause").status_code == 403
    assert mailbox.inbox.paused_at is None


def test_a_foreign_page_makes_an_operator_do_nothing(operator: Console, mailbox: Mailbox) -> None:
    dag = mailbox.inbox.dag_id
    for headers in ({}, {**ACTS, "Sec-Fetch-Site": "cross-site"}):
        assert operator.act(dag, "pause", headers=headers).status_code == 403
    assert mailbox.inbox.paused_at is None


def test_actions_are_done_told_and_written_into_the_audit_log(
    operator: Console, mailbox: Mailbox, world: World, airflow: Airflow
) -> None:
    dag = mailbox.inbox.dag_id
    assert "is paused" in operator.act(dag, "pause").json()["said"]
    assert mailbox.inbox.state == "paused"
    refused = operator.act(dag, "fetch")
    assert (refused.status_code, "Resume" in refused.json()["said"]) == (422, True)
    assert "read again" in operator.act(dag, "resume").json()["said"]
    assert "is fine" in operator.act(dag, "test").json()["said"]
    assert operator.act(dag, "nonsense").status_code == 422
    assert operator.act("drain_outbox", "pause").status_code == 404
    logged = airflow.get("/eventLogs", dag_id=dag, event="inboxops_console")["event_logs"]
    assert {"admin"} == {entry["owner"] for entry in logged}  # type: ignore[index,union-attr]
    assert any("pause" in str(entry["extra"]) for entry in logged)  # type: ignore[index,union-attr]


def test_what_came_with_a_run_leads_to_its_tickets_and_mail_set_aside_is_released(
    operator: Console, mailbox: Mailbox, world: World, airflow: Airflow, browser: Browser
) -> None:
    dag = mailbox.inbox.dag_id
    mailbox.deliver(mail("<b>Hello</b>"), mail("You have won", more="X-Spam-Flag: YES"))
    runs.wake(world, mailbox.inbox_id)
    eventually("both are filed", lambda: mailbox.states() == {"persisted": 1, "listed": 1})

    def brought() -> str | None:
        for run in airflow.get(f"/dags/{dag}/dagRuns", order_by="-run_after")["dag_runs"]:  # type: ignore[union-attr]
            page = operator.http.get("came", params={"dag_id": dag, "run_id": run["dag_run_id"]}).text  # type: ignore[index]
            if "2 mails" in page:
                return page
        return None

    page = eventually("a run says what it brought", brought)
    ((ticket,),) = mailbox.query("SELECT id FROM tickets WHERE inbox_id = %s", mailbox.inbox_id)
    assert f"/tickets/{ticket}" in page
    assert "&lt;b&gt;Hello&lt;/b&gt;" in page
    assert "<b>Hello" not in page
    assert "spam.scanner" in page
    _opens_from_the_task(operator, browser, airflow, dag)

    ((aside,),) = mailbox.query("SELECT id FROM inbound WHERE inbox_id = %s AND state = 'listed'", mailbox.inbox_id)
    posed = dag.rpartition("__")[0] + "__posed"
    assert operator.act(posed, "release", inbound_id=aside).status_code == 404, "the number in a name gives no right"
    assert operator.http.get("inbox", params={"dag_id": posed}).status_code == 404
    assert operator.act(dag, "release", inbound_id=aside).status_code == 200
    eventually("it is a ticket", lambda: len(mailbox.tickets()) == 2)


def _opens_from_the_task(operator: Console, browser: Browser, airflow: Airflow, dag: str) -> None:
    """Whoever looks at a task's log is one tab away from what became of its mail."""
    run = airflow.get(f"/dags/{dag}/dagRuns", order_by="-run_after")["dag_runs"][0]["dag_run_id"]  # type: ignore[index]
    with visit(operator, browser) as page:
        page.goto(f"{operator.url}/dags/{dag}/runs/{quote(run, safe='')}/tasks/persist")
        page.get_by_role("link", name="What came").click()
        expect(framed(page, "/inboxops/came?").get_by_role("heading", level=1)).to_contain_text("What came")


def test_the_pages_open_in_airflows_ui_and_work_by_keyboard(
    operator: Console, mailbox: Mailbox, browser: Browser
) -> None:
    with visit(operator, browser) as page:
        page.goto(f"{operator.url}/plugin/inboxes")
        frame = framed(page, "/inboxops/inboxes")
        frame.get_by_label("Search").fill(mailbox.inbox.tenant)
        frame.get_by_label("Search").press("Enter")
        expect(frame.get_by_text("1 inbox", exact=True)).to_be_visible()
        assert _violations(page, "/inboxops/inboxes") == []
        frame.get_by_role("link", name=mailbox.inbox.name).click()
        frame = framed(page, "/inboxops/inbox?")
        assert _violations(page, "/inboxops/inbox?") == []
        frame.get_by_role("button", name="Pause").focus()
        page.keyboard.press("Enter")
        expect(frame.get_by_role("dialog")).to_contain_text("until it is resumed?")
        page.keyboard.press("Enter")
        expect(frame.get_by_role("button", name="Resume")).to_be_visible()
        assert mailbox.inbox.state == "paused"


def test_a_mail_that_was_passed_over_is_taken_in_by_comparing_from_a_day_on(
    operator: Console, viewer: Console, mailbox: Mailbox, browser: Browser
) -> None:
    dag = mailbox.inbox.dag_id
    eventually("it was read once", lambda: mailbox.inbox.cursor.last_uid is not None)
    operator.act(dag, "pause")
    mailbox.deliver(mail("Passed over"))
    mailbox.query("UPDATE inboxes SET imap_last_uid = imap_last_uid + 1 WHERE id = %s RETURNING 1", mailbox.inbox_id)
    operator.act(dag, "resume")
    assert viewer.act(dag, "resync", since="2026-01-01").status_code == 403
    assert operator.act(dag, "resync").status_code == 422
    with visit(operator, browser) as page:
        page.goto(f"{operator.url}/inboxops/inbox?dag_id={dag}")
        page.get_by_role("button", name="Compare with mailbox").click()
        expect(page.get_by_role("dialog")).to_have_count(0)  # a day is wanted first
        page.get_by_label("From").fill(f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}")
        page.get_by_role("button", name="Compare with mailbox").click()
        page.get_by_role("button", name="Do it").click()
        expect(page.get_by_text("is compared with its mailbox from")).to_be_visible()
        eventually("the mail is a ticket", lambda: mailbox.tickets() == [("Passed over", 1)])
        eventually("the wish is over", lambda: mailbox.inbox.resync_since is None)
        assert "1 of them taken in" in mailbox.inbox.note


def test_canaries_and_the_life_of_a_mail_are_told_in_airflows_ui(
    operator: Console, mailbox: Mailbox, world: World, browser: Browser, stack: Settings, stack_home: Path
) -> None:
    inbox = mailbox.inbox
    made = world.canaries.add(inbox.id, even_if_not_due=True)
    assert made is not None
    world.canaries.wish(inbox.id, minutes=60, from_id=None)
    assert world.canaries.hand_over(made.id)
    world.canaries.sent(made.id)
    ours = Address("", inbox.email_address)
    mailbox.deliver(canary.mail(made, sender=ours, to=inbox.email_address, signing_key=world.signing_key))
    runs.wake(world, inbox.id)
    eventually("it is back", lambda: world.canaries.one(made.id)["state"] == "back")
    lost = world.canaries.add(inbox.id, even_if_not_due=True)
    assert lost is not None
    world.canaries.not_sent(lost.id, "550 no", in_doubt=False)

    with visit(operator, browser) as page:
        page.goto(f"{operator.url}/plugin/inboxes")
        frame = framed(page, "/inboxops/inboxes")
        frame.get_by_label("Search").fill(inbox.tenant)
        frame.get_by_label("with trouble").check()
        frame.get_by_label("Search").press("Enter")
        row = frame.get_by_role("row", name=inbox.tenant)
        expect(row).to_contain_text("canary not sent")
        row.get_by_role("link", name=inbox.name).click()
        frame = framed(page, "/inboxops/inbox?")
        table = frame.get_by_role("region", name="Canaries")
        expect(table.get_by_role("row", name="550 no")).to_contain_text("`inboxops inbox test")
        expect(table.get_by_role("row", name="it came back in time")).to_contain_text(" s ago")
        assert _violations(page, "/inboxops/inbox?") == []
        table.get_by_role("link", name="The life of mail").focus()
        page.keyboard.press("Enter")
        frame = framed(page, "/inboxops/trace?")
        told = (
            "had it as INBOX/",
            "(run ",
            ", try 1), ",
            "own_loop by own_loop.canary",
            "a canary came back",
            f"canary {made.id} was handed over",
        )
        for said in told:
            expect(frame.get_by_role("main")).to_contain_text(said)
        assert _violations(page, "/inboxops/trace?") == []
        frame.get_by_label("Look for").fill("hello")
        frame.get_by_label("Look for").press("Enter")
        expect(frame.get_by_role("alert")).to_contain_text("Write #12")
        page.goto(f"{operator.url}/plugin/trace")
        framed(page, "/inboxops/trace")

    tells = f"canary {made.id} was handed over"
    asked = {"q": f"mail {world.canaries.one(made.id)['inbound_id']}"}
    assert tells in operator.http.get("trace", params=asked).text
    service = Console(stack, stack_home, "SERVICE")
    assert tells not in service.http.get("trace", params=asked).text, "an account that reads no DAG"
    service.http.close()


def framed(page: Page, path: str) -> Frame:
    """The console's frame within Airflow's page."""

    def found() -> Frame | None:
        page.wait_for_timeout(50)
        return next((frame for frame in page.frames[1:] if path in frame.url), None)

    frame = eventually(f"a frame shows {path}", found, seconds=60)
    frame.get_by_role("heading", level=1).wait_for()
    return frame


def _violations(page: Page, path: str) -> list[str]:
    """What axe says of a page of the console, opened by itself."""
    alone = page.context.new_page()
    alone.goto(framed(page, path).url)
    found = [v["id"] for v in Axe().run(alone).response["violations"]]
    alone.close()
    return found


def test_stored_mail_is_read_again_from_the_console(operator: Console, viewer: Console, mailbox: Mailbox) -> None:
    mailbox.deliver(mail("Help"))
    # Not read here: the run that the fixture woke may be at it.
    runs.wake(mailbox.world, mailbox.inbox_id)
    eventually("it is filed", lambda: mailbox.states() == {"persisted": 1})
    older = "UPDATE messages SET body_text = 'older', customer = %s WHERE inbox_id = %s RETURNING 1"
    customer = {"name": "", "address": "x@y.example", "rule": "old", "claimed": False}
    mailbox.query(older, Jsonb(customer), mailbox.inbox_id)
    dag = mailbox.inbox.dag_id
    assert viewer.act(dag, "replay", days=7).status_code == 403
    assert operator.act(dag, "replay").status_code == 422
    assert "reads the mail of 7 days again" in operator.act(dag, "replay", days=7).json()["said"]
    tenant_id = mailbox.inbox.tenant_id

    def state() -> str:
        return str(mailbox.world.replays.listed(tenant_id)[0]["state"])

    def first() -> str:
        return str(mailbox.world.replays.listed(tenant_id)[-1]["state"])

    eventually("the preview is done", lambda: state() == "previewed")
    (row,) = mailbox.world.replays.listed(tenant_id)
    assert row["report"]["groups"] == {"customer": 1, "text": 1}
    page = operator.http.get("inbox", params={"dag_id": dag}).text
    assert "1 of 1; customer 1; text 1" in page
    assert "body_text: older <b>→</b> body_text: Please help." in page
    assert operator.act(dag, "replay", about="#99").status_code == 404
    assert "reads #1 again" in operator.act(dag, "replay", about="#1").json()["said"]
    eventually("that of the ticket is done, too", lambda: state() == "previewed")
    assert "<td>ticket #1</td>" in operator.http.get("inbox", params={"dag_id": dag}).text
    assert operator.act(dag, "replay_apply", replay_id=2**40).status_code == 404
    assert operator.act(dag, "replay_apply", replay_id=row["id"], group="nonsense").status_code == 422
    assert 'data-group="text"' in operator.http.get("inbox", params={"dag_id": dag}).text

    def now() -> tuple[object, ...]:
        what = "SELECT body_text, customer ->> 'address' FROM messages WHERE inbox_id = %s"
        (found,) = mailbox.query(what, mailbox.inbox_id)
        return found

    assert "as to text" in operator.act(dag, "replay_apply", replay_id=row["id"], group="text").json()["said"]
    eventually("a group is applied", lambda: first() == "applied")
    assert now() == ("Please help.\n", "x@y.example")
    assert operator.act(dag, "replay_apply", replay_id=row["id"], group="customer").status_code == 200
    eventually("the other is, too", lambda: first() == "applied" and now()[1] is None)
    assert "is taken back" in operator.act(dag, "replay_undo", replay_id=row["id"]).json()["said"]
    eventually("both are taken back", lambda: now() == ("older", "x@y.example"))
