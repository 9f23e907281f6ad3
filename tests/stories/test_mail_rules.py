"""A tenant's mail rules on real servers: through all stages, with evidence, and tried on stored mail before that."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from inboxops.composition import erasing, intake, mail_rules
from inboxops.core.mail_rules.wire import read_rule
from inboxops.errors import InvalidInput
from inboxops.stories import try_rule
from inboxops.stories.telling import log
from tests.stories.conftest import Mailbox, connect, mail

PARCELS = {"on": "sender", "op": "contains", "values": ["@parcels.example"]}


def put(box: Mailbox, name: str, *conditions: dict[str, Any], enabled: bool = True, **actions: object) -> int:
    rule = read_rule({"name": name, "enabled": enabled, "conditions": conditions, "actions": actions})
    return mail_rules.put(box.world, box.inbox.tenant_id, (rule,), by="Ann").version


def test_a_mail_that_a_rule_sets_aside_is_kept_with_reason_and_evidence_and_can_be_released(mailbox: Mailbox) -> None:
    version = put(mailbox, "parcels", PARCELS, set_aside="parcel notices", tags=["parcel"])
    mailbox.deliver(mail("Your parcel", sender="bot@parcels.example"), mail("Help"))
    with capture_logs() as lines:
        log.info("bound")  # the logger of the stages is made within the capture
        mailbox.run()
    assert [subject for subject, _ in mailbox.tickets()] == ["Help"]
    [told] = [line for line in lines if line["event"] == "mail_set_aside"]
    assert (told["why"], told["mail_rules"]) == ("mail rule parcels: parcel notices", f"parcels (version {version})")
    [(number, state, reason, ruled)] = mailbox.query(
        "SELECT id, state, reason, mail_rules FROM inbound WHERE inbox_id = %s AND subject = %s",
        mailbox.inbox_id,
        "Your parcel",
    )
    assert (state, reason) == ("listed", "mail rule parcels: parcel notices")
    assert ruled == [
        {
            "rule": "parcels",
            "version": version,
            "did": ["set aside: parcel notices", "tagged parcel"],
            "evidence": [{"where": 'sender contains "@parcels.example"', "value": "bot@parcels.example"}],
        }
    ]
    mailbox.world.inbound.send_back(int(str(number)), release=True)
    intake.file(mailbox.world, mailbox.inbox_id)
    assert mailbox.query(
        "SELECT subject, tags FROM tickets WHERE inbox_id = %s ORDER BY id DESC LIMIT 1", mailbox.inbox_id
    ) == [("Your parcel", ["parcel"])]


def test_tags_priority_queue_and_customer_are_on_the_ticket_with_the_rule_that_said_so(mailbox: Mailbox) -> None:
    portal = {"on": "header", "header": "X-Portal", "op": "present"}
    put(mailbox, "portal", portal, customer_from_reply_to=True, tags=["portal"], priority="high", queue="sales")
    put(
        mailbox,
        "angry",
        {"on": "body", "op": "contains", "values": ["refund"]},
        tags=["refund"],
        priority="urgent",
        queue="x",
    )
    mailbox.deliver(
        mail("Order", id="a", sender="shop@portal.example", more="X-Portal: 1\r\nReply-To: paula@buyer.example")
    )
    mailbox.run()
    mailbox.deliver(mail("Re: Order", id="b", answers="a", sender="paula@buyer.example", body="REFUND, please"))
    mailbox.run()
    columns = "tags, priority, queue, requester_address, requester_rule"
    assert mailbox.query(f"SELECT {columns} FROM tickets WHERE inbox_id = %s", mailbox.inbox_id) == [
        (["portal", "refund"], "urgent", "sales", "paula@buyer.example", "mail_rule.portal")
    ]
    assert [
        [one["rule"] for one in ruled]  # type: ignore[attr-defined]
        for (ruled,) in mailbox.query(
            "SELECT mail_rules FROM messages WHERE inbox_id = %s ORDER BY id", mailbox.inbox_id
        )
    ] == [["portal"], ["angry"]]


def test_tickets_that_turn_out_to_be_one_keep_the_labels_of_both(mailbox: Mailbox) -> None:
    put(mailbox, "b", {"on": "subject", "op": "contains", "values": ["parcel"]}, tags=["b"], priority="high")
    put(mailbox, "a", {"on": "subject", "op": "contains", "values": ["order"]}, tags=["a"], queue="q")
    mailbox.deliver(mail("Re: Order", id="b", answers="a"))
    mailbox.run()
    mailbox.deliver(mail("Re: my parcel", id="c", answers="a", sender="ben@customer.example"))
    mailbox.run()
    mailbox.deliver(mail("Hello", id="a"))
    mailbox.run()
    [kept] = mailbox.query(
        "SELECT tags, priority, queue FROM tickets WHERE inbox_id = %s AND merged_into_ticket_id IS NULL",
        mailbox.inbox_id,
    )
    assert kept == (["a", "b"], "high", "q")


def test_mail_that_is_never_spam_becomes_a_ticket(mailbox: Mailbox) -> None:
    put(mailbox, "partner", {"on": "sender", "op": "is", "values": ["ann@customer.example"]}, never_spam=True)
    mailbox.deliver(
        mail("Offer", more="X-Spam-Flag: YES"), mail("Buy", sender="x@else.example", more="X-Spam-Flag: YES")
    )
    mailbox.run()
    assert [subject for subject, _ in mailbox.tickets()] == ["Offer"]


def test_a_rule_is_tried_on_stored_mail_of_every_inbox_before_it_is_switched_on(mailbox: Mailbox) -> None:
    other = connect(mailbox.world, mailbox.inbox.tenant, mailbox.server, "second")
    mailbox.deliver(*(mail(f"Parcel {n}", sender="bot@parcels.example") for n in range(12)), mail("Help"))
    other.deliver(mail("Parcel, urgent", sender="bot@parcels.example", more="X-Spam-Flag: YES"))
    for box in (mailbox, other):
        box.run()
    put(mailbox, "parcels", PARCELS, enabled=False, set_aside="parcel notices")
    tenant_id = mailbox.inbox.tenant_id
    before = mailbox.query(
        "SELECT id, state, mail_rules, updated_at FROM inbound WHERE tenant_id = %s ORDER BY id", tenant_id
    )
    tried = mail_rules.try_rule(mailbox.world, tenant_id, "parcels", days=7, most=1_000)
    assert (tried.read, tried.matched, tried.tickets, tried.complete) == (14, 13, 12, True)
    assert (tried.verdicts, tried.states) == ({"human": 12, "spam": 1}, {"persisted": 12, "listed": 1})
    assert len(tried.examples) == try_rule.EXAMPLES
    assert {one.inbox for one in tried.examples} == {"support", "second"}
    assert all(one.ticket_number for one in tried.examples if one.state == "persisted")
    cut = mail_rules.try_rule(mailbox.world, tenant_id, "parcels", days=7, most=5)
    assert (cut.read, cut.complete) == (5, False)
    unread = mail_rules.try_rule(mailbox.world, tenant_id, "parcels", days=7, most=14)
    assert unread.complete
    assert before == mailbox.query(
        "SELECT id, state, mail_rules, updated_at FROM inbound WHERE tenant_id = %s ORDER BY id", tenant_id
    )
    assert mailbox.world.mail_rules.current(tenant_id).version == 1
    mail_rules.switch(mailbox.world, tenant_id, "parcels", enabled=True, by="Ann")
    mailbox.deliver(mail("Parcel, last", sender="bot@parcels.example"))
    mailbox.run()
    assert mailbox.states() == {"persisted": 13, "listed": 1}


def test_a_trial_pages_through_all_mail_once(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(try_rule, "PAGE", 3)
    mailbox.deliver(*(mail(f"Mail {n}") for n in range(8)))
    mailbox.run()
    rule = read_rule(
        {"name": "r", "conditions": [{"on": "size", "op": "at_least", "bytes": 0}], "actions": {"stop": True}}
    )
    tried = mail_rules.try_rule(mailbox.world, mailbox.inbox.tenant_id, rule, days=1, most=100)
    assert (tried.read, tried.matched) == (8, 8)
    numbers = [one.inbound_id for one in tried.examples]
    assert len(set(numbers)) == 8


def test_a_trial_reads_no_mail_twice(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox.deliver(*(mail(f"Mail {n}") for n in range(3)))
    mailbox.run()
    rule = read_rule(
        {"name": "r", "conditions": [{"on": "size", "op": "at_least", "bytes": 0}], "actions": {"tags": ["mail"]}}
    )
    objects, read = mailbox.world.objects, list[str]()
    get = objects.get
    monkeypatch.setattr(objects, "get", lambda key, **part: (read.append(key), get(key, **part))[1])
    tried = mail_rules.try_rule(mailbox.world, mailbox.inbox.tenant_id, rule, days=1, most=100)
    assert (tried.matched, tried.differences.groups) == (3, {"mail_rules": 3})
    assert len(read) == 1, "three mails of one pack"


def test_mail_whose_bytes_are_gone_is_counted_and_holds_up_no_trial(mailbox: Mailbox) -> None:
    mailbox.deliver(mail("One"))
    mailbox.run()
    mailbox.deliver(mail("Two"))
    mailbox.run()
    [(key,)] = mailbox.query(
        "SELECT storage_key FROM inbound WHERE inbox_id = %s ORDER BY id LIMIT 1", mailbox.inbox_id
    )
    mailbox.world.objects.delete([str(key)])
    rule = read_rule(
        {"name": "r", "conditions": [{"on": "subject", "op": "is", "values": ["two"]}], "actions": {"stop": True}}
    )
    tried = mail_rules.try_rule(mailbox.world, mailbox.inbox.tenant_id, rule, days=1, most=100)
    assert (tried.read, tried.unreadable, tried.matched) == (2, 1, 1)


def test_every_change_is_a_version_that_says_what_was_done_and_by_whom(mailbox: Mailbox) -> None:
    tenant_id = mailbox.inbox.tenant_id
    put(mailbox, "a", PARCELS, enabled=False, tags=["x"])
    put(mailbox, "a", PARCELS, enabled=False, tags=["x"])
    mail_rules.switch(mailbox.world, tenant_id, "a", enabled=True, by="Ben")
    mail_rules.remove(mailbox.world, tenant_id, "a", by="Cy")
    history = mailbox.world.mail_rules.history(tenant_id)
    assert [(row["version"], row["change"], row["changed_by"], len(row["rules"])) for row in history] == [
        (3, "removed a", "Cy", 0),
        (2, "on: a", "Ben", 1),
        (1, "set a (off)", "Ann", 1),
    ]
    with pytest.raises(InvalidInput, match="there is no rule 'a'"):
        mail_rules.switch(mailbox.world, tenant_id, "a", enabled=True, by="Ben")


def test_a_customer_who_is_erased_is_in_no_evidence_and_no_older_version_of_the_rules(mailbox: Mailbox) -> None:
    address, tenant_id = "wilma@customer.example", mailbox.inbox.tenant_id
    named = {"on": "sender", "op": "is", "values": [address]}
    put(mailbox, "wilma", named, set_aside="asked to")
    mailbox.deliver(mail("Hello", sender=address))
    mailbox.run()
    assert erasing.found(mailbox.world, tenant_id, address).rules == ("wilma",)
    mail_rules.remove(mailbox.world, tenant_id, "wilma", by="Ann")
    erasing.erase(mailbox.world, tenant_id, address, by="Ann")
    assert mailbox.query("SELECT state, mail_rules FROM inbound WHERE inbox_id = %s", mailbox.inbox_id) == [
        ("erased", None)
    ]
    assert [row["version"] for row in mailbox.world.mail_rules.history(tenant_id)] == [2]


def test_a_persons_mail_that_a_rule_set_aside_stays_until_somebody_looks_at_it(mailbox: Mailbox) -> None:
    put(mailbox, "all", {"on": "size", "op": "at_least", "bytes": 0}, set_aside="a mistake")
    mailbox.deliver(mail("Help"), mail("Won", more="X-Spam-Flag: YES"))
    mailbox.run()
    mailbox.world.leftovers.forget_listed(days=0)
    assert mailbox.query("SELECT subject FROM inbound WHERE inbox_id = %s", mailbox.inbox_id) == [("Help",)]
