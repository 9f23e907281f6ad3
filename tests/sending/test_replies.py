"""A reply as the customer's client gets it, and its fate as the agent sees it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.bases.operator import ExecutorSafeguard

from inboxops.composition import correcting, sending
from inboxops.core.corrections import Kind, Request
from inboxops.core.model import Address
from inboxops.errors import AuthenticationFailed, Conflict, InvalidInput, MessageRefused, OutcomeUnknown, TransientError
from inboxops.stories.reply import OtherRequest
from inboxops_airflow import connections
from inboxops_airflow.sending import PATIENT_TRIES, RETRIES, SendMessage
from inboxops_lab.testing.processes import wait_until
from tests.sending.conftest import Desk
from tests.sending.smtpserver import SteppedSmtp, Submission
from tests.stories.conftest import mail


def test_the_customers_client_threads_the_reply(desk: Desk) -> None:
    ticket = desk.ticket(subject="Wo ist mein Päckchen?", id="first", sender="Jürgen Groß <j@customer.example>")
    accepted = desk.reply(ticket, "Es ist unterwegs: 你好", cc=("Depot@Partner.example", desk.box.inbox.email_address))
    assert desk.send(accepted) == "sent"
    (taken,) = desk.taken
    message = taken.message
    assert message.message_id == accepted.message_id_header
    assert message.subject == f"Re: Wo ist mein Päckchen? [#{accepted.ticket_number}]"
    assert (message.in_reply_to, message.references) == (("first@customer.example",), ("first@customer.example",))
    assert [(one.name, one.address) for one in message.to] == [("Jürgen Groß", "j@customer.example")]
    assert [one.address for one in message.cc] == ["Depot@partner.example"]
    assert taken.recipients == ["j@customer.example", "Depot@partner.example"]
    assert taken.sender == message.sender.address == desk.box.inbox.email_address
    assert message.text.startswith("Es ist unterwegs: 你好\n")
    assert dict(message.headers).get("Auto-Submitted") is None
    row = desk.row(accepted.message_id)
    assert (row["send_status"], row["send_error"], row["refused_recipients"]) == ("sent", None, [])


def test_what_an_agent_forwards_is_answered_to_the_customer_and_says_that_a_text_named_him(desk: Desk) -> None:
    desk.world.inboxes.set_agents(desk.box.inbox.tenant, ["desk-people.example"])
    body = (
        "Please take this.\r\n\r\n---------- Forwarded message ---------\r\nFrom: Lena Frost <lena@frost.example>\r\n"
        "Date: Mon, 2 Nov 2026\r\nSubject: Boiler\r\nTo: Bea <bea@desk-people.example>\r\n\r\nIt is cold."
    )
    ticket = desk.ticket(subject="Fwd: Boiler", sender="Bea <bea@desk-people.example>", body=body)
    [(address, rule, claimed)] = desk.box.query(
        "SELECT requester_address, requester_rule, requester_claimed FROM tickets WHERE id = %s", ticket
    )
    assert (address, rule, claimed) == ("lena@frost.example", "forward.inline", True)
    desk.send(desk.reply(ticket))
    assert desk.taken[0].recipients == ["lena@frost.example"]


def test_a_form_is_answered_to_who_filled_it_in(desk: Desk) -> None:
    ticket = desk.ticket(sender="Shop <noreply@shop.example>", more="Reply-To: Carla Kunde <carla@kunde.example>")
    desk.send(desk.reply(ticket))
    assert desk.taken[0].recipients == ["carla@kunde.example"]
    [(address,)] = desk.box.query("SELECT requester_address FROM tickets WHERE id = %s", ticket)
    assert address == "carla@kunde.example"


def test_an_inbox_can_do_without_the_marker_in_the_text(desk: Desk) -> None:
    desk.world.inboxes.change(desk.box.inbox_id, body_marker=False)
    desk.send(desk.reply(desk.ticket()))
    assert "[ref:" not in desk.taken[0].message.text
    desk.world.inboxes.change(desk.box.inbox_id, body_marker=True)
    desk.send(desk.reply(desk.ticket()))
    assert "[ref:" in desk.taken[1].message.text


def test_the_customers_answer_joins_the_ticket(desk: Desk) -> None:
    ticket = desk.ticket()
    accepted = desk.reply(ticket)
    desk.send(accepted)
    answer = f"In-Reply-To: <{accepted.message_id_header}>"
    desk.box.deliver(mail("unrelated", id="back", more=answer))
    desk.box.run()
    rows = desk.box.query("SELECT DISTINCT ticket_id FROM messages WHERE inbox_id = %s", desk.box.inbox_id)
    assert rows == [(ticket,)]


def test_references_keep_the_root_and_the_last_twenty(desk: Desk) -> None:
    chain = [f"m{number}@customer.example" for number in range(30)]
    references = "References: " + " ".join(f"<{one}>" for one in chain)
    accepted = desk.reply(desk.ticket(id="last", more=references))
    desk.send(accepted)
    assert desk.taken[0].message.references == (chain[0], *chain[11:], "last@customer.example")


def test_html_goes_out_sanitised_with_its_text(desk: Desk) -> None:
    html = '<p>Hello <b onclick="x()">you</b></p><script>steal()</script>'
    accepted = desk.reply(desk.ticket(), "", body_html=html)
    desk.send(accepted)
    message = desk.taken[0].message
    assert "<b>you</b>" in message.html
    assert "script" not in message.html
    assert message.text.startswith("Hello you")


def test_a_copy_lies_in_the_sent_folder_once(desk: Desk) -> None:
    accepted = desk.reply(desk.ticket())
    desk.send(accepted)
    assert desk.in_sent(accepted.message_id_header) == 1


def test_a_server_that_keeps_copies_itself_gets_none_from_us(desk: Desk) -> None:
    desk.through(desk.submission.port, save_sent=False)
    accepted = desk.reply(desk.ticket())
    desk.send(accepted)
    assert desk.in_sent(accepted.message_id_header) == 0


def test_a_second_run_of_the_same_attempt_does_nothing(desk: Desk) -> None:
    accepted = desk.reply(desk.ticket())
    assert [desk.send(accepted), desk.send(accepted)] == ["sent", "skipped"]
    assert len(desk.taken) == 1


def test_refused_recipients_are_kept_one_by_one(desk: Desk) -> None:
    desk.submission.refuse["gone@partner.example"] = "550 5.1.1 no such user"
    accepted = desk.reply(desk.ticket(), cc=("gone@partner.example",))
    assert desk.send(accepted) == "sent"
    assert desk.row(accepted.message_id)["refused_recipients"] == [
        {"address": "gone@partner.example", "code": 550, "reply": "5.1.1 no such user"}
    ]


def test_all_wait_for_a_recipient_who_is_refused_for_now_but_not_for_long(desk: Desk) -> None:
    desk.submission.refuse["bob@partner.example"] = "450 4.2.0 greylisted"
    accepted = desk.reply(desk.ticket(), cc=("bob@partner.example",))
    for _ in range(2):
        with pytest.raises(TransientError, match=r"not all recipients yet: bob@partner\.example: 450"):
            sending.send(desk.world, accepted.message_id, 0, is_patient=True)
    assert desk.row(accepted.message_id)["send_status"] == "pending"
    assert desk.taken == []
    del desk.submission.refuse["bob@partner.example"]
    assert sending.send(desk.world, accepted.message_id, 0, is_patient=True).refused == 0


def test_the_task_waits_for_all_recipients_in_the_tries_of_five_minutes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "world", lambda: desk.world)
    monkeypatch.setattr(ExecutorSafeguard, "test_mode", True, raising=False)
    desk.submission.refuse["bob@partner.example"] = "450 4.2.0 greylisted"
    accepted = desk.reply(desk.ticket(), cc=("bob@partner.example",))
    order = {"message_id": accepted.message_id, "attempt": 0}

    def try_(number: int) -> dict[str, Any]:
        ti = SimpleNamespace(try_number=number, max_tries=RETRIES)
        return SendMessage(task_id="send").execute({"dag_run": SimpleNamespace(conf=order), "params": order, "ti": ti})

    with pytest.raises(TransientError, match="not all recipients yet"):
        try_(PATIENT_TRIES)
    assert try_(PATIENT_TRIES + 1)["refused"] == 1
    assert [one["code"] for one in desk.row(accepted.message_id)["refused_recipients"]] == [450]


def test_a_permanent_reply_fails_at_once_and_a_retry_goes_out(desk: Desk) -> None:
    desk.submission.answer = "554 5.7.1 we don't like it"
    accepted = desk.reply(desk.ticket())
    with pytest.raises(MessageRefused):
        desk.send(accepted)
    row = desk.row(accepted.message_id)
    assert row["send_status"] == "failed"
    assert "554 5.7.1" in row["send_error"]
    desk.submission.answer = ""
    assert desk.world.outbound.retry(desk.tenant_id, accepted.message_id) == 1
    assert desk.send(accepted, 1) == "sent"
    assert len(desk.taken) == 1


@pytest.mark.parametrize("reply", ["451 4.3.0 later", "421 4.3.2 shutting down"])
def test_a_transient_reply_waits_for_the_next_try(desk: Desk, reply: str) -> None:
    desk.submission.answer = reply
    accepted = desk.reply(desk.ticket())
    with pytest.raises(TransientError):
        desk.send(accepted)
    assert desk.row(accepted.message_id)["send_status"] == "pending"
    desk.submission.answer = ""
    assert desk.send(accepted) == "sent"


def test_a_server_that_is_away_is_transient_until_the_last_try(desk: Desk) -> None:
    desk.through(1)
    accepted = desk.reply(desk.ticket())
    with pytest.raises(TransientError):
        desk.send(accepted)
    assert sending.send(desk.world, accepted.message_id, 0, last_try=True).state == "failed"


def test_a_refused_password_fails_the_message_and_disconnects_the_inbox(desk: Desk) -> None:
    desk.submission.users = {desk.box.user: "another"}
    accepted = desk.reply(desk.ticket())
    with pytest.raises(AuthenticationFailed):
        desk.send(accepted)
    assert desk.row(accepted.message_id)["send_status"] == "failed"
    assert desk.box.inbox.state == "disconnected"


def test_a_connection_lost_behind_data_is_unknown_and_nothing_is_sent_until_somebody_asks(desk: Desk) -> None:
    server = SteppedSmtp(lambda step: step != "end")
    desk.through(server.port, smtp_auth="none")
    accepted = desk.reply(desk.ticket())
    with pytest.raises(OutcomeUnknown):
        desk.send(accepted)
    assert desk.row(accepted.message_id)["send_status"] == "unknown"
    assert desk.send(accepted) == "unknown"
    assert len(server.taken) == 1
    desk.through(desk.submission.port, smtp_auth="auto")
    attempt = desk.world.outbound.retry(desk.tenant_id, accepted.message_id)
    assert desk.send(accepted, attempt) == "sent"
    server.stop()


def test_an_unknown_message_that_lies_in_sent_was_sent_even_when_somebody_asks_again(desk: Desk) -> None:
    server = SteppedSmtp(lambda step: step != "end")
    desk.through(server.port, smtp_auth="none")
    accepted = desk.reply(desk.ticket())
    with pytest.raises(OutcomeUnknown):
        desk.send(accepted)
    desk.box.server.append(desk.box.user, server.taken[0], "Sent")
    attempt = desk.world.outbound.retry(desk.tenant_id, accepted.message_id)
    assert desk.send(accepted, attempt) == "sent"
    assert len(server.taken) == 1
    server.stop()


def test_where_the_server_keeps_copies_their_absence_lets_it_go_again(desk: Desk) -> None:
    server = SteppedSmtp(lambda step: step != "end")
    desk.through(server.port, smtp_auth="none", save_sent=False)
    desk.box.server.append(desk.box.user, mail("Sent before"), "Sent")
    accepted = desk.reply(desk.ticket())
    with pytest.raises(OutcomeUnknown):
        desk.send(accepted)
    with pytest.raises(TransientError, match="not in the Sent folder yet"):
        desk.send(accepted)
    desk.let_an_hour_pass(accepted.message_id)
    desk.through(desk.submission.port, smtp_auth="auto")
    assert desk.send(accepted) == "sent"
    server.stop()


def test_a_sent_folder_that_is_not_found_is_no_proof(desk: Desk) -> None:
    server = SteppedSmtp(lambda step: step != "end")
    desk.through(server.port, smtp_auth="none", save_sent=False, sent_folder="Gesendete Elemente")
    accepted = desk.reply(desk.ticket())
    with pytest.raises(OutcomeUnknown):
        desk.send(accepted)
    desk.let_an_hour_pass(accepted.message_id)
    assert desk.send(accepted) == "unknown"
    assert len(server.taken) == 1
    server.stop()


def test_whoever_answers_an_unknown_message_has_got_it(desk: Desk) -> None:
    server = SteppedSmtp(lambda step: step != "end")
    desk.through(server.port, smtp_auth="none")
    accepted = desk.reply(desk.ticket())
    with pytest.raises(OutcomeUnknown):
        desk.send(accepted)
    answer = f"In-Reply-To: <{accepted.message_id_header}>"
    desk.ticket(more=answer)
    assert desk.row(accepted.message_id)["send_status"] == "sent"
    server.stop()


def test_two_runs_at_once_send_one_mail(desk: Desk) -> None:
    accepted = desk.reply(desk.ticket())
    claim = desk.world.outbound.claim(accepted.message_id, 0, lease_seconds=60)
    assert claim is not None
    with pytest.raises(TransientError, match="another run"):
        desk.send(accepted)
    desk.let_lease_end(accepted.message_id)
    assert desk.send(accepted) == "sent"
    assert not desk.world.outbound.hand_over(claim, lease_seconds=60), "the slow run is too late for the last step"
    assert len(desk.taken) == 1


def test_one_key_is_one_reply(desk: Desk) -> None:
    ticket = desk.ticket()
    first = desk.reply(ticket, idempotency_key="k")
    assert desk.reply(ticket, idempotency_key="k") == first
    with pytest.raises(OtherRequest):
        desk.reply(ticket, "something else", idempotency_key="k")


def test_a_reply_to_a_ticket_that_becomes_part_of_another_just_now_is_refused_and_not_buried_there(desk: Desk) -> None:
    source, into = desk.ticket(), desk.ticket()
    with ThreadPoolExecutor(1) as agent:
        with desk.world.database.transaction() as merging:
            merging.connection.execute(b"SELECT FROM tickets WHERE id = %s FOR UPDATE", (source,))
            reply = agent.submit(desk.reply, source)
            wait_until("the reply waits for the merge", lambda: reply.done() or waits(desk))
            merging.connection.execute(b"UPDATE tickets SET merged_into_ticket_id = %s WHERE id = %s", (into, source))
        with pytest.raises(Conflict, match="became part of ticket #2"):
            reply.result(timeout=30)
    assert desk.box.query("SELECT id FROM messages WHERE ticket_id = %s AND direction = 'outbound'", source) == []


def waits(desk: Desk) -> bool:
    ((count,),) = desk.box.query("SELECT count(*) FROM pg_locks WHERE NOT granted")
    return int(str(count)) > 0


def test_a_ticket_whose_customer_gave_no_address_says_what_to_do(desk: Desk) -> None:
    ticket = desk.ticket(sender="The Caretaker")
    with pytest.raises(InvalidInput, match=r"nobody to answer.*customer"):
        desk.reply(ticket)


def test_a_reply_of_an_inbox_that_was_removed_says_so_and_what_to_do(desk: Desk) -> None:
    ticket = desk.ticket()
    accepted, tenant_id = desk.reply(ticket), desk.tenant_id
    desk.world.inboxes.remove(desk.box.inbox_id)
    with pytest.raises(Conflict):
        desk.send(accepted)
    row = desk.row(accepted.message_id)
    assert (row["send_status"], "was removed" in row["send_error"], "Merge" in row["send_error"]) == (
        "failed",
        True,
        True,
    )
    with pytest.raises(Conflict, match=r"was removed.*Merge"):
        desk.world.outbound.answered(tenant_id, ticket)


def test_a_mail_that_wants_its_answer_at_too_many_addresses_is_answered_once_the_customer_is_named(desk: Desk) -> None:
    ticket = desk.ticket(more=f"Reply-To: {', '.join(f'a{number}@far.example' for number in range(60))}")
    with pytest.raises(InvalidInput, match=r"answer at 60 addresses.*customer"):
        desk.reply(ticket)
    customer = Address("Carla", "carla@customer.example")
    named = Request(Kind.CUSTOMER, by="Ann Agent", ticket_id=ticket, customer=customer)
    correcting.correct(desk.world, desk.tenant_id, named)
    assert desk.send(desk.reply(ticket)) == "sent"
    assert desk.taken[-1].recipients == [customer.address]


def test_html_that_would_keep_a_core_busy_is_refused(desk: Desk) -> None:
    with pytest.raises(InvalidInput, match="body_html"):
        desk.reply(desk.ticket(), "", body_html="x" + "<div>" * 90_000)


@pytest.mark.parametrize("request_", [{"cc": ("no address",)}, {"cc": ("a@b.example\r\nBcc: x@y.example",)}])
def test_what_is_no_address_is_refused_before_anything_is_stored(desk: Desk, request_: dict[str, tuple[str]]) -> None:
    with pytest.raises(InvalidInput):
        desk.reply(desk.ticket(), **request_)


def test_a_message_over_the_servers_size_fails_with_the_number(desk: Desk) -> None:
    small = Submission(users=desk.submission.users, size=2000)
    desk.through(small.port)
    accepted = desk.reply(desk.ticket(), "x" * 3000)
    with pytest.raises(MessageRefused, match="2000"):
        desk.send(accepted)
    small.stop()
