"""A rehearsal says what a mailbox's last days would become, and what it says comes true."""

from __future__ import annotations

from typer.testing import CliRunner

from inboxops.cli import app
from inboxops.composition import connecting
from tests.connecting.conftest import Stage

BOUNCE = b"""Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.example.net>
To: support@example.org
Subject: Undelivered Mail Returned to Sender
Message-ID: <bounce-1@mx.example.net>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

Your message could not be delivered.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net

Final-Recipient: rfc822; otto@example.net
Action: failed
Status: 5.1.1

--b--
""".replace(b"\n", b"\r\n")


def person(subject: str, message_id: str, answers: str = "") -> bytes:
    thread = f"In-Reply-To: <{answers}>\r\nReferences: <{answers}>\r\n" if answers else ""
    return (
        f"From: Anna <anna@example.net>\r\nTo: support@example.org\r\nSubject: {subject}\r\n"
        f"Message-ID: <{message_id}>\r\n{thread}\r\nThe printer prints stripes.\r\n"
    ).encode()


def rows(stage: Stage) -> int:
    with stage.world.database.transaction() as t:
        found = t.connection.execute(
            "SELECT (SELECT count(*) FROM inbound) + (SELECT count(*) FROM tickets) + (SELECT count(*) FROM messages)"
            " + (SELECT count(*) FROM attachments) + (SELECT count(*) FROM bounces) + (SELECT count(*) FROM outbox) AS n"
        ).fetchone()
        assert found is not None
        return int(found["n"])


def test_what_is_rehearsed_comes_true_and_nothing_is_written_before(stage: Stage) -> None:
    for raw in (
        person("Printer", "1@example.net"),
        person("Re: Printer", "2@example.net", "1@example.net"),
        person("Invoice", "3@example.net"),
        BOUNCE,
    ):
        stage.deliver(raw)
    stage.browser().connect(stage.link(paused=True))
    inbox = stage.inbox()
    assert not inbox.is_live
    before = rows(stage)
    done = connecting.rehearse(stage.world, inbox.id, days=7, most=100)
    assert rows(stage) == before
    assert stage.inbox().cursor.is_start
    assert done.outcomes == {"new ticket": 2, "reply": 1, "listed": 1}
    assert [(s.subject, s.outcome) for s in done.scenes if s.outcome == "reply"] == [("Re: Printer", "reply")]
    assert {s.verdict for s in done.scenes if s.outcome == "listed"} == {"bounce"}
    stage.world.inboxes.pause(inbox.id, paused=False)
    stage.run()
    assert stage.subjects() == ["Invoice", "Printer"]
    again = connecting.rehearse(stage.world, inbox.id, days=7, most=100)
    assert again.outcomes == {"duplicate": 4}


def test_mail_that_cannot_be_read_is_rehearsed_as_refused(stage: Stage) -> None:
    stage.deliver(b"")
    stage.browser().connect(stage.link(paused=True))
    done = connecting.rehearse(stage.world, stage.inbox().id, days=1, most=10)
    assert len(done.scenes) == 1


def test_the_command_prints_a_table(stage: Stage) -> None:
    stage.deliver(person("Printer", "1@example.net"))
    stage.connected()
    env = {f"INBOXOPS_{name.upper()}": _plain(value) for name, value in stage.world.settings if value}
    result = CliRunner().invoke(app, ["inbox", "rehearse", stage.inbox().name, "--tenant", stage.tenant], env=env)
    assert result.exit_code == 0, result.output
    assert "new ticket" in result.output
    assert "Nothing was written" in result.output


def _plain(value: object) -> str:
    reveal = getattr(value, "get_secret_value", None)
    return str(reveal() if reveal else value)
