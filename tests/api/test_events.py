"""The stream of events over HTTP: who hears what, from when on, and what a client sees when Redis is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from inboxops.composition import sending
from inboxops.errors import AuthenticationFailed
from inboxops.settings import Settings
from tests.api.conftest import Api
from tests.sending.conftest import Desk
from tests.webserver import serving


@pytest.fixture(scope="module")
def server(services: Settings) -> Iterator[str]:
    with serving(services) as url:
        yield url


class Heard:
    """Events of an open stream, one at a time."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()
        self.place = ""

    def next(self) -> dict[str, object]:
        fields: dict[str, str] = {}
        for line in self._lines:
            if not line and "event" in fields:
                self.place = fields.get("id", self.place)
                return {"event": fields["event"], **json.loads(fields["data"])}
            name, _, value = line.partition(": ")
            fields[name] = value
        raise EOFError("the stream ended")

    def until(self, event: str) -> dict[str, object]:
        while (heard := self.next())["event"] != event:
            pass
        return heard


@contextmanager
def listening(server: str, api: Api, **headers: str) -> Iterator[Heard]:
    with httpx.stream("GET", f"{server}/v1/events", headers={**api.agent, **headers}, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        heard = Heard(answer)
        assert heard.next()["event"] == "ready"
        yield heard


def test_a_mail_that_comes_in_is_heard_with_its_ticket_and_message(server: str, api: Api, desk: Desk) -> None:
    with listening(server, api) as heard:
        ticket = desk.ticket()
        added = heard.next()
        assert (added["event"], added["ticket_id"], added["type"]) == ("ticket.message_added", ticket, "message")
        updated = heard.next()
        assert (updated["event"], updated["ticket_id"]) == ("ticket.updated", ticket)


def test_who_comes_back_hears_what_happened_meanwhile(server: str, api: Api, desk: Desk) -> None:
    with listening(server, api) as heard:
        desk.ticket()
        heard.until("ticket.updated")
        place = heard.place
    ticket = desk.ticket()
    with listening(server, api, **{"Last-Event-ID": place}) as heard:
        assert heard.until("ticket.message_added")["ticket_id"] == ticket


def test_a_tenant_hears_nothing_of_another(server: str, api: Api, stranger: Api, desk: Desk) -> None:
    with listening(server, stranger) as heard:
        desk.ticket()
        with listening(server, api) as own:
            desk.ticket()
            own.until("ticket.updated")
        stranger_id = stranger.tenant_id
        with desk.world.database.transaction() as t:
            t.connection.execute(
                b"INSERT INTO outbox (tenant_id, kind, name, payload) VALUES (%s, 'event', 'ticket.updated', '{}')",
                (stranger_id,),
            )
        sending.publish(desk.world, stranger_id)
        assert heard.next()["tenant_id"] == stranger_id


def test_a_reply_that_failed_is_heard(server: str, api: Api, desk: Desk) -> None:
    accepted = desk.reply(desk.ticket())
    desk.submission.answer = "550 no"
    with listening(server, api) as heard:
        with pytest.raises(Exception, match="550"):
            desk.send(accepted)
        failed = heard.until("message.failed")
        assert (failed["message_id"], "550" in str(failed["error"])) == (accepted.message_id, True)


def test_a_bounce_is_heard(server: str, api: Api, desk: Desk) -> None:
    accepted = desk.reply(desk.ticket())
    desk.send(accepted)
    report = [
        "From: MAILER-DAEMON@mx.example",
        "To: support@acme.example",
        "Subject: Undelivered Mail Returned to Sender",
        f"Message-ID: <bounce-{accepted.message_id}@mx.example>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"',
        "",
        "--b",
        "Content-Type: text/plain",
        "",
        "The address does not exist.",
        "--b",
        "Content-Type: message/delivery-status",
        "",
        "Reporting-MTA: dns; mx.example",
        "",
        "Final-Recipient: rfc822; ann@customer.example",
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user",
        "--b",
        "Content-Type: text/rfc822-headers",
        "",
        f"Message-ID: <{accepted.message_id_header}>",
        "--b--",
        "",
    ]
    with listening(server, api) as heard:
        desk.box.deliver("\r\n".join(report).encode())
        desk.box.run()
        assert heard.until("message.bounced")["message_id"] == accepted.message_id


def test_an_inbox_that_disconnects_and_comes_back_is_heard(server: str, api: Api, desk: Desk) -> None:
    inbox = desk.box.inbox
    sealed = desk.world.inboxes.credentials(inbox.id)
    assert sealed is not None
    with listening(server, api) as heard:
        desk.world.inboxes.disconnect(inbox, AuthenticationFailed("the password is wrong"))
        desk.world.inboxes.reconnect(inbox.id, inbox.connection, sealed)
        sending.publish(desk.world, desk.tenant_id)
        assert heard.next()["event"] == "inbox.disconnected"
        assert heard.next()["event"] == "inbox.connected"


def test_without_a_key_nothing_is_heard(server: str) -> None:
    assert httpx.get(f"{server}/v1/events").status_code == 401
