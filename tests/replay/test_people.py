"""What people said and wrote stands above a replay; what was erased is gone; nobody sees another tenant's."""

from __future__ import annotations

import pytest

from inboxops.composition import correcting, erasing, replaying
from inboxops.composition.world import World
from inboxops.core.corrections import Kind, Request
from inboxops.core.model import Address
from inboxops.core.replay import Group
from inboxops.db.replays import ReplayStore
from inboxops.db.rereading import RereadStore
from inboxops.errors import InvalidInput
from inboxops.ports import ReplayScope
from inboxops.settings import Settings
from tests.replay.conftest import Replays
from tests.stories.conftest import mail
from tests.stories.test_erase import everything, stored

OLDER = 'UPDATE messages SET verdict = \'bulk\', rule = \'bulk.list\', customer = \'{"name": "", "address": "x@y.example", "rule": "old", "claimed": false}\', body_text = \'older\' WHERE inbox_id = %s AND direction = \'inbound\''  # noqa: E501


def test_what_an_agent_put_right_is_left_alone_and_counted(desk: Replays) -> None:
    for subject in ("Spam", "Customer", "Plain"):
        desk.ticket(subject=subject)
    desk.change(OLDER, desk.box.inbox_id)
    spam, customer = desk.message("Spam"), desk.message("Customer")
    correcting.correct(desk.world, desk.tenant_id, Request(Kind.SPAM, "Ann", message_id=spam["id"]))
    said = Request(Kind.CUSTOMER, "Ann", ticket_id=customer["ticket_id"], customer=Address("", "paula@buyer.example"))
    done = correcting.correct(desk.world, desk.tenant_id, said)
    row = desk.preview()
    assert row["report"]["groups"] == {"verdict": 2, "customer": 2, "text": 3}
    assert row["report"]["left_out"] == {"corrected by a person": 2}
    desk.apply()
    assert (desk.message("Spam")["verdict"], desk.message("Spam")["rule"]) == ("spam", "agent")
    assert desk.box.query("SELECT requester_address FROM tickets WHERE id = %s", customer["ticket_id"]) == [
        ("paula@buyer.example",)
    ]
    assert desk.message("Plain")["verdict"] == "human"
    assert desk.groups() == {}
    correcting.undo(desk.world, desk.tenant_id, done["id"], by="Ann")
    assert desk.groups() == {"customer": 1}, "a word that was taken back is none"


def test_mail_that_a_person_moved_or_let_out_stays_where_it_is(desk: Replays) -> None:
    one, other = desk.ticket(subject="One", id="one"), desk.ticket(subject="Other", id="other")
    desk.box.deliver(mail("Re: One", id="re", answers="one"), mail("Won", id="won", more="X-Spam-Flag: YES"))
    desk.box.run()
    message = desk.message("Re: One")
    correcting.correct(
        desk.world, desk.tenant_id, Request(Kind.MOVE, "Ann", message_id=message["id"], to_ticket_id=other)
    )
    ((aside,),) = desk.box.query("SELECT id FROM inbound WHERE inbox_id = %s AND state = 'listed'", desk.box.inbox_id)
    correcting.correct(desk.world, desk.tenant_id, Request(Kind.NOT_SPAM, "Ann", inbound_id=int(str(aside))))
    desk.box.run()
    desk.change("UPDATE messages SET in_reply_to = '{}' WHERE id = %s", message["id"])
    desk.change(
        "UPDATE messages SET verdict = 'human', rule = 'human' WHERE inbox_id = %s AND subject = 'Won'",
        desk.box.inbox_id,
    )
    row = desk.apply()
    assert (row["report"]["groups"], row["report"]["left_out"]) == ({}, {"corrected by a person": 2})
    assert desk.message("Re: One")["ticket_id"] == other != one
    assert desk.message("Won")["verdict"] == "human"


