"""Mail servers, sign-ins and Airflow's API that are away, hang, or break off in the middle, and come back."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from inboxops.composition import runs, upkeep
from inboxops.composition.world import World
from inboxops.errors import TransientError
from inboxops.oauth import http as oauth_http
from inboxops.providers.imap import ImapProvider
from inboxops_local.standins.http import Fault, Serving
from tests.connecting.conftest import pointed_at
from tests.outages.conftest import Post, Services
from tests.providers.cloud_kits import GmailServer, GraphServer, consented
from tests.push.conftest import StandInAirflow
from tests.sending.conftest import Desk
from tests.sending.smtpserver import STEPS, SteppedSmtp, Submission
from tests.stories.conftest import Mailbox, mail

TOKENS = "POST .*/token"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits a second where the product waits a minute."""
    patient = ImapProvider.__init__
    monkeypatch.setattr(ImapProvider, "__init__", lambda self, **_: patient(self, connect_seconds=1, read_seconds=1))
    monkeypatch.setattr(oauth_http, "SECONDS", 1.0)


@contextmanager
def silent(post: Post) -> Iterator[None]:
    post.proxy.is_silent = True
    post.proxy.drop_all()
    yield
    post.proxy.is_silent = False


@contextmanager
def cut_in_a_literal(post: Post) -> Iterator[None]:
    """Far behind all that is said before a mail of 200 KB, and before its end."""
    post.proxy.cut_after = 50_000
    yield
    post.proxy.cut_after = None


