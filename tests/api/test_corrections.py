"""What agents put right: by the API, on real servers, and what the pipeline makes of it afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inboxops.composition import correcting, intake
from inboxops.composition.world import World
from inboxops.core import corrections, outbound
from inboxops.core.corrections import Kind, Request
from inboxops.core.outbound import ReplyRequest
from inboxops.db.outbound import add_outbound
from inboxops.errors import InvalidInput
from inboxops_lab.testing.processes import wait_until
from tests.api.conftest import Api
from tests.sending.conftest import Desk
from tests.sending.test_replies import waits
from tests.stories.conftest import connect, mail

LOST = """\
From: gateway@relay.example
To: support@acme.example
Subject: Something went wrong
Date: Mon, 02 Nov 2026 10:00:00 +0000
Message-ID: <lost.{id}@relay.example>
Content-Type: text/plain

Dear sender, our gateway could not hand over what you wrote.
"""


def put_right(api: Api, kind: str, **ids: Any) -> dict[str, Any]:
    answer = api.post("/corrections", {"kind": kind, **ids})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def take_back(api: Api, made: dict[str, Any]) -> httpx.Response:
    return api.post(f"/corrections/{made['id']}/undo")


def subjects(api: Api, ticket: int) -> list[str]:
    return [message["subject"] for message in api.get(f"/tickets/{ticket}").json()["messages"]]


def message_of(api: Api, ticket: int, place: int = 0) -> int:
    number: int = api.get(f"/tickets/{ticket}").json()["messages"][place]["id"]
    return number


def events_of(desk: Desk, name: str) -> list[dict[str, Any]]:
    rows = desk.box.query(
        "SELECT payload FROM outbox WHERE tenant_id = %s AND name = %s ORDER BY id", desk.tenant_id, name
    )
    return [row[0] for row in rows]  # type: ignore[misc]


def test_merged_tickets_are_one_answer_by_both_numbers_and_come_apart_again(api: Api, desk: Desk) -> None:
    first, second = desk.ticket(subject="Order", id="o1"), desk.ticket(subject="Order again", id="o2")
    made = put_right(api, "merge", ticket_id=second, to_ticket_id=first)
    assert (made["made_by"], made["ticket_id"], made["to_ticket_id"]) == ("Ann the agent", second, first)
    assert subjects(api, first) == ["Order", "Order again"]
    numbers = {one: api.get(f"/tickets/{one}").json()["ticket_number"] for one in (first, second)}
    assert api.get(f"/tickets/{second}").json()["merged_into"] == numbers[first]

    desk.box.deliver(mail("Re: Order again", answers="o2"), mail(f"About it [#{numbers[second]}]"))
    desk.box.run()
    assert subjects(api, first) == ["Order", "Order again", "Re: Order again", f"About it [#{numbers[second]}]"]
    assert {event["ticket_id"] for event in events_of(desk, "ticket.updated")[-2:]} <= {first, second}
    assert events_of(desk, "correction.made")[-1]["correction_id"] == made["id"]

    assert take_back(api, made).status_code == 200
    assert subjects(api, second) == ["Order again"]
    assert api.get(f"/tickets/{second}").json()["status"] == "open"
    assert len(subjects(api, first)) == 3, "what came meanwhile stays where it was seen"
    assert take_back(api, made).status_code == 409


def test_a_reply_that_is_stored_while_its_ticket_is_merged_comes_along(api: Api, desk: Desk) -> None:
    source, into = desk.ticket(), desk.ticket()
    world = desk.world
    reply = outbound.reply(
        ReplyRequest("Just a moment."),
        world.outbound.answered(desk.tenant_id, source),
        id=world.outbound.next_id(),
        own_addresses=frozenset(),
        author="Ben Agent",
        signing_key=world.signing_key,
    )
    with ThreadPoolExecutor(1) as colleague:
        with world.database.transaction() as replying:
            add_outbound(replying, reply)
            merged = colleague.submit(put_right, api, "merge", ticket_id=source, to_ticket_id=into)
            wait_until("the merge waits for the reply", lambda: merged.done() or waits(desk))
        merged.result(timeout=30)
    assert desk.row(reply.id)["ticket_id"] == into


def test_a_message_moves_and_answers_to_it_follow(api: Api, desk: Desk) -> None:
    wrong, right = desk.ticket(subject="One", id="w"), desk.ticket(subject="Other", sender="bo@customer.example")
    desk.box.deliver(mail("Not about One", id="stray", answers="w", sender="ann@customer.example"))
    desk.box.run()
    stray = message_of(api, wrong, 1)
    made = put_right(api, "move", message_id=stray, to_ticket_id=right)
    assert subjects(api, wrong) == ["One"]
    assert "ann@customer.example" in api.get(f"/tickets/{right}").json()["participants"]
    desk.box.deliver(mail("Re: Not about One", answers="stray"))
    desk.box.run()
    assert subjects(api, right) == ["Other", "Not about One", "Re: Not about One"]
    assert take_back(api, made).status_code == 200
    assert subjects(api, wrong) == ["One", "Not about One"]
    assert "ann@customer.example" not in api.get(f"/tickets/{right}").json()["participants"]


def test_the_last_message_takes_its_ticket_along(api: Api, desk: Desk) -> None:
    source, target = desk.ticket(subject="Only"), desk.ticket(subject="Main")
    made = put_right(api, "move", message_id=message_of(api, source), to_ticket_id=target)
    ticket = api.get(f"/tickets/{source}").json()
    assert ticket["merged_into"] == made["to_ticket_number"]
    later = put_right(api, "merge", ticket_id=target, to_ticket_id=desk.ticket(subject="Third"))
    assert take_back(api, made).status_code == 409, "a later correction goes first"
    assert take_back(api, later).status_code == 200
    assert take_back(api, made).status_code == 200
    assert subjects(api, source) == ["Only"]


def test_a_message_is_split_off_with_what_followed_and_goes_back_with_all_that_joined_it(api: Api, desk: Desk) -> None:
    ticket = desk.ticket(subject="First", id="f")
    desk.box.deliver(mail("Second matter", id="s", answers="f"), mail("Re: Second matter", id="t", answers="s"))
    desk.box.run()
    refused = api.post("/corrections", {"kind": "split", "message_id": message_of(api, ticket), "onward": True})
    assert refused.status_code == 409
    made = put_right(api, "split", message_id=message_of(api, ticket, 1), onward=True)
    new = made["to_ticket_id"]
    assert subjects(api, ticket) == ["First"]
    opened = api.get(f"/tickets/{new}").json()
    assert [one["subject"] for one in opened["messages"]] == ["Second matter", "Re: Second matter"]
    assert (opened["subject"], opened["requester"]["address"]) == ("Second matter", "ann@customer.example")
    desk.box.deliver(mail("Re: Second matter", id="u", answers="t"))
    desk.box.run()
    assert len(subjects(api, new)) == 3
    assert not desk.box.query("SELECT 1 FROM messages WHERE type = 'auto_response' AND ticket_id = %s", new)
    assert take_back(api, made).status_code == 200
    assert len(subjects(api, ticket)) == 4
    assert api.get(f"/tickets/{new}").json()["merged_into"] == opened["ticket_number"] - 1


def test_spam_closes_its_ticket_and_comes_back(api: Api, desk: Desk) -> None:
    ticket = desk.ticket(subject="Cheap watches")
    made = put_right(api, "spam", message_id=message_of(api, ticket))
    shown = api.get(f"/tickets/{ticket}").json()
    assert shown["status"] == "closed"
    assert shown["messages"][0]["verdict"] == {
        "kind": "spam",
        "rule": "agent",
        "ruleset": None,
        "evidence": [{"where": "agent", "value": "Ann the agent"}],
    }
    assert take_back(api, made).status_code == 200
    shown = api.get(f"/tickets/{ticket}").json()
    assert (shown["status"], shown["messages"][0]["verdict"]["kind"]) == ("open", "human")


def test_what_was_no_spam_becomes_a_ticket_and_is_spam_there_when_that_was_wrong(api: Api, desk: Desk) -> None:
    desk.box.deliver(mail("Is this spam?", more="X-Spam-Flag: YES"))
    desk.box.run()
    (item,) = api.get("/inbound").json()["items"]
    made = put_right(api, "not_spam", inbound_id=item["id"])
    assert made["woken"] is False, "the stand-in wakes nothing: the errand waits"
    intake.file(desk.world, desk.box.inbox_id)
    (row,) = api.get("/tickets").json()["items"]
    assert row["subject"] == "Is this spam?"
    assert api.post("/corrections", {"kind": "not_spam", "inbound_id": item["id"]}).status_code == 409
    assert take_back(api, made).status_code == 200
    assert api.get(f"/tickets/{row['id']}").json()["status"] == "closed"


def test_mail_that_was_let_out_is_set_aside_again_before_it_was_filed(api: Api, desk: Desk) -> None:
    desk.box.deliver(mail("Is this spam?", more="X-Spam-Flag: YES"))
    desk.box.run()
    (item,) = api.get("/inbound").json()["items"]
    assert take_back(api, put_right(api, "not_spam", inbound_id=item["id"])).status_code == 200
    (again,) = api.get("/inbound").json()["items"]
    assert (again["id"], again["reason"]) == (item["id"], item["reason"])
    intake.file(desk.world, desk.box.inbox_id)
    assert api.get("/tickets").json()["items"] == []


def test_a_mail_that_opened_a_ticket_is_the_bounce_of_a_reply(api: Api, desk: Desk) -> None:
    ticket = desk.ticket(subject="Where is it?")
    reply = desk.reply(ticket)
    assert desk.send(reply) == "sent"
    desk.box.deliver(LOST.format(id="1").replace("\n", "\r\n").encode())
    desk.box.run()
    (opened,) = [row["id"] for row in api.get("/tickets").json()["items"] if row["id"] != ticket]
    made = put_right(api, "bounce", reply_id=reply.message_id, message_id=message_of(api, opened))
    (ours,) = [m for m in api.get(f"/tickets/{ticket}").json()["messages"] if m["id"] == reply.message_id]
    assert ours["sending"]["bounced_at"] is not None
    assert [bounce["recipients"] for bounce in ours["bounces"]] == [["ann@customer.example"]]
    assert [one["type"] for one in api.get(f"/tickets/{ticket}").json()["messages"]] == ["message", "message", "note"]
    assert api.get(f"/tickets/{opened}").json()["merged_into"] is not None
    assert take_back(api, made).status_code == 200
    assert subjects(api, opened) == ["Something went wrong"]
    (ours,) = [m for m in api.get(f"/tickets/{ticket}").json()["messages"] if m["id"] == reply.message_id]
    assert (ours["sending"]["bounced_at"], ours["bounces"]) == (None, [])


def test_a_bounce_that_named_nothing_is_linked_and_leaves_the_list(api: Api, desk: Desk) -> None:
    reply = desk.reply(desk.ticket())
    assert desk.send(reply) == "sent"
    unlinked = (
        "From: MAILER-DAEMON@relay.example\r\nTo: support@acme.example\r\nSubject: Undelivered Mail Returned to Sender\r\n"
        "Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <dsn@relay.example>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n--b\r\n\r\nNot delivered.\r\n'
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; relay.example\r\n\r\n"
        "Final-Recipient: rfc822; ann@customer.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--b--\r\n"
    )
    desk.box.deliver(unlinked.encode())
    desk.box.run()
    (item,) = api.get("/inbound").json()["items"]
    made = put_right(api, "bounce", inbound_id=item["id"], reply_id=reply.message_id)
    assert api.get("/inbound").json()["items"] == []
    assert desk.row(reply.message_id)["bounce_received_at"] is not None
    assert take_back(api, made).status_code == 200
    assert api.get("/inbound").json()["items"][0]["id"] == item["id"]
    assert desk.row(reply.message_id)["bounce_received_at"] is None


def test_the_customer_that_an_agent_names_is_the_one_who_is_answered(api: Api, desk: Desk) -> None:
    ticket = desk.ticket(sender="form@site.example")
    made = put_right(api, "customer", ticket_id=ticket, customer={"name": "Carla", "address": "carla@kunde.example"})
    shown = api.get(f"/tickets/{ticket}").json()
    assert shown["requester"] == {"name": "Carla", "address": "carla@kunde.example"}
    assert (shown["requester_rule"], shown["requester_claimed"]) == ("agent", False)
    assert desk.send(desk.reply(ticket)) == "sent"
    assert desk.taken[-1].recipients == ["carla@kunde.example"]
    assert take_back(api, made).status_code == 200
    assert api.get(f"/tickets/{ticket}").json()["requester"]["address"] == "form@site.example"


def test_the_customer_that_an_agent_names_is_answered_whatever_the_mail_has_in_reply_to(api: Api, desk: Desk) -> None:
    ticket = desk.ticket(sender="ann@customer.example", more="Reply-To: ann@private.example")
    put_right(api, "customer", ticket_id=ticket, customer={"name": "Carla", "address": "carla@kunde.example"})
    carla = {"name": "Carla", "address": "carla@kunde.example"}
    assert api.get(f"/tickets/{ticket}").json()["answered_to"] == [carla], "the page says where an answer goes"
    assert desk.send(desk.reply(ticket)) == "sent"
    assert desk.taken[-1].recipients == [carla["address"]]


def test_tickets_of_two_inboxes_become_one_and_answers_by_either_way_join_it(
    api: Api, desk: Desk, world: World, tenant: str
) -> None:
    other = connect(world, tenant, desk.box.server, name="sales")
    other.deliver(mail("To sales", id="sales"))
    other.run()
    kept = desk.ticket(subject="To support")
    (moved,) = [row["id"] for row in api.get("/tickets").json()["items"] if row["id"] != kept]
    put_right(api, "merge", ticket_id=moved, to_ticket_id=kept)
    other.deliver(mail("Re: To sales", answers="sales"))
    other.run()
    assert subjects(api, kept) == ["To sales", "To support", "Re: To sales"]


def test_another_tenant_can_put_nothing_right_here(api: Api, stranger: Api, desk: Desk) -> None:
    ticket, other = desk.ticket(), desk.ticket()
    made = put_right(api, "merge", ticket_id=ticket, to_ticket_id=other)
    for kind, ids in {
        "merge": {"ticket_id": ticket, "to_ticket_id": other},
        "spam": {"message_id": message_of(api, other)},
        "customer": {"ticket_id": other, "customer": {"address": "x@y.example"}},
    }.items():
        assert stranger.post("/corrections", {"kind": kind, **ids}).status_code == 404
    assert take_back(stranger, made).status_code == 404
    assert stranger.get("/corrections").json()["items"] == []
    assert [one["id"] for one in api.get("/corrections", params={"ticket": other}).json()["items"]] == [made["id"]]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "move", "message_id": 1},
        {"kind": "merge", "ticket_id": 1, "to_ticket_id": 2, "message_id": 3},
        {"kind": "spam", "message_id": 1, "onward": True},
        {"kind": "customer", "ticket_id": 1},
        {"kind": "customer", "ticket_id": 1, "customer": {"address": "nobody"}},
    ],
)
def test_a_request_that_names_too_little_or_too_much_is_told_so(api: Api, body: dict[str, Any]) -> None:
    assert api.post("/corrections", body).status_code == 422


@given(
    st.sampled_from(list(Kind)),
    st.sets(st.sampled_from(["message_id", "inbound_id", "ticket_id", "to_ticket_id", "reply_id"])),
)
def test_each_kind_takes_exactly_its_ids(kind: Kind, named: set[str]) -> None:
    customer = corrections.Address("", "a@b.example") if kind is Kind.CUSTOMER else None
    request = Request(kind, "Ann", customer=customer, **dict.fromkeys(named, 1))  # type: ignore[arg-type]
    if frozenset(named) in corrections.NEEDS[kind]:
        corrections.check(request)
    else:
        with pytest.raises(InvalidInput):
            corrections.check(request)


def test_what_stands_is_a_labelled_example_and_what_was_taken_back_is_none(api: Api, desk: Desk, world: World) -> None:
    ticket = desk.ticket(subject="Cheap watches", sender="form@site.example")
    put_right(api, "spam", message_id=message_of(api, ticket))
    put_right(api, "customer", ticket_id=ticket, customer={"address": "carla@kunde.example"})
    take_back(api, put_right(api, "merge", ticket_id=desk.ticket(), to_ticket_id=ticket))
    rows = list(correcting.examples(world, desk.tenant_id))
    quiet = [corrections.example(row, personal=False) for row in rows]
    assert [label["kind"] for label in quiet] == ["spam", "customer"]
    assert quiet[0]["want"] == {"verdict": "spam"}
    assert "carla" not in str(quiet)
    assert corrections.example(rows[1], personal=True)["want"] == {"customer": "carla@kunde.example"}
    assert {label["path"] for label in quiet} == {f"{rows[0]['inbound_id']}.eml"}