def test_a_mail_that_was_answered_keeps_its_ticket_and_its_customer(desk: Replays) -> None:
    ticket = desk.ticket(subject="Asked")
    accepted = desk.reply(ticket)
    assert desk.send(accepted) == "sent"
    desk.change(OLDER, desk.box.inbox_id)
    taken = len(desk.taken)
    sent = desk.row(accepted.message_id)
    row = desk.apply()
    assert row["report"]["groups"] == {"verdict": 1, "text": 1}
    assert row["report"]["left_out"] == {"answered by a person": 1}
    assert desk.message("Asked")["customer"]["address"] == "x@y.example"
    assert (desk.row(accepted.message_id), len(desk.taken)) == (sent, taken)


def test_what_was_erased_is_counted_and_neither_read_nor_taken_back(desk: Replays, world: World) -> None:
    desk.ticket(subject="Of Philippa", sender="philippa@customer.example", body="secret of Philippa")
    desk.ticket(subject="Of another")
    desk.change(
        "UPDATE messages SET body_text = 'Philippa, as it was read once' WHERE inbox_id = %s", desk.box.inbox_id
    )
    done = desk.apply()
    assert done["done"]["text"]["changed"] == 2
    erasing.erase(world, desk.tenant_id, "philippa@customer.example", by="Ann")
    row = desk.preview()
    assert (row["report"]["read"], row["report"]["left_out"]) == (1, {"erased": 1})
    assert desk.undo(done["id"])["done"]["text"]["undone"] == 1
    desk.apply()
    assert "philippa@" not in everything(world)
    assert "hilippa" not in stored(world, desk.tenant_id).decode("utf-8", "replace")


def test_old_readings_are_kept_for_as_long_as_was_set_and_their_files_with_them(desk: Replays, world: World) -> None:
    desk.ticket()
    desk.change("UPDATE messages SET body_text = 'older' WHERE inbox_id = %s", desk.box.inbox_id)
    row = desk.apply()
    world.replays.forget(days=30)
    assert world.replays.one(row["id"])["done"]["text"]["changed"] == 1
    desk.change("UPDATE replays SET changed_at = now() - interval '31 days' WHERE id = %s", row["id"])
    world.replays.forget(days=30)
    with pytest.raises(InvalidInput, match="there is no replay"):
        world.replays.one(row["id"])
    assert desk.box.query("SELECT count(*) FROM replay_changes WHERE replay_id = %s", row["id"]) == [(0,)]


def test_nobody_sees_or_starts_a_replay_of_another_tenant(desk: Replays, services: Settings) -> None:
    desk.ticket()
    row = desk.preview()
    url = services.api_database_url
    assert url is not None
    strange = World(services, dsn=url.get_secret_value())
    try:
        foreign = desk.tenant_id + 1
        scoped = strange.database.of_tenant(foreign)
        store, rereading = ReplayStore(scoped), RereadStore(scoped)
        with pytest.raises(InvalidInput, match="there is no replay"):
            store.one(row["id"])
        assert store.listed(desk.tenant_id) == []
        assert not store.want(desk.tenant_id, row["id"], "applying", when=("previewed",), groups=("text",))
        assert rereading.to_replay(ReplayScope(desk.tenant_id), after=0, limit=10) == []
        with pytest.raises(Exception, match="row-level security"):
            store.add(ReplayScope(desk.tenant_id, inbound_id=1), by="Eve")
    finally:
        strange.close()
    assert desk.world.replays.one(row["id"])["state"] == "previewed"
    with pytest.raises(InvalidInput, match="there is no replay"):
        replaying.undo(desk.world, desk.tenant_id + 1, row["id"])


def test_a_ticket_is_told_of_to_whoever_watches_it_once_its_mail_changed(desk: Replays) -> None:
    desk.ticket()
    before = desk.events("ticket.updated")
    desk.preview()
    assert desk.events("ticket.updated") == before
    desk.change("UPDATE messages SET body_text = 'older' WHERE inbox_id = %s", desk.box.inbox_id)
    row = desk.apply(Group.TEXT)
    assert desk.events("ticket.updated") == before + 1
    desk.undo(row["id"])
    assert desk.events("ticket.updated") == before + 2
