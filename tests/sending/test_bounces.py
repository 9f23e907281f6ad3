"""A reply that is refused on its way comes back and marks the very message."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from inboxops.composition.world import World
from inboxops_lab.testing.mailserver import MailServer
from tests.sending.conftest import Desk
from tests.sending.smtpserver import Submission, Taken
from tests.stories.conftest import connect


class Relay:
    """A submission server that delivers to the recipients' server, and sends a report (RFC 3464) when that refuses."""

    def __init__(self, target: Submission, mailboxes: MailServer, user: str) -> None:
        self._target, self._mailboxes, self._user = target, mailboxes, user
        self.submission = Submission(users={user: "secret password"}, on_taken=self._deliver)

    def _deliver(self, taken: Taken) -> None:
        with smtplib.SMTP("127.0.0.1", self._target.port, "relay.example") as smtp:
            smtp.ehlo()
            smtp.mail(taken.sender)
            for recipient in taken.recipients:
                code, reply = smtp.rcpt(recipient)
                if code >= 500:
                    self._mailboxes.append(self._user, report(taken, recipient, f"{code} {reply.decode()}"))


def report(taken: Taken, recipient: str, reply: str) -> bytes:
    head = taken.raw.partition(b"\r\n\r\n")[0]
    return b"\r\n".join(
        [
            b"Return-Path: <>",
            b"From: MAILER-DAEMON@relay.example (Mail Delivery System)",
            f"To: {taken.sender}".encode(),
            b"Subject: Undelivered Mail Returned to Sender",
            f"Date: {datetime.now(UTC):%a, %d %b %Y %H:%M:%S +0000}".encode(),
            f"Message-ID: <{abs(hash((taken.raw, recipient)))}@relay.example>".encode(),
            b"Auto-Submitted: auto-replied",
            b'Content-Type: multipart/report; report-type=delivery-status; boundary="r"',
            b"",
            b"--r",
            b"Content-Type: text/plain",
            b"",
            b"I'm sorry to have to inform you that your message could not be delivered.",
            b"--r",
            b"Content-Type: message/delivery-status",
            b"",
            b"Reporting-MTA: dns; relay.example",
            b"",
            f"Final-Recipient: rfc822; {recipient}".encode(),
            b"Action: failed",
            f"Status: {reply.split()[1]}".encode(),
            f"Diagnostic-Code: smtp; {reply}".encode(),
            b"",
            b"--r",
            b"Content-Type: text/rfc822-headers",
            b"",
            head,
            b"",
            b"--r--",
            b"",
        ]
    )


@pytest.fixture
def relayed(world: World, tenant: str, mail_server: MailServer) -> Iterator[tuple[Desk, Submission]]:
    box = connect(world, tenant, mail_server)
    target = Submission()
    relay = Relay(target, mail_server, box.user)
    desk = Desk(box, relay.submission)
    desk.through(relay.submission.port, smtp_security="plain")
    yield desk, target
    relay.submission.stop()
    target.stop()


def test_a_refused_reply_comes_back_and_marks_itself_and_no_other(relayed: tuple[Desk, Submission]) -> None:
    desk, target = relayed
    ticket = desk.ticket(sender="gone@customer.example")
    fine = desk.reply(ticket, "first")
    assert desk.send(fine) == "sent"
    target.refuse["gone@customer.example"] = "550 5.1.1 no such user here"
    lost = desk.reply(ticket, "second")
    assert desk.send(lost) == "sent"
    assert len(desk.box.tickets()) == 1
    desk.box.run()
    assert desk.row(lost.message_id)["bounce_received_at"] is not None
    assert desk.row(fine.message_id)["bounce_received_at"] is None
    bounces = desk.box.query("SELECT kind, recipients, status FROM bounces WHERE message_id = %s", lost.message_id)
    assert bounces == [("hard", ["gone@customer.example"], "5.1.1")]
    assert len(desk.box.tickets()) == 1, "a bounce is a note on the ticket, never a ticket"


def told(
    to: str, message_id: str, body: str, *, sender: str = "Mail Delivery System <MAILER-DAEMON@relay.example>"
) -> bytes:
    is_report = sender.startswith("Mail Delivery")
    head = [
        *(["Return-Path: <>"] if is_report else []),
        f"From: {sender}",
        f"To: {to}",
        f"Subject: {'Undelivered Mail Returned to Sender' if is_report else 'Re: your answer'}",
        f"Date: {datetime.now(UTC):%a, %d %b %Y %H:%M:%S +0000}",
        f"Message-ID: <{message_id}>",
    ]
    return "\r\n".join([*head, "", body, ""]).encode()


def test_a_report_that_names_the_reply_by_our_signed_id_alone_marks_it(desk: Desk) -> None:
    lost = desk.reply(desk.ticket(sender="gone@customer.example"))
    assert desk.send(lost) == "sent"
    body = f"gone@customer.example\r\n550 5.1.1 user unknown\r\nMessage ID: {desk.row(lost.message_id)['message_id_header']}"
    desk.box.deliver(told(desk.box.inbox.email_address, "report-1@relay.example", body))
    desk.box.run()
    assert desk.row(lost.message_id)["bounce_received_at"] is not None
    assert desk.box.query("SELECT message_id FROM bounces WHERE inbox_id = %s", desk.box.inbox_id) == [
        (lost.message_id,)
    ]
    assert len(desk.box.tickets()) == 1


def test_what_a_gateway_sends_under_the_id_of_our_reply_is_a_report_or_an_answer_and_not_our_reply(desk: Desk) -> None:
    reply = desk.reply(desk.ticket(sender="ann@customer.example"))
    assert desk.send(reply) == "sent"
    to, ours = desk.box.inbox.email_address, desk.row(reply.message_id)["message_id_header"]
    report = told(to, ours, "gone@customer.example\r\n550 5.1.1 user unknown")
    answer = told(to, ours, "Thank you, it works.", sender="ann@customer.example")
    for _ in range(2):
        desk.box.deliver(report, answer)
        desk.box.run()
    assert desk.row(reply.message_id)["bounce_received_at"] is not None
    assert desk.box.states() == {"persisted": 3, "duplicate": 2}
    [(_, messages)] = desk.box.tickets()
    assert messages == 4, "the question, our reply, the report as a note, and the answer"
