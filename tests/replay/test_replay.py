"""Stored mail read again: what differs is told, what was chosen is renewed, and all of it can be taken back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from inboxops.composition import mail_rules, replaying
from inboxops.core.mail_rules import edit
from inboxops.core.mail_rules.wire import read_rule
from inboxops.core.replay import Group
from inboxops.errors import Conflict, InvalidInput
from tests.replay.conftest import Replays
from tests.sending.test_bounces import report
from tests.stories.conftest import mail

CORPUS = Path(__file__).parents[1] / "corpus"
WITH_FILE = (
    b"From: ann@customer.example\r\nTo: support@acme.example\r\nSubject: With a file\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <file@customer.example>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nsee there\r\n'
    b"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=order.pdf\r\n\r\nthe file\r\n"
    b"--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=large.bin\r\n\r\n"
    + (b"y" * 70 + b"\r\n") * 400
    + b"--b--\r\n"
)


def test_mail_that_nothing_changed_for_is_as_it_is_stored(desk: Replays) -> None:
    desk.box.deliver(*(path.read_bytes() for path in sorted(CORPUS.glob("*.eml"))), WITH_FILE)
    desk.box.run()
    ticket = desk.ticket(id="a")
    assert desk.send(desk.reply(ticket)) == "sent"
    desk.box.deliver(mail("Re: Help", id="b", answers="a"), mail("Won", more="X-Spam-Flag: YES"))
    desk.box.run()
    before = desk.everything()
    row = desk.preview()
    assert (row["state"], row["report"]["groups"], row["examples"]) == ("previewed", {}, {})
    assert row["report"]["read"] > 30
    assert desk.everything() == before
    assert desk.preview(ticket_id=ticket)["report"]["read"] == 2
    assert desk.preview(days=30, inbox_id=desk.box.inbox_id)["report"]["read"] == row["report"]["read"]


def older(desk: Replays) -> None:
    """Three mails as an older version might have stored them, and what it would have taken for spam."""
    desk.box.deliver(mail("One", id="one"), WITH_FILE, mail("Re: One", id="two", answers="one"))
    desk.box.run()
    desk.box.deliver(mail("Offer", id="offer", sender="ben@customer.example"))
    desk.box.run()
    box = desk.box.inbox_id
    desk.change("UPDATE messages SET body_text = 'Pleäse', body_new = '', verdict = 'bulk', rule = 'bulk.list',"
                " evidence = '[]', ruleset = '2025.9', sent_date = NULL WHERE inbox_id = %s AND subject = 'One'", box)  # fmt: skip
    customer = '{"name": "", "address": "x@y.example", "rule": "old", "claimed": false}'
    desk.change("UPDATE messages SET customer = %s::jsonb WHERE inbox_id = %s AND subject = 'One'", customer, box)
    desk.change(
        "UPDATE tickets SET requester_address = 'x@y.example', requester_rule = 'old' WHERE inbox_id = %s AND subject = 'One'",
        box,
    )
    desk.change("UPDATE attachments SET file_name = '=?x?=', content_type = 'text/x' WHERE file_name = 'order.pdf'"
                " AND message_id = (SELECT id FROM messages WHERE inbox_id = %s AND subject = 'With a file')", box)  # fmt: skip


def test_a_preview_names_each_difference_with_counts_and_examples_and_writes_nothing(desk: Replays) -> None:
    older(desk)
    before = desk.everything()
    row = desk.preview()
    assert row["report"]["groups"] == {"verdict": 1, "customer": 1, "text": 1, "attachments": 1}
    assert (row["report"]["read"], row["report"]["differing"]) == (4, 2)
    assert row["report"]["verdicts"] == {"bulk -> human": 1}
    [verdict], [customer] = row["examples"]["verdict"], row["examples"]["customer"]
    assert (verdict["was"], verdict["now"], verdict["message_id"]) == (
        "bulk (bulk.list)",
        "human (human)",
        "one@customer.example",
    )
    assert (customer["was"], customer["now"]) == ("x@y.example (old)", "ann@customer.example (from)")
    assert customer["ticket_number"] == 1
    [text], [files] = row["examples"]["text"], row["examples"]["attachments"]
    assert (text["was"], text["now"]) == ("body_text: Pleäse", "body_text: Please help.")
    assert files["now"].startswith("order.pdf (application/pdf, 8 bytes)")
    assert desk.everything() == before


def test_what_is_applied_differs_no_more_and_can_be_taken_back_byte_for_byte(desk: Replays) -> None:
    older(desk)
    before = desk.everything()
    row = desk.apply()
    assert row["state"] == "applied"
    assert {group: counts["changed"] for group, counts in row["done"].items()} == row["report"]["groups"]
    assert desk.groups() == {}
    renewed = desk.message("One")
    assert (renewed["body_text"], renewed["verdict"], renewed["customer"]) == ("Please help.\n", "human", None)
    assert desk.box.query("SELECT requester_address, requester_rule FROM tickets WHERE subject = 'One' AND inbox_id = %s",
                          desk.box.inbox_id) == [("ann@customer.example", "from")]  # fmt: skip
    files = desk.box.query("SELECT file_name, storage_key, size_bytes FROM attachments a JOIN messages m ON m.id = a.message_id"
                           " WHERE m.inbox_id = %s ORDER BY a.id", desk.box.inbox_id)  # fmt: skip
    assert [name for name, *_ in files] == ["order.pdf", "large.bin"]
    assert desk.world.objects.get(str(files[0][1])) == b"the file"
    assert all(desk.world.objects.size(str(key)) == size for _, key, size in files)
    assert desk.events("ticket.updated") > 0
    row = desk.undo(row["id"])
    assert row["state"] == "undone"
    assert all(counts["undone"] == counts["changed"] for counts in row["done"].values())
    assert desk.everything() == before
    ((key,),) = desk.box.query(
        "SELECT storage_key FROM attachments WHERE file_name = '=?x?=' AND tenant_id = %s", desk.tenant_id
    )
    assert desk.world.objects.get(str(key)) == b"the file"


def test_groups_that_were_not_chosen_stay(desk: Replays) -> None:
    older(desk)
    row = desk.apply(Group.CUSTOMER, Group.TEXT)
    assert set(row["done"]) == {"customer", "text"}
    assert desk.groups() == {"verdict": 1, "attachments": 1}
    more = replaying.apply(desk.world, desk.tenant_id, row["id"], [Group.VERDICT], here=True)
    assert set(more["done"]) == {"customer", "text", "verdict"}
    assert desk.groups() == {"attachments": 1}


def test_a_mail_that_refers_to_another_moves_to_its_ticket_when_that_was_chosen(desk: Replays) -> None:
    desk.box.deliver(
        mail("Printer", id="one"), mail("Re: Toner", id="two", answers="one", sender="ben@customer.example")
    )
    desk.box.run()
    before_apart = desk.everything()
    box = desk.box.inbox_id
    first = desk.message("Printer")["ticket_id"]
    desk.change(
        "WITH n AS (UPDATE tenants SET last_ticket_number = last_ticket_number + 1 WHERE id = %s RETURNING last_ticket_number),"
        " t AS (INSERT INTO tickets (tenant_id, inbox_id, ticket_number, subject, normalised_subject, requester_address)"
        " SELECT %s, %s, last_ticket_number, 'Re: Toner', 'toner', 'ben@customer.example' FROM n RETURNING id)"
        " UPDATE messages SET ticket_id = t.id, in_reply_to = '{}', reference_ids = '{}', placed_by = 'new' FROM t"
        " WHERE inbox_id = %s AND subject = 'Re: Toner'",
        desk.tenant_id, desk.tenant_id, box, box,
    )  # fmt: skip
    desk.change("DELETE FROM message_references WHERE message_id = %s", desk.message("Re: Toner")["id"])
    apart = desk.everything()
    row = desk.preview()
    [example] = row["examples"]["ticket"]
    assert (example["was"], example["now"]) == ("#2", "#1 (by message id)")
    assert row["report"]["groups"] == {"ticket": 1}
    replaying.apply(desk.world, desk.tenant_id, row["id"], [Group.TEXT], here=True)
    assert desk.everything() == apart
    row = desk.apply(Group.TICKET)
    assert desk.message("Re: Toner")["ticket_id"] == first
    assert desk.box.query(
        "SELECT status, merged_into_ticket_id FROM tickets WHERE inbox_id = %s AND ticket_number = 2", box
    ) == [("closed", first)]
    assert desk.everything()["references"] == before_apart["references"]
    assert desk.groups() == {}
    desk.undo(row["id"])
    assert desk.everything() == apart


def test_what_is_no_spam_today_becomes_a_ticket_and_nobody_is_written_to(desk: Replays) -> None:
    desk.world.inboxes.change(desk.box.inbox_id, auto_response_enabled=True, auto_response_body="Thanks.")
    closed = desk.ticket(subject="Old matter", id="old")
    assert desk.world.reading.patch_ticket(desk.tenant_id, closed, status="closed")
    desk.box.deliver(
        mail("Offer", id="offer", sender="eve@partner.example", more="X-Spam-Flag: YES"),
        mail("Re: Old matter", id="re", answers="old", more="X-Spam-Flag: YES"),
    )
    desk.box.run()
    sent = desk.box.query(
        "SELECT count(*) FROM messages WHERE inbox_id = %s AND direction = 'outbound'", desk.box.inbox_id
    )
    rule = {"name": "partner", "enabled": True, "actions": {"never_spam": True},
            "conditions": [{"on": "sender", "op": "contains", "values": [".example"]}]}  # fmt: skip
    mail_rules.put(desk.world, desk.tenant_id, (read_rule(rule),), by="Ann")
    row = desk.preview()
    assert row["report"]["verdicts"] == {"spam -> human": 2}
    assert {one["now"] for one in row["examples"]["verdict"]} == {"human (human), a ticket", "human (human), a reply"}
    row = desk.apply(Group.VERDICT)
    assert row["done"]["verdict"]["changed"] == 2
    assert desk.message("Offer")["verdict"] == "human"
    assert desk.message("Re: Old matter")["ticket_id"] == closed
    assert desk.box.query("SELECT status FROM tickets WHERE id = %s", closed) == [("closed",)]
    assert sent == desk.box.query(
        "SELECT count(*) FROM messages WHERE inbox_id = %s AND direction = 'outbound'", desk.box.inbox_id
    )
    assert desk.groups() == {"mail_rules": 1}, "what the rule says of the mail that was a ticket before"
    desk.undo(row["id"])
    offer = desk.message("Offer")
    assert (offer["verdict"], offer["rule"]) == ("spam", "spam.scanner")
    assert desk.box.query("SELECT status FROM tickets WHERE id = %s", offer["ticket_id"]) == [("closed",)]


def test_a_rule_that_is_switched_on_shows_what_it_would_make_of_stored_mail_and_labels_its_tickets(
    desk: Replays,
) -> None:
    desk.ticket(subject="Refund, please")
    desk.ticket(subject="Something else")
    desk.change("UPDATE messages SET body_text = 'older' WHERE inbox_id = %s", desk.box.inbox_id)
    conditions = [{"on": "subject", "op": "contains", "values": ["refund"]}]
    rule = read_rule({"name": "refund", "conditions": conditions, "actions": {"tags": ["refund"], "priority": "high"}})
    week = datetime.now(UTC) - timedelta(days=7)
    by_it = mail_rules.try_rule(desk.world, desk.tenant_id, rule, days=7, most=100).differences
    switched = partial(edit.put, rule=replace(rule, enabled=True))
    for tried in (by_it, mail_rules.try_rules(desk.world, desk.tenant_id, switched, since=week)):
        assert (tried.read, dict(tried.groups)) == (2, {"mail_rules": 1}), "what an update differs in is another matter"
        [example] = tried.examples["mail_rules"]
        assert (example.was, example.now) == ("no rule", "refund: tagged refund, priority high")
    mail_rules.put(desk.world, desk.tenant_id, (rule,), by="Ann")
    mail_rules.switch(desk.world, desk.tenant_id, "refund", enabled=True, by="Ann")
    before = desk.everything()
    row = desk.apply(Group.MAIL_RULES)
    labels = "SELECT tags, priority FROM tickets WHERE inbox_id = %s ORDER BY id"
    assert desk.box.query(labels, desk.box.inbox_id) == [(["refund"], "high"), ([], "normal")]
    desk.undo(row["id"])
    assert desk.everything() == before
    again = desk.apply(Group.MAIL_RULES)
    (ticket,) = (one["ticket_id"] for one in [desk.message("Refund, please")])
    desk.world.reading.patch_ticket(desk.tenant_id, ticket, tags=["refund", "vip"])
    assert desk.undo(again["id"])["done"]["mail_rules"]["yielded"] == 1
    assert desk.box.query(labels, desk.box.inbox_id)[0] == (["refund", "vip"], "high"), "what an agent set stays"


def test_only_what_was_asked_for_can_be_applied_or_taken_back(desk: Replays) -> None:
    with pytest.raises(InvalidInput, match="which mail is not said"):
        replaying.scope(desk.world, desk.tenant_id, inbox_id=desk.box.inbox_id)
    with pytest.raises(InvalidInput, match="there is no ticket"):
        replaying.scope(desk.world, desk.tenant_id, ticket_id=2**40)
    row = desk.preview()
    with pytest.raises(Conflict, match="is previewed"):
        desk.undo(row["id"])
    with pytest.raises(InvalidInput, match="there is no replay"):
        replaying.apply(desk.world, desk.tenant_id + 1, row["id"], [])


def test_a_bounce_that_was_taken_for_a_person_is_told_of_at_the_reply_that_did_not_arrive(desk: Replays) -> None:
    ticket = desk.ticket(subject="Asked")
    accepted = desk.reply(ticket)
    assert desk.send(accepted) == "sent"
    desk.box.deliver(report(desk.taken[-1], "ann@customer.example", "550 5.1.1 no such user"))
    desk.box.run()
    bounced = desk.everything()
    box = desk.box.inbox_id
    desk.change(
        "WITH n AS (UPDATE tenants SET last_ticket_number = last_ticket_number + 1 WHERE id = %s RETURNING last_ticket_number),"
        " t AS (INSERT INTO tickets (tenant_id, inbox_id, ticket_number, subject) SELECT %s, %s, last_ticket_number, '' FROM n"
        " RETURNING id)"
        " UPDATE messages SET ticket_id = t.id, type = 'message', verdict = 'human', rule = 'human' FROM t"
        " WHERE inbox_id = %s AND verdict = 'bounce'",
        desk.tenant_id, desk.tenant_id, box, box,
    )  # fmt: skip
    desk.change("DELETE FROM bounces WHERE inbox_id = %s", box)
    desk.change("UPDATE messages SET bounce_received_at = NULL WHERE inbox_id = %s", box)
    apart = desk.everything()
    row = desk.apply()
    assert row["report"]["verdicts"] == {"human -> bounce": 1}
    assert set(row["done"]) == {"verdict", "ticket"}
    assert desk.row(accepted.message_id)["bounce_received_at"] is not None
    note = desk.message("Undelivered Mail Returned to Sender")
    assert (note["type"], note["ticket_id"], note["verdict"]) == ("note", ticket, "bounce")
    assert desk.everything()["bounces"] != apart["bounces"]
    assert len(desk.everything()["bounces"]) == len(bounced["bounces"]) == 1
    assert desk.groups() == {}
    desk.undo(row["id"])
    assert desk.everything() == apart


def test_files_that_a_replay_replaced_stay_while_it_can_be_taken_back(desk: Replays) -> None:
    older(desk)
    ((old,),) = desk.box.query(
        "SELECT storage_key FROM attachments WHERE file_name = '=?x?=' AND tenant_id = %s", desk.tenant_id
    )
    row = desk.apply(Group.ATTACHMENTS)
    assert desk.world.leftovers.sweep([str(old)], desk.world.objects.delete) == 0
    desk.change("UPDATE replays SET changed_at = now() - interval '31 days' WHERE id = %s", row["id"])
    desk.world.replays.forget(days=30)
    assert desk.world.leftovers.sweep([str(old)], desk.world.objects.delete) == 1
    ((new,),) = desk.box.query(
        "SELECT storage_key FROM attachments WHERE file_name = 'order.pdf' AND tenant_id = %s", desk.tenant_id
    )
    assert desk.world.objects.get(str(new)) == b"the file"


def test_what_was_parked_is_filed_once_it_can_be_read(desk: Replays) -> None:
    desk.box.deliver(mail("Hard to read"))
    desk.box.run()
    desk.change("UPDATE inbound SET state = 'parked', reason = 'reading it failed', message_id = NULL, verdict = NULL, rule = NULL,"
                " subject = NULL, from_address = NULL WHERE inbox_id = %s", desk.box.inbox_id)  # fmt: skip
    message = desk.message("Hard to read")["id"]
    for table in ("message_references", "messages"):
        desk.change(f"DELETE FROM {table} WHERE {'message_' if table != 'messages' else ''}id = %s", message)
    row = desk.preview()
    assert row["report"]["verdicts"] == {"unread -> human": 1}
    desk.apply(Group.VERDICT)
    assert desk.message("Hard to read")["verdict"] == "human"
    assert desk.groups() == {}


def test_who_takes_a_replay_back_while_it_is_applied_ends_it(desk: Replays, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.box.deliver(*(mail(f"Mail {n}") for n in range(3)))
    desk.box.run()
    desk.change("UPDATE messages SET body_text = 'older' WHERE inbox_id = %s", desk.box.inbox_id)
    before = desk.everything()
    store, went_on = desk.world.replays, desk.world.replays.went_on

    def taken_back(replay_id: int, **how_far: Any) -> bool:
        went_on(replay_id, **how_far)
        return store.want(desk.tenant_id, replay_id, "undoing", when=("applying",))

    monkeypatch.setattr("inboxops.stories.replay.PAGE", 1)
    monkeypatch.setattr(store, "went_on", taken_back)
    row = desk.apply()
    assert (row["state"], row["done"]["text"]["changed"]) == ("undoing", 1)
    assert replaying.run(desk.world, row["id"]).state == "undone"
    assert desk.everything() == before


def test_people_that_are_read_rightly_today_take_part_in_the_ticket(desk: Replays) -> None:
    ticket = desk.ticket(subject="Help", sender="Ann <ann@customer.example>")
    desk.change("UPDATE messages SET from_address = '', from_name = '' WHERE ticket_id = %s", ticket)
    desk.change("UPDATE tickets SET requester_address = '' WHERE id = %s", ticket)
    desk.change("DELETE FROM participants WHERE ticket_id = %s AND address = 'ann@customer.example'", ticket)
    before = desk.everything()
    row = desk.apply(Group.CUSTOMER)
    assert row["examples"]["customer"][0]["now"] == "Ann <ann@customer.example> (from)"
    assert desk.box.query("SELECT requester_address FROM tickets WHERE id = %s", ticket) == [("ann@customer.example",)]
    assert desk.groups() == {}
    people = desk.box.query("SELECT address FROM participants WHERE ticket_id = %s", ticket)
    assert ("ann@customer.example",) in people
    desk.undo(row["id"])
    assert desk.everything() == before


def test_a_group_is_applied_after_another_was_and_both_are_taken_back(desk: Replays) -> None:
    older(desk)
    what = "SELECT body_text, customer ->> 'address' FROM messages WHERE inbox_id = %s AND subject = 'One'"
    (before,) = desk.box.query(what, desk.box.inbox_id)
    row = desk.apply(Group.TEXT)
    assert desk.box.query(what, desk.box.inbox_id) == [("Please help.\n", "x@y.example")]
    replaying.apply(desk.world, desk.tenant_id, row["id"], (Group.CUSTOMER,), here=True)
    assert desk.box.query(what, desk.box.inbox_id) == [("Please help.\n", None)], "whoever wrote it is the customer"
    desk.undo(row["id"])
    assert desk.box.query(what, desk.box.inbox_id) == [before]


def test_parked_mail_stays_parked_where_its_verdict_was_not_chosen(desk: Replays) -> None:
    desk.box.deliver(mail("Won", id="won", more="X-Spam-Flag: YES"))
    desk.box.run()
    desk.change("UPDATE inbound SET state = 'parked', reason = 'reading it failed', subject = 'older' WHERE inbox_id = %s",
                desk.box.inbox_id)  # fmt: skip
    row = desk.preview()
    assert set(row["report"]["groups"]) == {"verdict", "text"}
    desk.apply(Group.TEXT)
    aside = "SELECT state, reason, subject FROM inbound WHERE inbox_id = %s"
    assert desk.box.query(aside, desk.box.inbox_id) == [("parked", "reading it failed", "Won")]
    desk.apply(Group.VERDICT)
    assert desk.box.query(aside, desk.box.inbox_id)[0][0] == "listed"
