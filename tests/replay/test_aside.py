"""Mail that became no message when it came: read again as any other, and forgotten when its time is over."""

from __future__ import annotations

from inboxops.composition import replaying
from inboxops.core.replay import Group
from tests.replay.conftest import Replays
from tests.stories.conftest import mail


def taken_for_a_duplicate(desk: Replays, subject: str, *, of: str) -> None:
    """As a version might have left it that was wrong about repeats."""
    wrong = desk.message(subject)
    for table, name in (("message_references", "message_id"), ("messages", "id")):
        desk.change(f"DELETE FROM {table} WHERE {name} = %s", wrong["id"])
    desk.change("DELETE FROM tickets t WHERE t.id = %s AND NOT EXISTS (SELECT FROM messages WHERE ticket_id = t.id)",
                wrong["ticket_id"])  # fmt: skip
    desk.change(
        "UPDATE inbound SET state = 'duplicate', reason = 'the same message was taken in before', message_id = %s WHERE id = %s",
        desk.message(of)["id"],
        wrong["inbound_id"],
    )


def test_mail_that_was_wrongly_taken_for_a_duplicate_is_found_and_filed(desk: Replays) -> None:
    desk.box.deliver(mail("One", id="one"), mail("Re: One", id="re", answers="one"), mail("Other", id="other"))
    desk.box.run()
    ticket = desk.message("One")["ticket_id"]
    for subject in ("Re: One", "Other"):
        taken_for_a_duplicate(desk, subject, of="One")
    row = desk.preview()
    assert row["report"]["groups"] == {"ticket": 2}
    assert {(one["was"], one["now"]) for one in row["examples"]["ticket"]} == {
        ("human (human), duplicate", "human (human), a ticket"),
        ("human (human), duplicate", "human (human), a reply"),
    }
    desk.apply(Group.TEXT)
    assert desk.groups() == {"ticket": 2}
    row = desk.apply(Group.TICKET)
    assert desk.message("Re: One")["ticket_id"] == ticket != desk.message("Other")["ticket_id"]
    assert desk.groups() == {}
    desk.undo(row["id"])
    closed = "SELECT status FROM tickets WHERE id = %s"
    assert desk.box.query(closed, desk.message("Other")["ticket_id"]) == [("closed",)]
    assert desk.box.query(closed, ticket) == [("open",)]


def test_a_duplicate_is_read_and_stays_one_whatever_else_is_read_of_it_today(desk: Replays) -> None:
    desk.box.deliver(mail("Twice", id="twice"), mail("Won", id="won", more="X-Spam-Flag: YES"))
    desk.box.run()
    desk.box.deliver(mail("Twice", id="twice"), mail("Won", id="won", more="X-Spam-Flag: YES"))
    desk.box.run()
    older = "UPDATE inbound SET verdict = 'bulk', rule = 'bulk.list', subject = 'older' WHERE inbox_id = %s AND state = 'duplicate'"
    desk.change(older, desk.box.inbox_id)
    before = desk.everything()
    row = desk.apply()
    assert (row["report"]["read"], row["report"]["groups"]) == (4, {})
    assert desk.everything() == before


def test_mail_of_a_removed_inbox_is_counted_and_left(desk: Replays) -> None:
    ticket, tenant_id = desk.ticket(), desk.tenant_id
    desk.world.inboxes.remove(desk.box.inbox_id)
    for named in ({"days": 30}, {"ticket_id": ticket}):
        wanted = replaying.scope(desk.world, tenant_id, **named)
        report = replaying.preview(desk.world, wanted, by="Ann")["report"]
        assert (report["read"], report["left_out"]) == (0, {"of a removed inbox": 1})


def test_what_a_replay_keeps_of_set_aside_mail_goes_with_the_mail(desk: Replays) -> None:
    desk.box.deliver(mail("Won a prize", id="won", more="X-Spam-Flag: YES"), mail("Help", id="help"))
    desk.box.run()
    box = desk.box.inbox_id
    desk.change("UPDATE inbound SET subject = 'A prize, as it was read' WHERE inbox_id = %s AND state = 'listed'", box)
    desk.change("UPDATE messages SET subject = 'Help, as it was read' WHERE inbox_id = %s", box)
    row = desk.apply(Group.TEXT)
    assert row["done"]["text"]["changed"] == 2
    desk.change("UPDATE inbound SET updated_at = now() - interval '8 days' WHERE inbox_id = %s", box)
    desk.world.leftovers.forget_listed(days=7)
    assert desk.box.states() == {"persisted": 1}
    row = desk.world.replays.one(row["id"])
    assert [one["was"] for one in row["examples"]["text"]] == ["subject: Help, as it was read"]
    assert row["done"]["text"]["changed"] == 1
    assert row["report"]["groups"] == {"text": 2}
    kept = "SELECT kept::text FROM replay_changes WHERE tenant_id = %s"
    assert not any("prize" in str(text) for (text,) in desk.box.query(kept, desk.tenant_id))
    assert desk.undo(row["id"])["done"]["text"] == {"changed": 1, "undone": 1, "yielded": 0}
