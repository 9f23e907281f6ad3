"""What every way out keeps to, and what Gmail and Microsoft add: ids of their own, threads, and copies that prove something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from inboxops.core.attachments import MESSAGE_BYTES
from inboxops.core.compose import Outgoing, compose
from inboxops.core.ids import normalise_message_id
from inboxops.core.model import Address, Attachment
from inboxops.core.rules.own_loop import loop_mark
from inboxops.errors import (
    AuthenticationFailed,
    InboxOpsError,
    MessageRefused,
    OutcomeUnknown,
    Throttled,
    TransientError,
)
from inboxops.ports import Envelope, Sent, Trace
from inboxops_local.standins.http import Fault
from tests.sending.sender_kits import KITS, CloudSenderKit, GmailSenderKit, GraphSenderKit, SenderKit

ENVELOPE = Envelope("support@acme.example", ("ann@customer.example",))
SINCE = datetime.now(UTC) - timedelta(hours=1)
OURS = "io.1.2.abcdefghijklmnopqrstuvwxyz@acme.example"


@pytest.fixture(params=sorted(KITS))
def kit(request: pytest.FixtureRequest) -> Iterator[SenderKit]:
    make, server = KITS[request.param]
    made: SenderKit = make(request.getfixturevalue(server))  # type: ignore[operator]
    yield made
    made.close()


@pytest.fixture(params=["gmail", "microsoft"])
def cloud(request: pytest.FixtureRequest) -> Iterator[CloudSenderKit]:
    make, server = KITS[request.param]
    made = make(request.getfixturevalue(server))  # type: ignore[operator]
    yield made
    made.close()


@pytest.fixture
def gmail(request: pytest.FixtureRequest) -> Iterator[GmailSenderKit]:
    made = GmailSenderKit(request.getfixturevalue("gmail_server"))
    yield made
    made.close()


@pytest.fixture
def graph(request: pytest.FixtureRequest) -> Iterator[GraphSenderKit]:
    made = GraphSenderKit(request.getfixturevalue("graph_server"))
    yield made
    made.close()


def message(*files: Attachment, text: str = "Here you are.", to: str = "ann@customer.example") -> bytes:
    return compose(
        Outgoing(
            message_id=OURS,
            sender=Address("Ünser Team", "support@acme.example"),
            to=(Address("Ann", to),),
            cc=(),
            subject="Re: Größe [#7]",
            text=text,
            html="<p>Here you are.</p>",
            date=datetime(2026, 3, 1, tzinfo=UTC),
            in_reply_to="first@customer.example",
            references=("root@customer.example", "first@customer.example"),
            attachments=files,
        )
    )


SMALL = message()
LARGE = message(
    Attachment("Ärger.bin", "application/octet-stream", bytes(range(256)) * 16_000),  # 4 MB
    Attachment("small.txt", "text/plain", b"small"),
    Attachment("middle.pdf", "application/pdf", b"%PDF-" + b"x" * 3_200_000),
)


def send(kit: SenderKit, raw: bytes = SMALL, *, thread_id: str | None = None) -> Sent:
    return kit.sender.send(kit.account, raw, ENVELOPE, commit=lambda: None, thread_id=thread_id)


def parsed(raw: bytes) -> EmailMessage:
    found = message_from_bytes(raw, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def test_what_arrives_is_what_was_sent_and_permission_was_asked_once_before(kit: SenderKit) -> None:
    seen: list[int] = []
    sent = kit.sender.send(kit.account, SMALL, ENVELOPE, commit=lambda: seen.append(len(kit.arrived())), thread_id=None)
    assert (seen, kit.arrived()) == ([0], [SMALL])
    assert (sent.wire_message_id, sent.refused) == ("", ())
    assert re.fullmatch(kit.answer, sent.answer), "by this the server's operators find it"


def test_what_left_is_among_the_copies_where_they_are_kept(kit: SenderKit) -> None:
    before = datetime.now(UTC) - timedelta(days=2)
    kept = kit.sender.copies(kit.account, since=before)
    if kept is None:
        pytest.fail("this kit's mailbox keeps copies")
    assert OURS not in {copy.message_id for copy in kept}
    send(kit)
    kit.sender.keep_copy(kit.account, SMALL)
    found = [copy for copy in kit.sender.copies(kit.account, since=before) or () if copy.message_id == OURS]
    assert len(found) == 1
    assert found[0].mark in ("", loop_mark(OURS))


def test_without_permission_nothing_leaves(kit: SenderKit) -> None:
    def refuse() -> None:
        raise TransientError("another run took it over")

    for raw in (SMALL, LARGE):
        with pytest.raises(TransientError, match="another run"):
            kit.sender.send(kit.account, raw, ENVELOPE, commit=refuse, thread_id=None)
    assert kit.arrived() == []


def test_a_refusal_is_for_good(kit: SenderKit) -> None:
    kit.refuse()
    with pytest.raises(MessageRefused):
        send(kit)
    assert kit.arrived() == []


def test_throttling_is_no_refusal(kit: SenderKit) -> None:
    kit.ask_for_patience()
    with pytest.raises(Throttled):
        send(kit)
    assert kit.arrived() == []


def test_a_server_that_is_away_leaves_no_doubt(kit: SenderKit) -> None:
    kit.vanish()
    with pytest.raises(InboxOpsError) as caught:
        send(kit)
    assert type(caught.value) is TransientError


def test_an_answer_that_is_lost_leaves_the_outcome_unknown(kit: SenderKit) -> None:
    kit.lose_the_answer()
    with pytest.raises(OutcomeUnknown):
        send(kit)
    assert len(kit.arrived()) == 1, "the server took it, and was not asked a second time"


def test_large_files_arrive_byte_for_byte(kit: SenderKit) -> None:
    assert send(kit, LARGE).wire_message_id == ""
    [arrived] = kit.arrived()
    there, here = parsed(arrived), parsed(LARGE)
    for name in ("Message-ID", "In-Reply-To", "References", "Subject", "From", "To", "X-InboxOps-Loop"):
        assert there[name] == here[name], name
    assert [
        (part.get_filename(), part.get_content_type(), part.get_content()) for part in there.iter_attachments()
    ] == [(part.get_filename(), part.get_content_type(), part.get_content()) for part in here.iter_attachments()]
    body = there.get_body(("plain",))
    assert body is not None
    assert body.get_content().splitlines() == ["Here you are."]


def test_the_most_that_a_reply_may_carry_gets_through(kit: SenderKit) -> None:
    content = bytes(range(256)) * (MESSAGE_BYTES // 256)
    send(kit, message(Attachment("all.bin", "application/octet-stream", content)))
    [file] = parsed(kit.arrived()[0]).iter_attachments()
    assert file.get_content() == content


# -- Gmail and Microsoft


@pytest.mark.parametrize("raw", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_is_no_proof_that_nothing_left(cloud: CloudSenderKit, status: int, raw: bytes) -> None:
    cloud.fail(status, headers={"Retry-After": "5"})
    with pytest.raises(OutcomeUnknown):
        send(cloud, raw)


def test_what_a_server_error_says_is_kept_for_whoever_decides(cloud: CloudSenderKit) -> None:
    cloud.fail(507, '{"error": {"code": "ErrorQuotaExceeded",\r\n "message": "The mailbox is full."}}')
    with pytest.raises(OutcomeUnknown, match=r"507.*ErrorQuotaExceeded.*The mailbox is full"):
        send(cloud)


@pytest.mark.parametrize("raw", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_message_in_doubt_is_found_among_what_was_sent(cloud: CloudSenderKit, raw: bytes, replaced: bool) -> None:
    cloud.box.stand_in.replaces_message_id = replaced
    assert cloud.sender.find_sent(cloud.account, OURS, since=SINCE) == Trace(False)
    cloud.lose_the_answer()
    with pytest.raises(OutcomeUnknown):
        send(cloud, raw)
    trace = cloud.sender.find_sent(cloud.account, OURS, since=SINCE)
    assert trace == Trace(True, wire_id(cloud) if replaced else "")


@pytest.mark.parametrize("raw", [SMALL, LARGE], ids=["small", "large"])
def test_the_id_that_went_out_is_told(cloud: CloudSenderKit, raw: bytes) -> None:
    cloud.box.stand_in.replaces_message_id = True
    assert send(cloud, raw).wire_message_id == wire_id(cloud)
    assert wire_id(cloud) != OURS


def wire_id(kit: SenderKit) -> str:
    return normalise_message_id(str(parsed(kit.arrived()[-1])["Message-ID"]))


def test_an_expired_token_is_renewed_and_the_message_goes_once(cloud: CloudSenderKit) -> None:
    cloud.box.expire_token()
    send(cloud)
    assert len(cloud.arrived()) == 1


def test_a_consent_that_is_gone_is_told_before_permission_is_asked(cloud: CloudSenderKit) -> None:
    cloud.box.revoke()
    asked: list[bool] = []
    with pytest.raises(AuthenticationFailed):
        cloud.sender.check(cloud.account)
    with pytest.raises(AuthenticationFailed):
        cloud.sender.send(cloud.account, LARGE, ENVELOPE, commit=lambda: asked.append(True), thread_id=None)
    assert cloud.arrived() == []


def test_the_providers_keep_the_copy_themselves(cloud: CloudSenderKit) -> None:
    send(cloud)
    cloud.sender.keep_copy(cloud.account, SMALL)
    assert cloud.arrived() == [SMALL]
    assert cloud.sender.check(cloud.account).startswith("localhost:")


# -- Gmail


def test_gmail_keeps_the_thread(gmail: GmailSenderKit) -> None:
    stand_in = gmail.box.stand_in
    asked = stand_in.deliver(gmail.account.email_address, b"Message-ID: <x@y.example>\r\nSubject: ?\r\n\r\n?\r\n")
    send(gmail, thread_id=asked.thread_id)
    [answer] = [m for m in stand_in.mailbox(gmail.account.email_address).messages.values() if "SENT" in m.labels]
    assert answer.thread_id == asked.thread_id


def test_gmail_sends_outside_of_a_thread_that_is_gone(gmail: GmailSenderKit) -> None:
    asked: list[bool] = []
    gmail.sender.send(gmail.account, SMALL, ENVELOPE, commit=lambda: asked.append(True), thread_id="deadbeef")
    assert (gmail.arrived(), asked) == ([SMALL], [True])


def test_gmail_is_asked_nothing_about_a_message_over_its_limit(gmail: GmailSenderKit) -> None:
    gmail.box.requests()
    with pytest.raises(MessageRefused, match="36700160"):
        send(gmail, SMALL + b"x" * 36_700_160)
    assert gmail.box.requests() == []


def test_gmail_takes_letters_of_every_script_in_an_address(gmail: GmailSenderKit) -> None:
    raw = message(to="jürgen@customer.example")
    send(gmail, raw)
    assert gmail.arrived() == [raw]


def test_a_flood_of_sent_mail_leaves_the_question_open(gmail: GmailSenderKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inboxops.providers.gmail_send._MOST_LOOKED_AT", 3)
    for number in range(3):
        gmail.box.stand_in.deliver(gmail.account.email_address, b"Subject: %d\r\n\r\n" % number, labels=("SENT",))
    assert gmail.sender.find_sent(gmail.account, OURS, since=SINCE) == Trace(None)


# -- Microsoft


def requests(graph: GraphSenderKit) -> list[str]:
    return [re.sub(r"AAkALg\w+|uploads/.*", "*", line.partition("?")[0]) for line in graph.box.requests()]


def test_graph_takes_a_small_message_in_one_request_and_looks_for_its_copy(graph: GraphSenderKit) -> None:
    graph.box.requests()
    send(graph)
    assert requests(graph) == ["POST /v1.0/me/sendMail", "GET /v1.0/me/messages"]


def test_graph_gets_a_large_one_as_a_draft_with_files(graph: GraphSenderKit) -> None:
    graph.box.requests()
    send(graph, LARGE)
    lines = requests(graph)
    assert lines[0] == "GET /v1.0/me/mailFolders/drafts/messages"
    assert lines[1] == "POST /v1.0/me/messages"
    assert lines.count("POST /v1.0/me/messages/*/attachments/createUploadSession") == 2
    assert lines.count("POST /v1.0/me/messages/*/attachments") == 1
    assert lines.count("PUT /*") == 3
    assert lines[-1] == "POST /v1.0/me/messages/*/send"


@pytest.mark.parametrize(
    "step", ["POST /v1.0/me/messages", "/attachments$", "createUploadSession", "PUT /uploads", "/send$"]
)
def test_a_draft_that_did_not_leave_is_taken_back(graph: GraphSenderKit, step: str) -> None:
    graph.box.fail(Fault(f"{step}", status=400, body=graph.refusal))
    with pytest.raises(MessageRefused if step == "/send$" else InboxOpsError):
        send(graph, LARGE)
    assert drafts(graph) == 0
    send(graph, LARGE)
    assert len(graph.arrived()) == 1


def test_a_draft_that_a_killed_run_left_is_taken_back_by_the_next(graph: GraphSenderKit) -> None:
    graph.box.stand_in.mailbox(graph.account.email_address).add(SMALL, folder="drafts").is_draft = True
    assert graph.sender.find_sent(graph.account, OURS, since=SINCE) == Trace(False)
    send(graph, LARGE)
    assert drafts(graph) == 0


def test_what_waits_in_the_outbox_is_neither_sent_nor_lost(graph: GraphSenderKit) -> None:
    graph.box.stand_in.mailbox(graph.account.email_address).add(SMALL, folder="outbox").is_draft = True
    with pytest.raises(TransientError, match="Outbox"):
        graph.sender.find_sent(graph.account, OURS, since=SINCE)


@pytest.mark.parametrize("status", [401, 404, 410])
def test_an_upload_that_was_forgotten_is_begun_again_and_disconnects_nobody(graph: GraphSenderKit, status: int) -> None:
    """Its address is a permission of its own and says nothing about the account's."""
    graph.box.fail(Fault("PUT /uploads", status=status, body='{"error": {"code": "InvalidAuthenticationToken"}}'))
    with pytest.raises(TransientError, match="upload"):
        send(graph, LARGE)
    assert drafts(graph) == 0
    send(graph, LARGE)
    assert len(graph.arrived()) == 1