@contextmanager
def without_names(post: Post) -> Iterator[None]:
    """The resolver of this machine is away: every name of a mail server, no address."""
    resolve = socket.getaddrinfo

    def away(host: Any, *more: Any, **named: Any) -> Any:
        if host == "localhost":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(host, *more, **named)

    post.proxy.drop_all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", away)
        yield


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("outage", [silent, cut_in_a_literal, without_names])
def test_an_inbox_says_that_its_server_does_not_answer(post: Post, outage: Callable[[Post], Iterator[None]]) -> None:
    post.deliver("small")
    post.deliver("large", body="x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 3000)
    with outage(post):  # type: ignore[attr-defined]
        for _ in range(2):
            with pytest.raises(TransientError):
                post.poll()
        assert "localhost" in str(post.box.inbox.last_error)
        assert post.told() == []
        post.lasts()
        assert post.told() == [("inbox_not_read", False)]
    post.poll()
    post.is_whole("small", "large")
    assert post.told() == [("inbox_not_read", False), ("inbox_not_read", True)]


@pytest.mark.usefixtures("impatient")
def test_an_inbox_that_is_disconnected_while_it_waits_is_not_said_to_be_read(post: Post) -> None:
    with silent(post), pytest.raises(TransientError):
        post.poll()
    post.lasts()
    assert post.told() == [("inbox_not_read", False)]
    post.box.server.add_user(post.box.user, "another password")
    with pytest.raises(Exception, match="credentials"):
        post.poll()
    assert post.told()[1:] == [("inbox_disconnected", False)]
    post.box.server.add_user(post.box.user, "secret password")
    sealed = post.world.inboxes.credentials(post.box.inbox_id)
    assert sealed is not None
    post.world.inboxes.reconnect(post.box.inbox_id, post.box.inbox.connection, sealed)
    assert sorted(post.told()[2:]) == [("inbox_disconnected", True), ("inbox_not_read", True)]


@pytest.mark.usefixtures("impatient")
def test_what_came_before_the_connection_broke_is_filed_by_the_run_that_fails(post: Post) -> None:
    """It is durable, and the next poll, which is as likely to fail, may be an hour off."""
    large = ("y" * 70 + "\r\n") * 40_000  # of two such mails each is a batch of its own
    post.deliver("first", body=large)
    post.deliver("second", body=large)
    post.proxy.cut_after = len(large) * 3 // 2
    with pytest.raises(TransientError, match="localhost"):
        post.poll()
    assert (post.box.tickets(), post.box.states()) == ([("first", 1)], {"persisted": 1})
    assert "localhost" in str(post.box.inbox.last_error)
    post.proxy.cut_after = None
    post.poll()
    post.is_whole("first", "second")


# -- sign-ins


@pytest.fixture(params=["gmail", "microsoft"])
def cloud(
    request: pytest.FixtureRequest, post: Post, own: Services
) -> Iterator[tuple[Post, GmailServer | GraphServer]]:
    """The same, but for a mailbox that lives on a consent, whose access token has just run out."""
    server = request.getfixturevalue("gmail_server" if request.param == "gmail" else "graph_server")
    world = World(pointed_at(post.world.settings, request.param, server.serving))
    address = f"u{uuid.uuid4().hex[:12]}@example.org"
    server.stand_in.mailbox(address)
    consent = consented(server.consent(), address, server.ca_file)
    inbox_id = world.inboxes.add(
        tenant_id=post.box.inbox.tenant_id, name="cloud", email_address=address, display_name="",
        connection_type=request.param, connection=consent.connection, credentials=world.vault.seal(consent.secrets),
        first_sync_days=7, first_sync_messages=500,
    )  # fmt: skip
    assert inbox_id is not None
    box = Mailbox(world, post.box.server, address, inbox_id)
    made = Post(box, post.proxy, post.receiver)
    made.poll()
    server.stand_in.deliver(address, mail("meanwhile"))
    server.stand_in.authority.expire_access_tokens(address)
    yield made, server
    server.stand_in.heal()
    server.stand_in.at = lambda when, line: None
    server.stand_in.authority.rotating = True
    world.inboxes.remove(inbox_id)
    world.close()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("trouble", ["429", "500", "hangs"])
def test_a_token_endpoint_in_trouble_disconnects_nobody(
    cloud: tuple[Post, GmailServer | GraphServer], trouble: str
) -> None:
    """The request that hung is carried out later: providers whose refresh tokens stay good (both) lose nothing by it."""
    post, server = cloud
    server.stand_in.authority.rotating = False
    enough = threading.Event()
    if trouble == "hangs":
        server.stand_in.at = lambda when, line: "/token" in line and when == "before" and enough.wait(60) and None
    else:
        server.stand_in.fail(Fault(TOKENS, status=int(trouble), times=1000))
    for _ in range(2):
        with pytest.raises(TransientError):
            post.poll()
    assert post.box.inbox.is_live
    assert post.box.inbox.last_error
    post.lasts()
    assert post.told() == [("inbox_not_read", False)]
    enough.set()
    server.stand_in.at = lambda when, line: None
    server.stand_in.heal()
    post.poll()
    post.is_whole("meanwhile")
    assert post.told() == [("inbox_not_read", False), ("inbox_not_read", True)]


# -- what leaves


@pytest.mark.parametrize("step", [step for step in STEPS if step != "taken"])
def test_a_submission_server_that_breaks_off_anywhere_sends_one_mail_at_most(post: Post, step: str) -> None:
    post.deliver("question")
    post.poll()
    desk = Desk(post.box, Submission())
    trouble = SteppedSmtp(lambda at: at != step)
    desk.through(trouble.port, smtp_auth="none", smtp_security="plain")
    [[ticket]] = post.box.query("SELECT id FROM tickets WHERE inbox_id = %s", post.box.inbox_id)
    accepted = desk.reply(int(str(ticket)))
    with pytest.raises(TransientError):
        desk.send(accepted)
    row = desk.row(accepted.message_id)
    assert row["send_error"], "it says what it waits for"
    trouble.stop()
    desk.through(desk.submission.port, smtp_auth="none", smtp_security="plain")
    if row["send_status"] == "pending":
        assert desk.send(accepted) == "sent"
        assert (len(trouble.taken), len(desk.taken)) == (0, 1)
        assert post.told() == []
    else:  # only behind the last step may it have left: a person is asked, once, and answers
        assert (step in ("body", "end"), row["send_status"]) == (True, "unknown")
        assert post.told() == [("reply_failed", False)]
        attempt = desk.world.outbound.retry(desk.tenant_id, accepted.message_id)
        assert desk.send(accepted, attempt) == "sent"
        assert post.told() == [("reply_failed", False), ("reply_failed", True)]
    desk.submission.stop()


@pytest.mark.parametrize("answer", [503, 200], ids=["away", "a proxy's page"])
def test_wakes_and_sends_wait_for_airflow(post: Post, airflow: Serving, answer: int) -> None:
    stand_in = airflow.stand_in
    assert isinstance(stand_in, StandInAirflow)
    page = "<html>We are back soon</html>"
    stand_in.fail(Fault("/assets|dagRuns|inboxops-roster", status=answer, body=page, times=10_000))
    assert not runs.wake(post.world, post.box.inbox_id)
    post.world.inboxes.change(post.box.inbox_id, auto_response_enabled=True, auto_response_body="Thank you.")
    post.deliver("question")
    post.poll()
    assert upkeep.drain(post.world).wakes_waiting >= 1
    assert (stand_in.wakes, stand_in.runs) == ([], {})
    tenant_id = post.box.inbox.tenant_id
    waiting = post.box.query(
        "SELECT kind FROM outbox WHERE tenant_id = %s AND done_at IS NULL AND last_error LIKE '%%Airflow%%' ORDER BY 1",
        tenant_id,
    )
    assert waiting == [("send",), ("wake",)], "they say what they wait for"
    stand_in.heal()
    post.box.query(
        "UPDATE outbox SET available_at = now() WHERE tenant_id = %s AND done_at IS NULL RETURNING 1", tenant_id
    )
    upkeep.drain(post.world)
    assert stand_in.wakes == [post.box.inbox_id]
    assert post.box.query("SELECT 1 FROM outbox WHERE tenant_id = %s AND done_at IS NULL", tenant_id) == []
