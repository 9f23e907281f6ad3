"""Canaries: they come back, open no ticket, and what does not come back is told once, and once when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from psycopg.types.json import Jsonb

from inboxops.composition import canaries, certifying, upkeep
from inboxops.composition.world import World
from inboxops.core.canary import Canary, mail, means
from inboxops.core.model import Address
from inboxops.core.notices import KINDS
from inboxops.errors import InboxOpsError, InvalidInput, OutcomeUnknown
from inboxops.stories import canary as story
from inboxops_lab.testing.processes import free_ports
from tests.receiver import Receiver, list_our_own_host
from tests.sending.conftest import Desk, desk
from tests.stories.conftest import connect
from tests.stories.conftest import mail as ordinary

__all__ = ["desk"]


@pytest.fixture
def receiver(desk: Desk) -> Iterator[Receiver]:
    list_our_own_host(desk.world)
    receiver = Receiver()
    upkeep.tell(desk.world, desk.tenant_id, mail="", url=receiver.url, kinds=list(KINDS))
    yield receiver
    receiver.stop()


def wish(desk: Desk, minutes: int | None = 15, from_id: int | None = None) -> None:
    desk.world.canaries.wish(desk.box.inbox_id, minutes=minutes, from_id=from_id)


def arrive(desk: Desk) -> None:
    """What the submission server took reaches the mailbox, and the inbox is read."""
    desk.box.deliver(*(one.raw for one in desk.taken))
    desk.taken.clear()
    desk.box.run()


def state(desk: Desk, number: int | None) -> str:
    assert number is not None
    return str(desk.world.canaries.one(number)["state"])


def figures(world: World) -> dict[str, float]:
    with world.database.transaction() as t:
        return {
            row["name"]: row["value"]
            for row in t.connection.execute(b"SELECT name, value FROM canary_metrics()").fetchall()
        }


def let_it_be_late(desk: Desk, number: int | None) -> None:
    """What waiting does, with the inbox read meanwhile."""
    desk.box.query(
        "UPDATE canaries SET made_at = made_at - interval '1 hour', handed_over_at = handed_over_at - interval '1 hour',"
        " sent_at = sent_at - interval '1 hour', late_at = late_at - interval '1 hour' WHERE id = %s RETURNING 1",
        number,
    )


def test_one_comes_back_opens_no_ticket_and_is_counted(desk: Desk, world: World) -> None:
    world.inboxes.change(desk.box.inbox_id, auto_response_enabled=True, auto_response_body="We got it.")
    number = canaries.send(world, desk.box.inbox_id)
    assert state(desk, number) == "on_its_way"
    (taken,) = desk.taken
    assert taken.raw.replace(b"\r\n ", b" ").count(b"InboxOps canary c") == 2, "subject, which may be folded, and text"
    arrive(desk)
    assert (state(desk, number), desk.box.tickets(), desk.box.states()) == ("back", [], {"dropped": 1})
    assert desk.box.query("SELECT reason FROM inbound WHERE inbox_id = %s", desk.box.inbox_id) == [
        ("a canary came back",)
    ]
    assert desk.taken == [], "nobody is answered"
    assert desk.box.query("SELECT count(*) FROM messages WHERE inbox_id = %s", desk.box.inbox_id) == [(0,)]


def test_it_is_accounted_for(desk: Desk, world: World) -> None:
    desk.box.run()
    canaries.send(world, desk.box.inbox_id)
    arrive(desk)
    made = certifying.certify(world, desk.tenant_id)
    assert (made.unaccounted, made.skipped) == (0, 0)


def test_those_that_are_due_get_one_each_by_one_run(desk: Desk, world: World, tenant: str) -> None:
    other = connect(world, tenant, desk.box.server, name="sales")
    wish(desk, from_id=None)
    world.canaries.wish(other.inbox_id, minutes=15, from_id=desk.box.inbox_id)
    mine = {desk.box.inbox_id, other.inbox_id}
    assert mine <= set(world.canaries.due(cell="main"))
    canaries.send_due(world)
    assert not mine & set(world.canaries.due(cell="main"))
    assert sorted(taken.recipients[0] for taken in desk.taken) == [
        f"sales@{tenant}.example",
        f"support@{tenant}.example",
    ]
    assert {taken.sender for taken in desk.taken} == {f"support@{tenant}.example"}
    wish(desk, minutes=None)
    assert world.canaries.add(desk.box.inbox_id, even_if_not_due=False) is None


def test_a_forged_one_becomes_a_ticket(desk: Desk, world: World) -> None:
    number = canaries.send(world, desk.box.inbox_id)
    (taken,) = desk.taken
    forged = taken.raw.replace(f"c{number}-".encode(), f"c{number}0-".encode())
    forged = forged.replace(f"From: {desk.box.inbox.email_address}".encode(), b"From: mallory@evil.example")
    desk.box.deliver(forged)
    desk.box.run()
    assert len(desk.box.tickets()) == 1
    assert state(desk, number) == "on_its_way"


def test_lateness_is_told_once_and_so_is_its_end(desk: Desk, world: World, receiver: Receiver) -> None:
    wish(desk)
    lost = canaries.send(world, desk.box.inbox_id)
    desk.taken.clear()
    upkeep.notify(world)
    assert receiver.told == []
    let_it_be_late(desk, lost)
    assert state(desk, lost) == "late"
    upkeep.notify(world)
    assert receiver.told == [], "nobody has read the inbox since"
    desk.box.run()
    for _ in range(3):
        upkeep.notify(world)
    assert receiver.told == [("canary_late", False)]
    said = receiver.taken[0][1]
    assert b"InboxOps canary c" in said and b"spam folder" in said and desk.box.inbox.email_address.encode() in said
    canaries.send(world, desk.box.inbox_id)
    upkeep.notify(world)
    assert receiver.told == [("canary_late", False)], "the next is only on its way"
    arrive(desk)
    for _ in range(3):
        upkeep.notify(world)
    assert receiver.told == [("canary_late", False), ("canary_late", True)]


def test_one_that_could_not_be_sent_is_told_and_never_called_late(desk: Desk, world: World, receiver: Receiver) -> None:
    wish(desk)
    desk.submission.answer = "550 no"
    with pytest.raises(InboxOpsError):
        canaries.send(world, desk.box.inbox_id)
    ((number,),) = desk.box.query("SELECT max(id) FROM canaries WHERE inbox_id = %s", desk.box.inbox_id)
    let_it_be_late(desk, int(str(number)))
    assert state(desk, int(str(number))) == "not_sent"
    desk.box.run()
    upkeep.notify(world)
    assert receiver.told == [("canary_not_sent", False)]
    assert b"550 no" in receiver.taken[0][1]
    desk.submission.answer = ""
    canaries.send_due(world)
    upkeep.notify(world)
    assert receiver.told == [("canary_not_sent", False), ("canary_not_sent", True)]


def test_a_run_that_was_killed_leaves_none_that_is_late(desk: Desk, world: World) -> None:
    before = world.canaries.add(desk.box.inbox_id, even_if_not_due=True)
    behind = world.canaries.add(desk.box.inbox_id, even_if_not_due=True)
    assert before is not None and behind is not None
    assert world.canaries.hand_over(behind.id)
    assert not world.canaries.hand_over(behind.id), "the permission is given once"
    for one in (before, behind):
        let_it_be_late(desk, one.id)
    world.canaries.settle_left(cell="main", minutes=canaries.LEFT_MINUTES)
    assert (state(desk, before.id), state(desk, behind.id)) == ("not_sent", "in_doubt")
    assert not world.canaries.hand_over(before.id), "a run that was taken for dead sends nothing"


def test_one_in_doubt_is_told_once_and_so_is_its_end(desk: Desk, world: World, receiver: Receiver) -> None:
    wish(desk)
    made = world.canaries.add(desk.box.inbox_id, even_if_not_due=True)
    assert made is not None and world.canaries.hand_over(made.id)
    upkeep.notify(world)
    assert (state(desk, made.id), receiver.told) == ("being_sent", []), "a run is at it"
    let_it_be_late(desk, made.id)
    desk.box.run()
    for _ in range(3):
        upkeep.notify(world)
    assert (state(desk, made.id), receiver.told) == ("in_doubt", [("canary_in_doubt", False)])
    assert b"ended at the last step" in receiver.taken[0][1]
    assert figures(world)["canary_in_doubt_inboxes"] >= 1
    canaries.send_due(world)
    for _ in range(3):
        upkeep.notify(world)
    assert receiver.told == [("canary_in_doubt", False), ("canary_in_doubt", True)]


def test_one_whose_outcome_the_server_never_told_is_in_doubt_at_once(
    desk: Desk, world: World, receiver: Receiver
) -> None:
    wish(desk)
    made = world.canaries.add(desk.box.inbox_id, even_if_not_due=True)
    assert made is not None and world.canaries.hand_over(made.id)
    world.canaries.not_sent(made.id, "the server was lost", in_doubt=True)
    upkeep.notify(world)
    assert receiver.told == [("canary_in_doubt", False)]
    assert b"the server was lost" in receiver.taken[0][1]
    ours = Address("", desk.box.inbox.email_address)
    desk.box.deliver(mail(made, sender=ours, to=ours.address, signing_key=world.signing_key))
    desk.box.run()
    upkeep.notify(world)
    assert receiver.told == [("canary_in_doubt", False), ("canary_in_doubt", True)]


def test_one_in_doubt_that_comes_back_is_back(desk: Desk, world: World) -> None:
    made = world.canaries.add(desk.box.inbox_id, even_if_not_due=True)
    assert made is not None
    inbox = desk.box.inbox

    def no_way() -> story.Way:
        raise OutcomeUnknown("the server was lost")

    assert world.canaries.hand_over(made.id)
    with pytest.raises(OutcomeUnknown):
        story.send(made, inbox, no_way, world.canaries, signing_key=world.signing_key)
    assert state(desk, made.id) == "in_doubt"
    ours = Address("", inbox.email_address)
    desk.box.deliver(mail(made, sender=ours, to=inbox.email_address, signing_key=world.signing_key))
    desk.box.run()
    assert state(desk, made.id) == "back"


def keep_clean(desk: Desk) -> None:
    """The inbox wishes that canaries are deleted from its mailbox, which has a trash."""
    desk.box.server.create_folder(desk.box.user, "Trash")
    desk.world.canaries.wish(desk.box.inbox_id, minutes=None, from_id=None, delete=True)


def subjects(desk: Desk, folder: str = "INBOX") -> list[str]:
    with desk.box.server.client(desk.box.user) as client:
        client.select_folder(folder, readonly=True)
        found = client.fetch(client.search(), ["ENVELOPE"]).values()
    return sorted(one[b"ENVELOPE"].subject.decode()[:15] for one in found)


def cleared(world: World) -> tuple[int, int]:
    flown = canaries.tend(world)
    return flown.removed, flown.not_removed


def cleared_later(desk: Desk) -> tuple[int, int]:
    """What an hour later is done."""
    earlier = (
        "UPDATE canaries SET removal_tried_at = removal_tried_at - interval '1 hour' WHERE inbox_id = %s RETURNING 1"
    )
    desk.box.query(earlier, desk.box.inbox_id)
    return cleared(desk.world)


def test_one_that_came_back_stays_in_the_mailbox_unless_its_inbox_wishes_otherwise(desk: Desk, world: World) -> None:
    number = canaries.send(world, desk.box.inbox_id)
    assert number is not None
    arrive(desk)
    assert cleared(world) == (0, 0)
    assert subjects(desk) == ["InboxOps canary"]
    keep_clean(desk)
    assert cleared(world) == (1, 0)
    assert (subjects(desk), subjects(desk, "Trash")) == ([], ["InboxOps canary"])
    row = world.canaries.one(number)
    assert (row["state"], row["removed"], row["removal_error"]) == ("back", "trashed", None)
    assert means(row) == "it came back in time; then it was put into the trash"
    assert cleared_later(desk) == (0, 0), "once"


def test_it_is_accounted_for_when_it_is_deleted(desk: Desk, world: World) -> None:
    desk.box.run()
    keep_clean(desk)
    canaries.send(world, desk.box.inbox_id)
    arrive(desk)
    desk.box.deliver(ordinary("Help"))
    desk.box.run()
    assert cleared(world) == (1, 0)
    made = certifying.certify(world, desk.tenant_id)
    assert (made.unaccounted, made.repaired, made.skipped) == (0, 0, 0)
    desk.box.run()
    assert desk.box.states() == {"dropped": 1, "persisted": 1}, "and nothing is read again"


def test_what_is_no_canary_of_this_inbox_is_never_deleted(desk: Desk, world: World) -> None:
    """Forged, answered, forwarded, a copy: all stay."""
    keep_clean(desk)
    number = canaries.send(world, desk.box.inbox_id)
    (taken,) = desk.taken
    token = taken.raw.partition(b"X-InboxOps-Canary: ")[2].split(b"\r\n")[0].strip().decode()
    forged = taken.raw.replace(f"c{number}-".encode(), f"c{number}0-".encode())
    desk.box.deliver(
        forged.replace(f"From: {desk.box.inbox.email_address}".encode(), b"From: mallory@evil.example"),
        ordinary(f"Re: InboxOps canary {token}", more=f"X-InboxOps-Canary: {token}", answers="x"),
        ordinary(f"Fwd: InboxOps canary {token}", body=f"InboxOps canary {token}"),
        ordinary("I got this", body=f"What is it?\n\nInboxOps canary {token}"),
    )
    desk.box.run()
    before = subjects(desk)
    assert len(before) == 4
    assert cleared(world) == (0, 0)
    assert subjects(desk) == before
    assert state(desk, number) == "on_its_way"
    arrive(desk)
    desk.box.deliver(taken.raw)
    desk.box.run()
    assert cleared(world) == (1, 0)
    assert len(subjects(desk)) == len(before) + 1, "the copy that came second stays, too"
    assert subjects(desk, "Trash") == ["InboxOps canary"]


def test_one_that_a_person_let_out_or_that_came_as_spam_stays(desk: Desk, world: World) -> None:
    keep_clean(desk)
    released, spam = (canaries.send(world, desk.box.inbox_id) for _ in range(2))
    arrive(desk)
    ((inbound,),) = desk.box.query("SELECT inbound_id FROM canaries WHERE id = %s", released)
    world.inbound.send_back(int(str(inbound)), release=True)
    desk.box.run()
    desk.box.query("UPDATE canaries SET in_spam_folder = true WHERE id = %s RETURNING 1", spam)
    assert cleared(world) == (0, 0)
    assert len(subjects(desk)) == 2


def test_another_mail_under_its_name_is_left_alone_and_told(desk: Desk, world: World) -> None:
    """As after a restored backup, whose server gives the numbers of one day's mail to another's."""
    keep_clean(desk)
    desk.box.deliver(ordinary("Somebody's"))
    desk.box.run()
    number = canaries.send(world, desk.box.inbox_id)
    assert number is not None
    arrive(desk)
    ((somebodys,),) = desk.box.query(
        "SELECT provider_key FROM inbound WHERE inbox_id = %s AND state = 'persisted'", desk.box.inbox_id
    )
    desk.box.query(
        "UPDATE inbound SET provider_key = 'x' WHERE inbox_id = %s AND state = 'persisted' RETURNING 1",
        desk.box.inbox_id,
    )
    desk.box.query(
        "UPDATE inbound SET provider_key = %s WHERE inbox_id = %s AND state = 'dropped' RETURNING 1",
        somebodys,
        desk.box.inbox_id,
    )
    assert cleared(world) == (0, 1)
    assert subjects(desk) == ["InboxOps canary", "Somebody's"]
    assert (
        means(world.canaries.one(number))
        == "it came back in time; still in the mailbox: another mail stands in its place"
    )


def test_numbers_that_the_server_gave_anew_mean_other_mail(desk: Desk, world: World) -> None:
    keep_clean(desk)
    number = canaries.send(world, desk.box.inbox_id)
    assert number is not None
    arrive(desk)
    desk.box.server.change_uid_validity(desk.box.user)
    assert cleared(world) == (1, 0)
    assert world.canaries.one(number)["removed"] == "gone"
    assert subjects(desk) == ["InboxOps canary"], "nothing says that this UID is still that mail"


def test_a_mailbox_that_can_not_be_opened_says_why_and_is_tried_again_an_hour_later(desk: Desk, world: World) -> None:
    keep_clean(desk)
    number = canaries.send(world, desk.box.inbox_id)
    assert number is not None
    arrive(desk)
    connection = dict(desk.box.inbox.connection)
    broken = "UPDATE inboxes SET connection = connection || %s WHERE id = %s RETURNING 1"
    desk.box.query(broken, Jsonb({"port": free_ports(1)[0]}), desk.box.inbox_id)
    assert cleared(world) == (0, 1)
    assert "still in the mailbox: nothing listens on port" in means(world.canaries.one(number))
    desk.box.query(broken, Jsonb(connection), desk.box.inbox_id)
    assert cleared(world) == (0, 0), "not every five minutes"
    assert cleared_later(desk) == (1, 0)
    assert means(world.canaries.one(number)).endswith("put into the trash")


def test_a_refused_login_disconnects_the_inbox_as_everywhere(desk: Desk, world: World) -> None:
    keep_clean(desk)
    canaries.send(world, desk.box.inbox_id)
    arrive(desk)
    desk.box.server.add_user(desk.box.user, "quite another password")
    assert cleared(world) == (0, 1)
    assert desk.box.inbox.state == "disconnected"


def test_old_ones_go_but_for_the_last(desk: Desk, world: World) -> None:
    first, second = (canaries.send(world, desk.box.inbox_id) for _ in range(2))
    arrive(desk)
    aged = "UPDATE canaries SET made_at = now() - %s WHERE inbox_id = %s RETURNING 1"
    desk.box.query(aged, timedelta(days=31), desk.box.inbox_id)
    world.canaries.forget(days=30)
    left = [row["id"] for row in world.canaries.listed(inbox_id=desk.box.inbox_id, limit=10)]
    assert left == [second] and first != second


def test_another_tenants_inbox_sends_none(desk: Desk, world: World) -> None:
    world.inboxes.add_tenant("stranger", "Stranger")
    stranger = connect(world, "stranger", desk.box.server, name=f"x{desk.box.inbox_id}")
    with pytest.raises(InvalidInput, match="same tenant"):
        wish(desk, from_id=stranger.inbox_id)
    with pytest.raises(InvalidInput, match="15 to"):
        wish(desk, minutes=1)
    assert isinstance(world.canaries.add(desk.box.inbox_id, even_if_not_due=True), Canary)