def test_who_may_not_send_as_the_mailbox_is_told_so(graph: GraphSenderKit) -> None:
    said = "The user account which was used to submit this request does not have the right to send mail on behalf of"
    graph.fail(403, f'{{"error": {{"code": "ErrorSendAsDenied", "message": "{said} the sending account."}}}}')
    with pytest.raises(MessageRefused, match="Send as"):
        send(graph)


def test_sent_mail_that_exchange_makes_no_mime_of_does_not_keep_a_doubt_alive(graph: GraphSenderKit) -> None:
    opaque = graph.box.stand_in.mailbox(graph.account.email_address).add(
        b"Message-ID: <s@x>\r\n\r\n", folder="sentitems"
    )
    opaque.converts = False
    assert graph.sender.find_sent(graph.account, OURS, since=SINCE) == Trace(False)


def test_a_consent_from_before_says_what_is_missing_for_large_messages(graph: GraphSenderKit) -> None:
    token = graph.box.stand_in.authority.grant(graph.account.email_address, ["Mail.Read", "Mail.Send"])["access_token"]
    graph.box.hand_out(token)
    send(graph)
    with pytest.raises(MessageRefused, match=r"Mail\.ReadWrite"):
        send(graph, LARGE)


def test_a_text_over_the_limit_is_refused_with_the_limit(graph: GraphSenderKit) -> None:
    with pytest.raises(MessageRefused, match="4 MB"):
        send(graph, message(text="ü" * 1_500_000))


def drafts(graph: GraphSenderKit) -> int:
    mailbox = graph.box.stand_in.mailbox(graph.account.email_address)
    return len(list(mailbox.within(mailbox.folder("drafts"))))
