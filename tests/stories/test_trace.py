"""Where a mail went: found by its id, its ticket or its sender, and told in the order of time."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest

from inboxops.composition import canaries, correcting, intake
from inboxops.composition.world import World
from inboxops.core.corrections import Kind, Request
from inboxops.core.model import Address
from inboxops.core.trace import Step, steps, wanted
from inboxops.errors import InvalidInput, MessageRefused
from tests.sending.conftest import Desk, desk
from tests.stories.conftest import mail

__all__ = ["desk"]


def told(world: World, desk: Desk, what: str) -> list[list[Step]]:
    return [steps(one) for one in world.traces.find(wanted(what), tenant_id=desk.tenant_id, limit=20)]


def where(found: list[Step]) -> list[str]:
    return [step.where for step in found]


def test_a_mail_is_followed_from_its_provider_to_its_ticket(desk: Desk, world: World) -> None:
    desk.ticket(subject="Where is it?", id="lost")
    (found,) = told(world, desk, "<lost@customer.example>")
    assert where(found)[:4] == ["provider", "fetch", "classify", "persist"]
    assert "human by human" in found[2].what
    assert "of ticket #1, placed by new" in found[3].what
    assert any(step.where == "outbox" and "ticket.message_added" in step.what for step in found)


def test_an_answer_is_followed_until_it_left_and_what_people_said_of_it(desk: Desk, world: World) -> None:
    ticket = desk.ticket()
    assert desk.send(desk.reply(ticket)) == "sent"
    answer, question = told(world, desk, "#1")
    assert where(answer)[0] == "reply"
    assert "by Ann Agent" in answer[0].what
    (left,) = [step.what for step in answer if step.where == "send"]
    assert "over the wire as io." in left
    assert "; 250 " in left, "what the server said"
    ((message,),) = desk.box.query(
        "SELECT id FROM messages WHERE direction = 'inbound' AND inbox_id = %s", desk.box.inbox_id
    )
    correcting.correct(world, desk.tenant_id, Request(Kind.SPAM, "Bo", message_id=int(str(message))))
    answer, question = told(world, desk, "#1")
    assert question[-1] == Step(question[-1].at, "people", question[-1].what)
    assert "spam by Bo" in question[-1].what
    assert "people" not in where(answer), "nobody said that of the answer"


def test_what_people_said_of_a_ticket_is_told_of_each_mail_that_it_changed(desk: Desk, world: World) -> None:
    one, other = desk.ticket(subject="One", id="one"), desk.ticket(subject="Other", id="other")
    desk.box.deliver(mail("Re: One", id="re", answers="one"))
    desk.box.run()
    desk.reply(one)
    said = Request(Kind.CUSTOMER, "Bo", ticket_id=other, customer=Address("", "paula@buyer.example"))
    correcting.correct(world, desk.tenant_id, said)
    correcting.correct(world, desk.tenant_id, Request(Kind.MERGE, "Bo", ticket_id=one, to_ticket_id=other))
    found = world.traces.find(wanted("#2"), tenant_id=desk.tenant_id, limit=20)
    kinds = [[step.what.partition(" ")[0] for step in steps(one) if step.where == "people"] for one in found]
    assert [(one.mail["direction"], said) for one, said in zip(found, kinds, strict=True)] == [
        ("outbound", ["merge"]),
        ("inbound", ["merge"]),
        ("inbound", ["customer"]),
        ("inbound", ["merge"]),
    ]


def test_what_became_no_ticket_says_why(desk: Desk, world: World) -> None:
    desk.box.deliver(mail("You won", id="won", sender="win@luck.example", more="X-Spam-Flag: YES"))
    desk.box.deliver(mail("Twice", id="twice"), mail("Twice", id="twice"))
    desk.box.run()
    (found,) = told(world, desk, "win@luck.example")
    assert found[-1].what.startswith("listed: spam")
    said = [step.what for one in told(world, desk, "twice@customer.example") for step in one if step.where == "persist"]
    assert sorted(one.partition(" ")[0] for one in said) == ["duplicate:", "message"]


def test_another_tenants_mail_is_not_told_of(desk: Desk, world: World) -> None:
    desk.ticket(id="ours")
    assert world.traces.find(wanted("<ours@customer.example>"), tenant_id=desk.tenant_id + 1_000_000, limit=5) == []


def test_the_run_that_took_a_mail_in_is_named(desk: Desk, world: World) -> None:
    desk.box.deliver(mail("Hello", id="hello"))
    intake.fetch(world, desk.box.inbox_id, by="run scheduled__1, try 2")
    desk.box.run()
    (found,) = told(world, desk, "<hello@customer.example>")
    assert "(run scheduled__1, try 2), " in found[1].what


def test_a_canary_is_followed_from_who_sent_it(desk: Desk, world: World) -> None:
    number = canaries.send(world, desk.box.inbox_id)
    assert number is not None
    desk.box.deliver(*(one.raw for one in desk.taken))
    desk.box.run()
    ((inbound,),) = desk.box.query("SELECT id FROM inbound WHERE inbox_id = %s", desk.box.inbox_id)
    (found,) = told(world, desk, f"mail {inbound}")
    assert [step.what for step in found if step.where == "canary"] == [
        f"canary {number} was made for this inbox, to be sent by support",
        f"canary {number} was handed over by support",
        f"canary {number}: it came back in time",
    ]
    assert found[-1].what == "dropped: a canary came back"


def test_a_canary_that_is_not_back_is_followed_to_where_it_was_lost(desk: Desk, world: World) -> None:
    number = canaries.send(world, desk.box.inbox_id)
    long_ago = "UPDATE canaries SET late_at = now() - interval '1 minute' WHERE id = %s RETURNING 1"
    desk.box.query(long_ago, number)
    (found,) = told(world, desk, f"canary {number}")
    assert [step.what for step in found] == [
        f"canary {number} was made for this inbox, to be sent by support",
        f"canary {number} was handed over by support",
        f"canary {number}: it is not back",
    ]
    assert world.traces.find(wanted(f"canary {number}"), inbox_ids=[desk.box.inbox_id + 1], limit=5) == []
    desk.box.deliver(*(one.raw for one in desk.taken))
    desk.box.run()
    (back,) = told(world, desk, f"canary {number}")
    assert {"provider", "fetch", "canary"} <= set(where(back)), "as the mail that it is by now"


def test_each_try_of_a_send_is_told_with_what_the_server_said(desk: Desk, world: World) -> None:
    accepted = desk.reply(desk.ticket())
    for number, said in enumerate(("554 5.7.1 not from you", "554 5.2.2 mailbox full", "")):
        desk.submission.answer = said
        with nullcontext() if not said else pytest.raises(MessageRefused):
            desk.send(accepted, number)
        if said:
            assert world.outbound.retry(desk.tenant_id, accepted.message_id) == number + 1
    (answer, _) = told(world, desk, "#1")
    first, second, left = [step.what for step in answer if step.where == "send"]
    assert first.startswith("try 1, failed: ") and "554 5.7.1 not from you" in first
    assert second.startswith("try 2, failed: ") and "554 5.2.2 mailbox full" in second
    assert left.startswith("sent at try 3, over the wire as io.")


def test_of_many_tries_the_newest_are_kept(desk: Desk, world: World) -> None:
    accepted = desk.reply(desk.ticket())
    desk.submission.answer = "554 5.7.1 no"
    tries = [{"attempt": n, "at": "2026-11-01T10:00:00Z", "status": "failed", "error": "no"} for n in range(20)]
    desk.box.query(
        "UPDATE messages SET send_tries = %s::jsonb WHERE id = %s RETURNING 1", json.dumps(tries), accepted.message_id
    )
    with pytest.raises(MessageRefused):
        desk.send(accepted)
    kept = desk.row(accepted.message_id)["send_tries"]
    assert (len(kept), kept[0]["attempt"], kept[-1]["attempt"]) == (20, 1, 0)


def test_who_got_a_copy_is_looked_for_as_who_wrote(desk: Desk, world: World) -> None:
    desk.ticket(id="copied", more="Cc: Carla <Carla@partner.example>")
    answer = desk.reply(desk.ticket(id="other"), cc=("carla@partner.example",))
    found = world.traces.find(wanted("carla@partner.example"), tenant_id=desk.tenant_id, limit=5)
    assert [one.mail["message_id"] for one in found][:1] == [answer.message_id]
    assert [one.mail["message_id_header"] for one in found][1:] == ["copied@customer.example"]


def test_only_mail_of_the_inboxes_that_may_be_seen_is_told_of(desk: Desk, world: World) -> None:
    desk.ticket(id="mine")
    asked = wanted("<mine@customer.example>")
    assert world.traces.find(asked, inbox_ids=[desk.box.inbox_id + 1], limit=5) == []
    assert len(world.traces.find(asked, inbox_ids=[desk.box.inbox_id], limit=5)) == 1


def test_what_is_neither_ticket_id_nor_address_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no ticket"):
        wanted("hello")
