"""Where a mail went: found by its id, its ticket or its sender, and told in the order of time."""

from __future__ import annotations

import pytest

from inboxops.composition import canaries, correcting, intake
from inboxops.composition.world import World
from inboxops.core.corrections import Kind, Request
from inboxops.core.trace import Step, steps, wanted
from inboxops.errors import InvalidInput
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
    _, question = told(world, desk, "#1")
    assert question[-1] == Step(question[-1].at, "people", question[-1].what)
    assert "spam by Bo" in question[-1].what


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


def test_only_mail_of_the_inboxes_that_may_be_seen_is_told_of(desk: Desk, world: World) -> None:
    desk.ticket(id="mine")
    asked = wanted("<mine@customer.example>")
    assert world.traces.find(asked, inbox_ids=[desk.box.inbox_id + 1], limit=5) == []
    assert len(world.traces.find(asked, inbox_ids=[desk.box.inbox_id], limit=5)) == 1


def test_what_is_neither_ticket_id_nor_address_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no ticket"):
        wanted("hello")
